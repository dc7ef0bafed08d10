package tree

import (
	"context"
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
