package proof

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dvx-io/dvx/pkg/gc"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
)

// mutation is one way to damage one object.
type mutation struct {
	key, what string
	body      []byte // instead of the object's; nil removes it
}

// small makes a store of few kilobytes with every kind of metadata, and returns
// what its files hold.
func small(t testing.TB) (*mem.Store, map[string]string) {
	objects := mem.New(mem.Options{})
	d := create(t, objects)
	first := mustPut(t, d, "main", "a", "the first file")
	mustPut(t, d, "main", "d/b", noise(1, 5000))
	mustPut(t, d, "main", "a", "the first file, changed")
	dev := mustPut(t, d, "dev", "c", "on a branch")
	move(t, d, repo.CreateTag{Repo: "r", Tag: "v1", Commit: dev.ID})
	return objects, map[string]string{
		"r@main:/a": "the first file, changed", "r@main:/d/b": noise(1, 5000), "r@" + first.ID.String() + ":/a": "the first file",
		"r@v1:/c": "on a branch",
	}
}

// mutations yields every way in which an object is damaged: each bit (of data
// packs one in each 64 bytes), each shorter length, holes of 4 KiB, another
// object's bytes, bytes of its own kind from another store or an earlier time,
// and its absence.
func mutations(all, others map[string][]byte, rng *rand.Rand) []mutation {
	var ms []mutation
	for _, key := range slices.Sorted(maps.Keys(all)) {
		b := all[key]
		if len(b) == 0 {
			continue // says by its name what it says
		}
		step := 1
		if len(b) > 4096 {
			step = 64 * 8
		}
		for bit := 0; bit < 8*len(b); bit += step {
			at := bit
			if step > 1 {
				at = min(bit+rng.IntN(step), 8*len(b)-1)
			}
			c := slices.Clone(b)
			c[at/8] ^= 1 << (at % 8)
			ms = append(ms, mutation{key, fmt.Sprintf("bit %d", at), c})
		}
		for n := range len(b) {
			ms = append(ms, mutation{key, fmt.Sprintf("cut to %d", n), b[:n]})
		}
		for hole := 0; hole < len(b); hole += 512 {
			c := slices.Clone(b)
			clear(c[hole:min(hole+4096, len(c))])
			ms = append(ms, mutation{key, fmt.Sprintf("hole at %d", hole), c})
		}
		for _, other := range slices.Sorted(maps.Keys(all)) {
			ms = append(ms, mutation{key, "bytes of " + other, all[other]})
		}
		for _, other := range slices.Sorted(maps.Keys(others)) {
			if kindOf(other) == kindOf(key) {
				ms = append(ms, mutation{key, "bytes of another store's " + other, others[other]})
			}
		}
		ms = append(ms, mutation{key, "removed", nil}, mutation{key, "a byte more", append(slices.Clone(b), 0)})
	}
	return slices.DeleteFunc(ms, func(m mutation) bool { return m.body != nil && bytes.Equal(m.body, all[m.key]) })
}

// TestCorruption damages a small store in every way, one at a time, audits it
// and checks it as dvx fsck does: both find all damage, no file reads as other
// bytes, and nothing panics. A root that is set back by one generation is found
// by the client that remembers.
func TestCorruption(t *testing.T) {
	objects, files := small(t)
	all := contents(t, objects)
	stranger, _ := small(t)
	others := contents(t, stranger)
	want, err := audit(owner(t), objects, seen{})
	if err == nil {
		err = fsck(owner(t), objects)
	}
	if err != nil {
		t.Fatal(err)
	}
	ms := mutations(all, others, rand.New(rand.NewPCG(1, 1)))
	total := len(ms)
	if n := seeds(1000, 220); n < len(ms) {
		rand.New(rand.NewPCG(2, 2)).Shuffle(len(ms), func(i, j int) { ms[i], ms[j] = ms[j], ms[i] })
		ms = ms[:n]
	}
	var mu sync.Mutex
	kinds, refusals := map[string]int{}, 0
	copies := sync.Pool{New: func() any { return clone(t, objects) }}
	err = workers(len(ms), func(i int) error {
		m := ms[i]
		s := copies.Get().(*mem.Store)
		refused, err := damage(owner(t), s, m, all[m.key], files, want)
		if err != nil {
			return fmt.Errorf("%s, %s: %w", m.key, m.what, err)
		}
		copies.Put(s)
		mu.Lock()
		defer mu.Unlock()
		refusals += refused
		kinds[kindOf(m.key)]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	figure(t, "%d of %d corruptions %v: all detected, %d reads refused, 0 wrong bytes", len(ms), total, kinds, refusals)
}

// damage applies a mutation, looks, and undoes it.
func damage(ctx context.Context, s *mem.Store, m mutation, old []byte, files map[string]string, want seen) (refused int, err error) {
	if m.body == nil {
		err = s.Delete(ctx, m.key)
	} else {
		_, err = s.Put(ctx, m.key, objstore.Bytes(m.body), objstore.Condition{})
	}
	if err != nil {
		return 0, err
	}
	back := generationsBack(m, old)
	if back > 0 {
		files = nil // what an older root shows was there once, and only memory tells
	}
	if refused, err = readAll(ctx, s, files); err != nil {
		return 0, err
	}
	if _, err = audit(ctx, s, want); err == nil {
		return 0, fmt.Errorf("by the auditor: %w", errUndetected)
	}
	// One generation back is what a writer leaves that died before its swap, and
	// copies of older roots are removed by collections.
	lawful := back == 1 || kindOf(m.key) == "roots" && m.body == nil
	if err = fsck(ctx, s); err == nil && !lawful {
		return 0, fmt.Errorf("by fsck: %w", errUndetected)
	}
	_, err = s.Put(ctx, m.key, objstore.Bytes(old), objstore.Condition{})
	return refused, err
}

// generationsBack returns by how many generations a mutation sets the store
// back: 0 if it is something else.
func generationsBack(m mutation, old []byte) uint64 {
	if m.key != "root" {
		return 0
	}
	was, err := repo.DecodeRoot(old)
	if err != nil {
		return 0
	}
	is, err := repo.DecodeRoot(m.body)
	if err != nil || is.Store != was.Store {
		return 0
	}
	return was.Gen - is.Gen
}

// fsck is what dvx fsck --read-data says.
func fsck(ctx context.Context, objects objstore.Store) error {
	o := options(1)
	r, err := gc.Check(ctx, objects, o, gc.CheckOptions{Now: o.Now, Level: gc.CheckData, Workers: 1})
	if err == nil && len(r.Findings) > 0 {
		err = fmt.Errorf("%d findings, %+v", len(r.Findings), r.Findings[0])
	}
	return err
}

// readAll opens a store and compares files.
func readAll(ctx context.Context, s objstore.Store, files map[string]string) (refused int, err error) {
	d, err := openQuietly(ctx, s)
	if err != nil {
		return len(files), nil //nolint:nilerr // a store that does not open shows nothing
	}
	defer d.Close()
	return sameFiles(ctx, d, files)
}

// TestAuditorSeesLoss: a pack whose chunks no file of the newest versions needs
// is missed too.
func TestAuditorSeesLoss(t *testing.T) {
	objects, _ := small(t)
	for key := range contents(t, objects) {
		if strings.HasPrefix(key, "packs/") {
			if err := objects.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	if _, err := audit(owner(t), objects, seen{}); err == nil {
		t.Error("a lost pack was not seen")
	}
}
