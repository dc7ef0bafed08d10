package tree

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// gets counts what is read of a reader.
type gets struct {
	chunk.Reader
	mu sync.Mutex
	n  int
}

func (g *gets) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	g.mu.Lock()
	g.n++
	g.mu.Unlock()
	return g.Reader.Get(ctx, kind, id)
}

func TestCache(t *testing.T) {
	ctx := context.Background()
	s := &chunk.Mem{}
	paths := numbered(5000)
	root, err := Build(ctx, s, inOrder(paths))
	if err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int64{0, 100 << 10, 64 << 20} {
		g := &gets{Reader: s}
		c := NewCache(limit)
		r := c.Reader(g)
		var all sync.WaitGroup
		for w := range 4 {
			all.Go(func() {
				for i := w; i < len(paths); i += 7 {
					if e, err := Open(r, root).Lookup(ctx, paths[i]); err != nil || e.Key() == "" {
						t.Errorf("%s: %+v, %v", paths[i], e, err)
					}
				}
			})
		}
		all.Wait()
		if c.size > limit {
			t.Errorf("%d bytes are kept, more than %d", c.size, limit)
		}
		before := g.n
		if got := fmt.Sprint(walked(t, r, root, WalkOptions{})); got != fmt.Sprint(walked(t, s, root, WalkOptions{})) {
			t.Error("a walk through the cache differs")
		}
		if read := g.n - before; limit == 64<<20 && read > 0 || limit == 0 && read == 0 {
			t.Errorf("limit %d: %d nodes read again", limit, read)
		}
	}
}

// TestPreload: what is preloaded is not read again, and what can't be read is
// an error; without a cache nothing is read.
func TestPreload(t *testing.T) {
	ctx := context.Background()
	s := &chunk.Mem{}
	var roots []Root
	for i := range 20 {
		root, err := Build(ctx, s, inOrder(numbered(1+i%10)))
		if err != nil {
			t.Fatal(err)
		}
		roots = append(roots, root)
	}
	g := &gets{Reader: s}
	if err := Preload(ctx, g, roots); err != nil || g.n != 0 {
		t.Errorf("without a cache: %d nodes read, %v", g.n, err)
	}
	r := NewCache(64 << 20).Reader(g)
	if err := Preload(ctx, r, append(roots, Root{})); err != nil || g.n != 10 {
		t.Errorf("%d nodes read, want 10, %v", g.n, err)
	}
	for _, root := range roots {
		if got, want := fmt.Sprint(walked(t, r, root, WalkOptions{})), fmt.Sprint(walked(t, s, root, WalkOptions{})); got != want {
			t.Errorf("walked %s, want %s", got, want)
		}
	}
	if err := Preload(ctx, r, roots); err != nil || g.n != 10 {
		t.Errorf("%d nodes read in all, want 10, %v", g.n, err)
	}
	if err := Preload(ctx, r, []Root{{ID: ID{1}}}); !errors.Is(err, chunk.ErrNotFound) {
		t.Errorf("of a directory that is not there: %v", err)
	}
}
