//go:build unix

package worktree

import (
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

const secret = "nobody may read or change this"

// arena is a folder with a place that is attacked, and a canary beside it.
type arena struct {
	place, canary string
	want          disk
}

func newArena(t *testing.T) *arena {
	top := t.TempDir()
	a := &arena{filepath.Join(top, "place"), filepath.Join(top, "canary"), disk{"a/b/f": secret, "f": secret, "d/": ""}}
	must(t, os.Mkdir(a.place, 0o755))
	must(t, os.Mkdir(a.canary, 0o755))
	a.want.write(t, a.canary)
	return a
}

// check fails if the canary was touched.
func (a *arena) check(t *testing.T) {
	t.Helper()
	if diff := cmp.Diff(a.want, readDisk(t, a.canary)); diff != "" {
		t.Fatalf("the canary was touched (-before +after):\n%s", diff)
	}
}

// attack swaps directories and files below the place for links to the canary,
// and back, while fn runs again and again: for d, and on a slow machine until
// something was swapped.
func (a *arena) attack(t *testing.T, d time.Duration, fn func()) (runs int, swaps int64) {
	place, err := os.OpenRoot(a.place) // the attacker must not hit the canary himself
	must(t, err)
	defer place.Close()
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var swapped atomic.Int64
	wg.Go(func() {
		rng := rand.New(rand.NewPCG(9, 10))
		for {
			select {
			case <-stop:
				return
			default:
			}
			if a.swap(place, rng) {
				swapped.Add(1)
			}
		}
	})
	for end := time.Now().Add(d); runs == 0 || swapped.Load() == 0 || time.Now().Before(end); runs++ {
		fn()
	}
	close(stop)
	wg.Wait()
	return runs, swapped.Load()
}

// swap replaces one random thing for a moment.
func (a *arena) swap(place *os.Root, rng *rand.Rand) bool {
	at, target := ".", a.canary
	for range 1 + rng.IntN(4) {
		list, err := fs.ReadDir(place.FS(), at)
		if err != nil || len(list) == 0 {
			break
		}
		at = path.Join(at, list[rng.IntN(len(list))].Name())
	}
	if at == "." {
		return false
	}
	switch rng.IntN(3) {
	case 0:
		target = filepath.Join(a.canary, "f")
	case 1:
		target = strings.Repeat("../", strings.Count(at, "/")+1) + "canary"
	}
	aside := path.Join(path.Dir(at), "aside")
	if place.Rename(at, aside) != nil {
		return false
	}
	if place.Symlink(target, at) != nil {
		return false
	}
	for range rng.IntN(200) {
		_, _ = place.Lstat(at)
	}
	_ = place.Remove(at)
	_ = place.Rename(aside, at)
	return true
}

// attackTime is how long each way in is attacked.
const attackTime = 700 * time.Millisecond

var attacked = disk{"a/b/f": "1", "a/b/g": "2", "a/c/f": "3", "f": "4", "d/e/f/g": "5", "l": "->a/b", "a/l": "->../f"}

func TestAttackCheckout(t *testing.T) {
	s := &chunk.Mem{}
	root := attacked.store(t, s)
	a := newArena(t)
	ok := 0
	runs, swaps := a.attack(t, attackTime, func() {
		dir := filepath.Join(a.place, "x")
		if _, err := Checkout(context.Background(), s, root, dir, CheckoutOptions{}); err == nil {
			ok++
		}
		_ = os.RemoveAll(dir)
	})
	a.check(t)
	t.Logf("%d checkouts, %d succeeded, %d swaps", runs, ok, swaps)
}

func TestAttackUpdate(t *testing.T) {
	s := &chunk.Mem{}
	roots := []tree.Root{attacked.store(t, s), disk{"a/b/f": "9", "a/b/h": "8", "f/x": "7", "d": "6", "l": "->d"}.store(t, s)}
	a := newArena(t)
	at, ok := 0, 0
	runs, swaps := a.attack(t, attackTime, func() {
		for _, force := range []bool{false, true} {
			if _, err := Update(context.Background(), s, roots[at], roots[1-at], a.place, CheckoutOptions{Force: force}); err == nil {
				ok++
			}
		}
		at = 1 - at
	})
	a.check(t)
	t.Logf("%d updates, %d succeeded, %d swaps", runs, ok, swaps)
}

func TestAttackScan(t *testing.T) {
	a := newArena(t)
	attacked.write(t, a.place)
	ok := 0
	runs, swaps := a.attack(t, attackTime, func() {
		s := &chunk.Mem{}
		edits, _, err := Edits(context.Background(), s, tree.Root{}, Options{Dir: a.place})
		if err != nil {
			return
		}
		ok++
		root, err := tree.Apply(context.Background(), s, tree.Root{}, edits)
		must(t, err)
		for path, text := range readTree(t, s, root) {
			if strings.Contains(text, secret) {
				t.Fatalf("%s holds what is outside", path)
			}
		}
	})
	a.check(t)
	t.Logf("%d scans, %d succeeded, %d swaps", runs, ok, swaps)
}

// TestLinkedParents puts links where directories were before an update.
func TestLinkedParents(t *testing.T) {
	s := &chunk.Mem{}
	from, to := disk{"a/f": secret, "b/f": "1"}.store(t, s), disk{"a/f": "2", "a/g": "3", "b/f": "1"}.store(t, s)
	for _, force := range []bool{false, true} {
		a := newArena(t)
		disk{"b/f": "1"}.write(t, a.place)
		must(t, os.Symlink(a.canary, filepath.Join(a.place, "a")))
		_, err := Update(context.Background(), s, from, to, a.place, CheckoutOptions{Force: force})
		a.check(t)
		if force {
			must(t, err)
			continue
		}
		wantProblems(t, err, ErrModified, "a", "a")
	}
}

// FuzzCheckout checks out directories that the fuzzer names.
func FuzzCheckout(f *testing.F) {
	f.Add("a/b\n../x\n/abs\nl->../canary\nl/f\n.dvx/config")
	f.Add("l->.\nl/l->..\na/../b\na//b\n\x00\na\\..\\b")
	f.Fuzz(func(t *testing.T, text string) {
		s := &chunk.Mem{}
		ctx := context.Background()
		var edits []tree.Edit
		for line := range strings.SplitSeq(text, "\n") {
			path, target, isLink := strings.Cut(line, "->")
			e := tree.Entry{Kind: tree.File}
			if isLink {
				e.Kind = tree.Symlink
			}
			var err error
			e.Content, err = chunk.WriteContent(ctx, s, chunk.DefaultParams(), strings.NewReader(target))
			must(t, err)
			edit := tree.Edit{Op: tree.Put, Path: path, Entry: e}
			if _, err := tree.Apply(ctx, s, tree.Root{}, []tree.Edit{edit}); err == nil {
				edits = append(edits, edit)
			}
		}
		root, err := tree.Apply(ctx, s, tree.Root{}, edits)
		if err != nil {
			return
		}
		top := t.TempDir()
		a := &arena{filepath.Join(top, "place"), filepath.Join(top, "canary"), disk{"f": secret}}
		must(t, os.Mkdir(a.canary, 0o755))
		a.want.write(t, a.canary)
		_, err = Checkout(ctx, s, root, a.place, CheckoutOptions{})
		a.check(t)
		names := readNames(t, top)
		if err != nil && len(names) != 1 {
			t.Fatalf("a failed checkout left %q", names)
		}
		if err == nil {
			if diff := cmp.Diff(readTree(t, s, root), readDisk(t, a.place)); diff != "" {
				t.Fatalf("disk differs from the tree (-tree +disk):\n%s", diff)
			}
		}
	})
}
