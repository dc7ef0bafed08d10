package datum

import (
	"context"
	"fmt"
	"iter"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Datum is the part of the inputs that one run of the program sees.
type Datum struct {
	// Identity says what a result of the datum replaces: the input's name and
	// the path that it selects, "images:/2026/a.png", a directory's with "/" at
	// the end. No two datums of a job have the same.
	Identity string
	Inputs   []task.Input // in order of the spec
}

// newDatum returns the datum of what an input selects.
func newDatum(in spec.Input, s spec.Selected) Datum {
	id := in.Name + ":/" + s.Path
	if s.Entry.Kind == tree.Dir && s.Path != "" {
		id += "/"
	}
	return Datum{Identity: id, Inputs: []task.Input{{Name: in.Name, Items: []task.Item{task.Item(s)}}}}
}

// List yields the datums of an input at root, in order of path, as it finds
// them: it reads no more of the tree than the glob can select from. A zero
// root has none. The sequence ends after an error.
func List(ctx context.Context, r chunk.Reader, root tree.Root, in spec.Input) iter.Seq2[Datum, error] {
	return func(yield func(Datum, error) bool) {
		fail := func(err error) { yield(Datum{}, fmt.Errorf("list datums of input %s: %w", in.Name, err)) }
		g, err := spec.CompileGlob(in.Glob)
		if err != nil {
			fail(err)
			return
		}
		for s, err := range g.Select(ctx, r, root) {
			if err != nil {
				fail(err)
				return
			}
			if !yield(newDatum(in, s), nil) {
				return
			}
		}
	}
}

// Change is a datum that was added, removed, or has other content.
type Change struct {
	Kind  tree.ChangeKind
	Datum Datum // with the new content; the old of a removed one
}

// Changes yields how the datums of an input differ from the tree old,
// read through ro, to the tree now, read through rn, in order of path. A zero
// root has no datums. The cost follows the differences between the trees, not
// their size. The sequence ends after an error.
func Changes(ctx context.Context, ro chunk.Reader, old tree.Root, rn chunk.Reader, now tree.Root, in spec.Input) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		fail := func(err error) { yield(Change{}, fmt.Errorf("compare datums of input %s: %w", in.Name, err)) }
		g, err := spec.CompileGlob(in.Glob)
		if err != nil {
			fail(err)
			return
		}
		for c, err := range g.Changes(ctx, ro, old, rn, now) {
			if err != nil {
				fail(err)
				return
			}
			if !yield(Change{Kind: c.Kind, Datum: newDatum(in, c.Selected)}, nil) {
				return
			}
		}
	}
}
