package commit_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
)

// graph builds commits in memory, with the ancestors of each as a set.
type graph struct {
	chunk.Mem
	ids  []commit.ID
	anc  map[commit.ID]map[commit.ID]bool // of a commit, itself included
	time map[commit.ID]int
}

func newGraph() *graph {
	return &graph{anc: map[commit.ID]map[commit.ID]bool{}, time: map[commit.ID]int{}}
}

func (g *graph) add(t testing.TB, ms int, parents ...commit.ID) commit.ID {
	t.Helper()
	c := minimal()
	c.Time = time.UnixMilli(int64(ms)).UTC()
	c.Parents = parents
	c.Labels = map[string]string{"n": string(rune('0' + len(g.ids)))}
	id, err := commit.Save(t.Context(), &g.Mem, c)
	if err != nil {
		t.Fatal(err)
	}
	g.ids = append(g.ids, id)
	g.anc[id] = map[commit.ID]bool{id: true}
	g.time[id] = ms
	for _, p := range parents {
		for a := range g.anc[p] {
			g.anc[id][a] = true
		}
	}
	return id
}

func (g *graph) log(t testing.TB, from commit.ID, o commit.LogOptions) []commit.ID {
	t.Helper()
	var ids []commit.ID
	for e, err := range commit.Log(t.Context(), &g.Mem, from, o) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, e.ID)
	}
	return ids
}

func TestGraphModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		g := newGraph()
		n := rapid.IntRange(1, 9).Draw(rt, "commits")
		for i := range n {
			var parents []commit.ID
			ms := 1
			if i > 0 {
				picks := rapid.SliceOfNDistinct(rapid.IntRange(0, i-1), 0, min(i, 3), rapid.ID[int]).Draw(rt, "parents")
				for _, p := range picks {
					parents = append(parents, g.ids[p])
					ms = max(ms, g.time[g.ids[p]]+rapid.IntRange(1, 4).Draw(rt, "gap"))
				}
			}
			g.add(t, ms, parents...)
		}
		for _, a := range g.ids {
			checkLog(t, g, a)
			for _, b := range g.ids {
				got, err := commit.IsAncestor(t.Context(), &g.Mem, a, b)
				if err != nil || got != g.anc[b][a] {
					rt.Fatalf("IsAncestor(%v, %v) = %v, %v", a.Short(), b.Short(), got, err)
				}
				checkBase(rt, t, g, a, b)
			}
		}
	})
}

func checkLog(t *testing.T, g *graph, from commit.ID) {
	t.Helper()
	ids := g.log(t, from, commit.LogOptions{})
	if len(ids) != len(g.anc[from]) {
		t.Fatalf("log yields %d commits of %d", len(ids), len(g.anc[from]))
	}
	for i, id := range ids {
		if !g.anc[from][id] || i > 0 && g.time[id] > g.time[ids[i-1]] {
			t.Fatalf("log: %v at place %d", id.Short(), i)
		}
	}
}

func checkBase(rt *rapid.T, t *testing.T, g *graph, a, b commit.ID) {
	base, err := commit.MergeBase(t.Context(), &g.Mem, a, b)
	if err != nil {
		rt.Fatal(err)
	}
	other, err := commit.MergeBase(t.Context(), &g.Mem, b, a)
	if err != nil || other != base {
		rt.Fatalf("MergeBase depends on the order: %v, %v, %v", base.Short(), other.Short(), err)
	}
	common := 0
	for _, c := range g.ids {
		if g.anc[a][c] && g.anc[b][c] {
			common++
			if c != base && g.anc[c][base] {
				rt.Fatalf("common ancestor %v descends from base %v", c.Short(), base.Short())
			}
		}
	}
	if common == 0 != base.IsZero() || common > 0 && !(g.anc[a][base] && g.anc[b][base]) {
		rt.Fatalf("base %v of %d common ancestors", base.Short(), common)
	}
}

func TestFirstParentLog(t *testing.T) {
	g := newGraph()
	a := g.add(t, 1)
	b := g.add(t, 2, a)
	side := g.add(t, 3, a)
	m := g.add(t, 4, b, side)
	got := g.log(t, m, commit.LogOptions{FirstParent: true})
	if want := []commit.ID{m, b, a}; len(got) != 3 || got[0] != want[0] || got[1] != want[1] || got[2] != want[2] {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestPruning counts reads: an answer near the head costs what is near it.
func TestPruning(t *testing.T) {
	g := newGraph()
	last := g.add(t, 1)
	for i := range 200 {
		last = g.add(t, i+2, last)
	}
	x, y := g.add(t, 300, last), g.add(t, 301, last)
	before, _ := g.Counts()
	if ok, err := commit.IsAncestor(t.Context(), &g.Mem, x, y); err != nil || ok {
		t.Fatal(ok, err)
	}
	if base, err := commit.MergeBase(t.Context(), &g.Mem, x, y); err != nil || base != last {
		t.Fatal(base, err)
	}
	if after, _ := g.Counts(); after-before > 10 {
		t.Errorf("%d reads", after-before)
	}
}

func TestGraphErrors(t *testing.T) {
	g := newGraph()
	a := g.add(t, 5)
	b := g.add(t, 5, a) // not newer than its parent
	lost := g.add(t, 9, id(7))
	ctx := t.Context()
	if _, err := commit.IsAncestor(ctx, &g.Mem, g.add(t, 1), b); !errors.Is(err, chunk.ErrCorrupt) {
		t.Errorf("IsAncestor in a history that runs backwards: %v", err)
	}
	if _, err := commit.MergeBase(ctx, &g.Mem, b, g.add(t, 1)); !errors.Is(err, chunk.ErrCorrupt) {
		t.Errorf("MergeBase in a history that runs backwards: %v", err)
	}
	c, err := commit.Load(ctx, &g.Mem, b)
	if err != nil {
		t.Fatal(err)
	}
	if err := commit.CheckParents(ctx, &g.Mem, c); !errors.Is(err, chunk.ErrCorrupt) {
		t.Errorf("CheckParents: %v", err)
	}
	n := 0
	for e, err := range commit.Log(ctx, &g.Mem, lost, commit.LogOptions{}) {
		n++
		if err != nil && (!errors.Is(err, chunk.ErrNotFound) || e.ID != id(7)) {
			t.Errorf("log of a history with a hole: %v at %v", err, e.ID.Short())
		}
	}
	if n != 2 {
		t.Errorf("%d steps of a log with a hole", n)
	}
}
