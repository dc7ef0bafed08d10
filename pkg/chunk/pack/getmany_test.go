package pack

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

// counting counts the reads of packs.
type counting struct {
	objstore.Store
	gets atomic.Int64
}

func (c *counting) Get(ctx context.Context, key string, r objstore.Range) (io.ReadCloser, objstore.Info, error) {
	if strings.HasPrefix(key, "packs/") {
		c.gets.Add(1)
	}
	return c.Store.Get(ctx, key, r)
}

func TestGetMany(t *testing.T) {
	objects := &counting{Store: mem.New(mem.Options{})}
	st := open(t, objects, Options{PackSize: 64 << 10})
	s := session(t, st, nil, name1)
	texts := make([]string, 200)
	ids := make([]chunk.ID, len(texts))
	for i := range texts {
		texts[i] = randomText(1+i*7, uint64(i))
		if i%3 == 0 {
			texts[i] = strings.Repeat(texts[i], 5) // zstd pays
		}
		ids[i] = put(t, s, chunk.Data, texts[i])
	}
	flush(t, s)
	snap := snapshot(t, st, s.Segments()...)
	packs := 0
	for _, err := range snap.Packs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		packs++
	}

	rng := rand.New(rand.NewPCG(1, 2))
	order := rng.Perm(len(ids))
	order = append(order, 7, 7)
	asked := make([]chunk.ID, len(order))
	for i, at := range order {
		asked[i] = ids[at]
	}
	given := map[int]bool{}
	objects.gets.Store(0)
	err := chunk.GetMany(t.Context(), snap, chunk.Data, asked, func(i int, plain []byte) error {
		if given[i] || string(plain) != texts[order[i]] {
			t.Errorf("chunk %d: %d bytes, given before: %v", i, len(plain), given[i])
		}
		given[i] = true
		return nil
	})
	if err != nil || len(given) != len(order) {
		t.Errorf("%d of %d chunks, %v", len(given), len(order), err)
	}
	if n := int(objects.gets.Load()); n != packs {
		t.Errorf("%d reads of %d packs", n, packs)
	}

	stop := errors.New("stop")
	if err := snap.GetMany(t.Context(), chunk.Data, asked, func(int, []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("an error of the caller's function: %v", err)
	}
	missing := append(asked, chunk.Data.Sum([]byte("never put")))
	if err := snap.GetMany(t.Context(), chunk.Data, missing, func(int, []byte) error { return nil }); !errors.Is(err, chunk.ErrNotFound) {
		t.Errorf("a chunk that is not there: %v", err)
	}
}

// TestGetManyDamaged: damage is named, and what is damaged is never given.
func TestGetManyDamaged(t *testing.T) {
	objects := mem.New(mem.Options{})
	st := open(t, objects, Options{})
	s := session(t, st, nil, name1)
	texts := []string{randomText(100, 1), randomText(100, 2), randomText(100, 3)}
	var ids []chunk.ID
	for _, text := range texts {
		ids = append(ids, put(t, s, chunk.Data, text))
	}
	flush(t, s)
	snap := snapshot(t, st, s.Segments()...)
	at, err := snap.Location(t.Context(), chunk.Data, ids[1])
	if err != nil {
		t.Fatal(err)
	}
	damage(t, objects, at.Pack, int64(at.Offset)+5)
	err = snap.GetMany(t.Context(), chunk.Data, ids, func(i int, plain []byte) error {
		if i == 1 || string(plain) != texts[i] {
			t.Errorf("given chunk %d", i)
		}
		return nil
	})
	if !errors.Is(err, chunk.ErrCorrupt) || !strings.Contains(err.Error(), ids[1].Short()) {
		t.Errorf("damaged chunk: %v", err)
	}
}

// lying is a table that says of one chunk that it takes 2 GiB.
type lying struct {
	table
	id chunk.ID
}

func (l *lying) locations(ctx context.Context, kind chunk.Kind, id *chunk.ID) ([]Location, error) {
	all, err := l.table.locations(ctx, kind, id)
	for i := range all {
		if *id == l.id {
			all[i].Stored, all[i].Plain = 1<<31, 1<<31
		}
	}
	return all, err
}

// TestGetManyImpossiblePlaces: what an index says of a place is looked at
// before memory is taken for it.
func TestGetManyImpossiblePlaces(t *testing.T) {
	objects := &counting{Store: mem.New(mem.Options{})}
	st := open(t, objects, Options{})
	s := session(t, st, nil, name1)
	texts := []string{randomText(100, 1), randomText(100, 2)}
	ids := []chunk.ID{put(t, s, chunk.Data, texts[0]), put(t, s, chunk.Data, texts[1])}
	flush(t, s)
	snap := snapshot(t, st, s.Segments()...)
	snap.segs[0] = &lying{snap.segs[0], ids[0]}
	objects.gets.Store(0)
	given := 0
	err := snap.GetMany(t.Context(), chunk.Data, ids, func(i int, plain []byte) error {
		if given++; i != 1 || string(plain) != texts[i] {
			t.Errorf("given chunk %d", i)
		}
		return nil
	})
	if !errors.Is(err, chunk.ErrCorrupt) || given != 1 {
		t.Errorf("a place of 2 GiB: %v, %d chunks given", err, given)
	}
	if n := objects.gets.Load(); n != 1 {
		t.Errorf("%d reads for the one chunk that has a place", n)
	}
}

// damage flips a bit of an object.
func damage(t *testing.T, objects objstore.Store, key string, at int64) {
	t.Helper()
	rc, _, err := objects.Get(t.Context(), key, objstore.Range{})
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(rc)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1
	if err := objects.Delete(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if _, err := objects.Put(t.Context(), key, objstore.Bytes(b), objstore.Condition{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
}
