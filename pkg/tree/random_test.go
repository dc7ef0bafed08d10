package tree

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// rngModels calls fn with n pairs of random directories.
func rngModels(t *testing.T, n uint64, fn func(t *testing.T, s *chunk.Mem, a, b Root)) {
	for seed := range n {
		rng := rand.New(rand.NewPCG(6, seed))
		s := &chunk.Mem{}
		ma, mb := randomModel(rng, rng.IntN(120)), randomModel(rng, rng.IntN(120))
		fn(t, s, ma.build(t, s, ma.paths()), mb.build(t, s, mb.paths()))
	}
}

// rngEdits adds and removes some of the names at random, a few or many at a
// time.
func rngEdits(t *testing.T, names []string) {
	rng := rand.New(rand.NewPCG(7, 7))
	s := &chunk.Mem{}
	m := model{}
	for _, name := range names {
		if rng.IntN(2) == 0 {
			m[name] = file(1)
		}
	}
	root := m.build(t, s, m.paths())
	for round := range 12 {
		var edits []Edit
		from, n := rng.IntN(len(names)), 1<<round
		for i := range n {
			name := names[(from+i)%len(names)]
			if _, ok := m[name]; ok && round%3 > 0 {
				delete(m, name)
				edits = append(edits, Edit{Op: Delete, Path: name})
			} else {
				m[name] = file(uint64(round))
				edits = append(edits, Edit{Op: Put, Path: name, Entry: m[name]})
			}
		}
		root = apply(t, s, root, edits...)
		if want := m.build(t, s, m.paths()); root != want {
			t.Fatalf("round %d: %+v, want %+v", round, root, want)
		}
	}
	if err := Verify(context.Background(), s, root); err != nil {
		t.Fatal(err)
	}
}

// TestAllNatural edits a directory of which every name ends a node.
func TestAllNatural(t *testing.T) {
	rngEdits(t, sortedCopy(pool()[:60]))
}
