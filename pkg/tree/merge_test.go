package tree

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// change returns a copy of m with some files changed, removed and added.
func (m model) change(rng *rand.Rand, n int) model {
	out := model{}
	for path, e := range m {
		out[path] = e
	}
	paths := m.paths()
	for range n {
		if len(paths) > 0 && rng.IntN(2) == 0 {
			path := paths[rng.IntN(len(paths))]
			if delete(out, path); rng.IntN(2) == 0 {
				out[path] = file(rng.Uint64N(50))
			}
			continue
		}
		for path, e := range randomModel(rng, 1) {
			out[path] = e
		}
	}
	for path, e := range out {
		if e.Kind == Dir {
			delete(out, path)
		}
	}
	return out
}

// TestMergeMatchesModel merges random changes and holds the result against a
// merge of maps, path by path.
func TestMergeMatchesModel(t *testing.T) {
	ctx := context.Background()
	clean := 0
	for seed := range uint64(120) {
		rng := rand.New(rand.NewPCG(4, seed))
		s := &chunk.Mem{}
		mb := model{}.change(rng, rng.IntN(150))
		n := 1 + rng.IntN(12)
		mo, mt := mb.change(rng, n), mb.change(rng, n)
		base, ours, theirs := mb.build(t, s, mb.paths()), mo.build(t, s, mo.paths()), mt.build(t, s, mt.paths())
		got, conflicts, err := Merge(ctx, s, base, ours, theirs)
		if err != nil {
			t.Fatal(err)
		}
		want, bad := mergeModels(mb, mo, mt)
		var named []string
		for _, c := range conflicts {
			named = append(named, c.Path)
		}
		slices.Sort(named)
		beside := pairs(want, mo, mt)
		if len(beside) == 0 {
			if d := cmp.Diff(bad, named); d != "" {
				t.Fatalf("seed %d: conflicts %s", seed, d)
			}
			if root := want.build(t, s, want.paths()); got != root {
				t.Fatalf("seed %d: got %+v, want %+v", seed, got, root)
			}
			clean++
			continue
		}
		for _, path := range beside {
			if !slices.Contains(named, path) {
				t.Fatalf("seed %d: %q beside a directory is not among %q", seed, path, named)
			}
		}
	}
	if clean < 40 {
		t.Errorf("only %d merges had no file beside a directory", clean)
	}
}

// mergeModels merges path by path; ours holds in conflicts.
func mergeModels(base, ours, theirs model) (model, []string) {
	out := model{}
	var conflicts []string
	all := model{}
	for _, m := range []model{base, ours, theirs} {
		for path := range m {
			all[path] = Entry{}
		}
	}
	for _, path := range all.paths() {
		b, o, t := base[path], ours[path], theirs[path]
		pick := o
		switch {
		case sameContent(&b, &o):
			pick = t
		case !sameContent(&b, &t) && !sameContent(&o, &t):
			conflicts = append(conflicts, path)
		}
		if pick.Kind != 0 {
			out[path] = pick
		}
	}
	return out, conflicts
}

// pairs returns the files of m that lie beside a directory of their name,
// unless they do so in ours or theirs too.
func pairs(m, ours, theirs model) []string {
	beside := func(m model, path string) bool {
		_, ok := m[path]
		return ok && slices.ContainsFunc(m.paths(), func(p string) bool {
			return len(p) > len(path) && p[:len(path)+1] == path+"/"
		})
	}
	var out []string
	for _, path := range m.paths() {
		if beside(m, path) && !beside(ours, path) && !beside(theirs, path) {
			out = append(out, path)
		}
	}
	return out
}

func TestMergeConflicts(t *testing.T) {
	ctx := context.Background()
	for _, tt := range []struct {
		name               string
		base, ours, theirs model
		want               []string
		merged             model
	}{
		{"both change", model{"d/a": file(1)}, model{"d/a": file(2)}, model{"d/a": file(3)}, []string{"d/a"}, model{"d/a": file(2)}},
		{"both change alike", model{"d/a": file(1)}, model{"d/a": file(2)}, model{"d/a": file(2)}, nil, model{"d/a": file(2)}},
		{"changed and removed", model{"d/a": file(1), "d/b": file(1)}, model{"d/a": file(2), "d/b": file(1)}, model{}, []string{"d/a"}, model{"d/a": file(2)}},
		{"removed and changed", model{"d/a": file(1), "d/b": file(1)}, model{}, model{"d/a": file(2), "d/b": file(1)}, []string{"d/a"}, model{}},
		{"both add to a new directory", model{}, model{"d/a": file(1)}, model{"d/b": file(2)}, nil, model{"d/a": file(1), "d/b": file(2)}},
		{"file beside directory", model{}, model{"x": file(1)}, model{"x/y": file(2)}, []string{"x"}, model{"x": file(1)}},
		{"directory beside file", model{}, model{"x/y": file(2)}, model{"x": file(1)}, []string{"x"}, model{"x/y": file(2)}},
		{"both beside in theirs alone", model{}, model{}, model{"x": file(1), "x/y": file(2)}, nil, model{"x": file(1), "x/y": file(2)}},
		{"directory becomes file, emptied by ours", model{"x/y": file(1), "x/z": file(1)}, model{"x/y": file(1)}, model{"x": file(1)}, nil, model{"x": file(1)}},
		{"directory becomes file, grown by ours", model{"x/y": file(1)}, model{"x/y": file(1), "x/z": file(1)}, model{"x": file(1)}, []string{"x"}, model{"x/z": file(1)}},
		{"last entry removed by both sides together", model{"x/y": file(1), "x/z": file(1)}, model{"x/y": file(1)}, model{"x/z": file(1)}, nil, model{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := &chunk.Mem{}
			build := func(m model) Root { return m.build(t, s, m.paths()) }
			got, conflicts, err := Merge(ctx, s, build(tt.base), build(tt.ours), build(tt.theirs))
			if err != nil {
				t.Fatal(err)
			}
			var named []string
			for _, c := range conflicts {
				named = append(named, c.Path)
			}
			if d := cmp.Diff(tt.want, named); d != "" {
				t.Errorf("conflicts: %s", d)
			}
			if want := build(tt.merged); got != want {
				t.Errorf("merged to %q", walked(t, s, got, WalkOptions{}))
			}
		})
	}
}

