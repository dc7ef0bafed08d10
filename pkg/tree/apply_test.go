package tree

import (
	"context"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// TestHistoryIndependence makes 1,000 random histories that end in the same
// content: in whatever order and batches entries come and go, the storage ID
// and the content ID are the same.
func TestHistoryIndependence(t *testing.T) {
	for target := range uint64(20) {
		rng := rand.New(rand.NewPCG(1, target))
		s := &chunk.Mem{}
		m := randomModel(rng, 1+rng.IntN(80))
		want := m.build(t, s, m.paths())
		for range 50 {
			if got := m.history(t, s, rng); got != want {
				t.Fatalf("target %d: root %+v, want %+v", target, got, want)
			}
		}
	}
}

// history reaches the model from another model by edits in random order and
// batches.
func (m model) history(t *testing.T, s chunk.Store, rng *rand.Rand) Root {
	start := randomModel(rng, rng.IntN(80))
	order := start.paths()
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	root := start.build(t, s, order)

	// Empty directories are made at the end, since a directory that loses its
	// last entry goes.
	var edits, made []Edit
	for _, path := range m.paths() {
		e := m[path]
		if e.Kind == Dir {
			made = append(made, Edit{Op: MakeDir, Path: path})
		} else {
			edits = append(edits, Edit{Op: Put, Path: path, Entry: e, SetAttrs: rng.IntN(2) == 0})
		}
	}
	for _, path := range start.paths() {
		if _, keep := m[path]; keep {
			continue
		}
		if start[path].Kind == Dir {
			below := slices.ContainsFunc(m.paths(), func(p string) bool { return strings.HasPrefix(p, path) })
			if !below {
				edits = append(edits, Edit{Op: DeleteDir, Path: path})
			}
			continue
		}
		edits = append(edits, Edit{Op: Delete, Path: path})
	}
	rng.Shuffle(len(edits), func(i, j int) { edits[i], edits[j] = edits[j], edits[i] })
	for len(edits) > 0 {
		n := min(len(edits), 1+rng.IntN(1+rng.IntN(100)))
		var err error
		if root, err = Apply(t.Context(), s, root, edits[:n]); err != nil {
			t.Fatal(err)
		}
		edits = edits[n:]
	}
	return apply(t, s, root, made...)
}

func TestDiffThenApply(t *testing.T) {
	for seed := range uint64(80) {
		rng := rand.New(rand.NewPCG(2, seed))
		s := &chunk.Mem{}
		ma, mb := randomModel(rng, rng.IntN(200)), randomModel(rng, rng.IntN(200))
		if seed%2 == 0 { // a few changes only
			mb = model{}
			for _, path := range ma.paths() {
				if rng.IntN(20) > 0 {
					mb[path] = ma[path]
				}
			}
		}
		a, b := ma.build(t, s, ma.paths()), mb.build(t, s, mb.paths())
		for from, base := range map[string]Root{"a": a, "b": b, "nothing": {}} {
			if err := VerifyChange(context.Background(), s, base, b); err != nil {
				t.Fatalf("seed %d, from %s: %v", seed, from, err)
			}
		}
		for _, o := range []DiffOptions{{}, {Expand: true}, {Storage: true}, {Storage: true, Expand: true}} {
			var edits []Edit
			for _, c := range diff(t, s, a, b, o) {
				edits = append(edits, c.Edit())
			}
			if got := apply(t, s, a, edits...); got != b {
				t.Fatalf("seed %d, %+v: got %+v, want %+v", seed, o, got, b)
			}
		}
	}
}

func TestDiffPrefixAfter(t *testing.T) {
	rngModels(t, 30, func(t *testing.T, s *chunk.Mem, a, b Root) {
		all := diff(t, s, a, b, DiffOptions{Expand: true})
		for i, c := range all {
			prefix := c.Path[:1+i%len(c.Path)]
			var want []Change
			for _, c := range all {
				if strings.HasPrefix(c.Path, prefix) {
					want = append(want, c)
				}
			}
			for _, after := range []string{"", prefix, all[i/2].Path, all[i/2].Path + "\xff", all[len(all)-1-i/2].Path + "/"} {
				got := diff(t, s, a, b, DiffOptions{Expand: true, Prefix: prefix, After: after})
				want := slices.DeleteFunc(slices.Clone(want), func(c Change) bool { return c.Path <= after })
				if !slices.EqualFunc(got, want, func(a, b Change) bool { return a.Path == b.Path && a.Kind == b.Kind }) {
					t.Fatalf("prefix %q after %q: got %v, want %v", prefix, after, got, want)
				}
			}
		}
	})
}

// TestBuilderBatches adds more entries out of order than one batch holds.
func TestBuilderBatches(t *testing.T) {
	ctx := context.Background()
	s := &chunk.Mem{}
	paths := numbered(builderBatch + 1000)
	want, err := Build(ctx, s, inOrder(paths))
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(paths)
	got, err := Build(ctx, s, inOrder(paths))
	if err != nil || got != want {
		t.Fatalf("got %+v, %v; want %+v", got, err, want)
	}
}

func inOrder(paths []string) func(yield func(string, Entry) bool) {
	return func(yield func(string, Entry) bool) {
		for _, path := range paths {
			if !yield(path, Entry{Kind: File}) {
				return
			}
		}
	}
}
