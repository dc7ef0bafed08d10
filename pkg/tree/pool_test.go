package tree

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// pool returns names of which unusually many end nodes, so that small
// directories have trees of three levels: the first 12 end nodes at level 1
// (and 0), the next 48 at level 0, the last 40 at none.
var pool = sync.OnceValue(func() []string {
	want := map[int]int{2: 12, 1: 48, 0: 40}
	k := &keyHasher{}
	var names []string
	for i := 0; len(names) < 100; i++ {
		name := fmt.Sprintf("n%d", i*7919%10_000_019)
		h := k.sum(name)
		zeros := 0
		for zeros < 2 && h[zeros] == 0 {
			zeros++
		}
		if want[zeros] > 0 {
			want[zeros]--
			names = append(names, name)
		}
	}
	rank := func(name string) int {
		h := k.sum(name)
		return cmp.Compare(int(h[0]), 0)*2 + cmp.Compare(int(h[1]), 0)
	}
	slices.SortStableFunc(names, func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	return names
})

// content returns a content that seed determines; no chunk of it is stored.
func content(seed uint64) chunk.Content {
	if seed%16 == 0 {
		return chunk.Content{}
	}
	return chunk.Content{ID: chunk.Data.Sum(fmt.Append(nil, seed)), Size: int64(seed%1000 + 1)}
}

func file(seed uint64) Entry { return Entry{Kind: File, Content: content(seed)} }

// model is a directory as a map from path to entry: files, links, and
// directories that stay though empty, "/" at the end of their path.
type model map[string]Entry

// randomModel returns files in directories up to 3 levels deep, of names from
// the pool.
func randomModel(rng *rand.Rand, n int) model {
	m := model{}
	for range n {
		names := make([]string, 1+rng.IntN(3)*rng.IntN(2))
		for i := range names[:len(names)-1] {
			names[i] = pool()[rng.IntN(100)%4*25]
		}
		names[len(names)-1] = pool()[rng.IntN(100)]
		path := strings.Join(names, "/")
		switch rng.IntN(12) {
		case 0:
			m[path] = Entry{Kind: Symlink, Content: content(rng.Uint64N(15) + 1)}
		case 1:
			m[path] = Entry{Kind: File, Exec: true, Content: content(rng.Uint64N(50))}
		case 2:
			m[path+"/"] = Entry{Kind: Dir}
		default:
			m[path] = file(rng.Uint64N(50))
		}
	}
	return m
}

func (m model) paths() []string { return slices.Sorted(maps.Keys(m)) }

// build builds the model's directory, in the order of the paths given.
func (m model) build(t testing.TB, s chunk.Store, paths []string) Root {
	t.Helper()
	ctx := context.Background()
	empty, err := Empty(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	root, err := Build(ctx, s, func(yield func(string, Entry) bool) {
		for _, path := range paths {
			e := m[path]
			if e.Kind == Dir {
				e.Dir = empty
			}
			if !yield(path, e) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func apply(t testing.TB, s chunk.Store, base Root, edits ...Edit) Root {
	t.Helper()
	checkSorted(t, s, base, edits)
	root, err := Apply(context.Background(), s, base, edits)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func diff(t testing.TB, s chunk.Store, a, b Root, o DiffOptions) []Change {
	t.Helper()
	var out []Change
	for c, err := range Diff(context.Background(), s, a, s, b, o) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	if !slices.IsSortedFunc(out, func(a, b Change) int { return cmp.Compare(a.Path, b.Path) }) {
		t.Fatalf("changes out of order: %v", out)
	}
	return out
}