// TestUnionIncrements withdraws and adds parts and compares with the union of
// all parts that remain.
func TestUnionIncrements(t *testing.T) {
	ctx := context.Background()
	for seed := range uint64(25) {
		rng := rand.New(rand.NewPCG(5, seed))
		s := &chunk.Mem{}
		part := func(i, version int) Part {
			m := model{}
			drawn := randomModel(rng, rng.IntN(6))
			for _, path := range drawn.paths() {
				e := drawn[path]
				if e.Kind == Dir { // empty directories are not to count
					path = path[:len(path)-1] + fmt.Sprintf(".%d/", rng.IntN(3))
				} else {
					path += fmt.Sprintf(".%d", i)
				}
				m[path] = e
			}
			if rng.IntN(3) == 0 {
				m[fmt.Sprintf("own%d/sub/f", i)] = file(uint64(version))
			}
			return Part{Name: fmt.Sprint("datum ", i), Root: m.build(t, s, m.paths())}
		}
		parts := map[int]Part{}
		var root Root
		for version := range 8 {
			var withdrawn []Root
			var added []Part
			for i := range 12 {
				if rng.IntN(2) == 0 {
					continue
				}
				if p, ok := parts[i]; ok {
					withdrawn = append(withdrawn, p.Root)
					delete(parts, i)
				}
				if rng.IntN(3) > 0 {
					parts[i] = part(i, version)
					added = append(added, parts[i])
				}
			}
			var err error
			if root, err = Union(ctx, s, root, withdrawn, added); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			var all []Part
			for _, p := range parts {
				all = append(all, p)
			}
			full, err := Union(ctx, s, Root{}, nil, all)
			if err != nil {
				t.Fatal(err)
			}
			if root != full {
				t.Fatalf("seed %d, version %d: increments make %q, all parts %q", seed, version,
					walked(t, s, root, WalkOptions{Dirs: true}), walked(t, s, full, WalkOptions{Dirs: true}))
			}
		}
	}
}

func TestUnionConflicts(t *testing.T) {
	ctx := context.Background()
	s := &chunk.Mem{}
	part := func(name string, paths ...string) Part {
		m := model{}
		for _, p := range paths {
			m[p] = file(1)
		}
		return Part{Name: name, Root: m.build(t, s, m.paths())}
	}
	x, xy, dxy, other := part("A", "d/x"), part("B", "d/x", "d/y"), part("C", "d/x/y"), part("D", "d/o")
	for _, tt := range []struct {
		name  string
		base  []Part
		added []Part
		want  PathConflict
	}{
		{"same file", nil, []Part{x, xy}, PathConflict{"d/x", "A", "B"}},
		{"same file as before", []Part{x, other}, []Part{xy}, PathConflict{"d/x", "", "B"}},
		{"directory beside file", nil, []Part{x, dxy}, PathConflict{"d/x", "A", "C"}},
		{"directory beside file before", []Part{x, other}, []Part{dxy}, PathConflict{"d/x", "", "C"}},
		{"file beside directory before", []Part{dxy, other}, []Part{x}, PathConflict{"d/x", "", "A"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base, err := Union(ctx, s, Root{}, nil, tt.base)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Union(ctx, s, base, nil, tt.added)
			var got *PathConflict
			if !errors.As(err, &got) || *got != tt.want {
				t.Errorf("got %v, want %v", err, &tt.want)
			}
		})
	}
	base, err := Union(ctx, s, Root{}, nil, []Part{x, other})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := Union(ctx, s, base, []Root{x.Root}, []Part{dxy}); err != nil {
		t.Errorf("a directory in place of a withdrawn file: %v, %v", got, err)
	}
	if got, err := Union(ctx, s, base, []Root{xy.Root}, nil); err == nil {
		t.Errorf("withdrew what is not there: %v", got)
	}
}
