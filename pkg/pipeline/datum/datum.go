package datum

import (
	"cmp"
	"slices"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Datum is the part of the inputs that one run of the program sees.
type Datum struct {
	// Identity says what a result of the datum replaces. No two datums of a job
	// have the same. That of a single repo is the input's name and the path that
	// it selects, "images:/2026/a.png", a directory's with "/" at the end. Those
	// of combinations are made of such parts: "images:/a;masks:/b" of a cross,
	// "images+masks=KEY" of a join or group.
	Identity string
	Inputs   []task.Input // in order of the spec
	Setting  int          // of the spec's sweep, as spec.Settings has them
}

// Change is a datum that was added, removed, or has other content.
type Change struct {
	Kind  tree.ChangeKind
	Datum Datum // with the new content; the old of a removed one
}

// pick is something that a leaf selects.
type pick struct {
	leaf *leaf
	spec.Selected
}

// same reports whether the program would see the same of both picks.
func (p pick) same(o pick) bool {
	a, b := p.Entry, o.Entry
	if p.leaf != o.leaf || p.Path != o.Path || p.leaf.in.Reference {
		return p.leaf == o.leaf && p.Path == o.Path
	}
	return a.Kind == b.Kind && a.Exec == b.Exec && a.Content == b.Content && a.Dir.Content == b.Dir.Content
}

// tuple is a datum, or the part of one that some of the inputs give.
type tuple struct {
	id    string
	picks []pick
}

// and returns the tuple of both.
func (t tuple) and(o tuple) tuple {
	if len(t.picks) == 0 {
		return o
	}
	return tuple{id: t.id + ";" + o.id, picks: slices.Concat(t.picks, o.picks)}
}

// same reports whether the program would see the same of both tuples.
func (t tuple) same(o tuple) bool { return slices.EqualFunc(t.picks, o.picks, pick.same) }

// datum returns the datum of a tuple: its picks by leaf, in order of the spec,
// each once and in order of path.
func (t tuple) datum() Datum {
	d := Datum{Identity: t.id}
	if len(t.picks) == 1 {
		d.Inputs = []task.Input{t.picks[0].leaf.input(task.Item(t.picks[0].Selected))}
		return d
	}
	picks := inOrder(t.picks)
	for i, p := range picks {
		if i == 0 || p.leaf != picks[i-1].leaf {
			d.Inputs = append(d.Inputs, p.leaf.input())
		}
		in := &d.Inputs[len(d.Inputs)-1]
		in.Items = append(in.Items, task.Item(p.Selected))
	}
	return d
}

// inOrder returns picks by leaf, in order of the spec, each once and in order of
// path.
func inOrder(picks []pick) []pick {
	picks = slices.Clone(picks)
	slices.SortStableFunc(picks, func(a, b pick) int {
		return cmp.Or(cmp.Compare(a.leaf.index, b.leaf.index), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Entry.Kind, b.Entry.Kind))
	})
	return slices.CompactFunc(picks, func(a, b pick) bool {
		return a.leaf == b.leaf && a.Path == b.Path && a.Entry.Kind == b.Entry.Kind
	})
}

// input returns what the program sees of the leaf.
func (l *leaf) input(items ...task.Item) task.Input {
	in := task.Input{Name: l.in.Name, Value: l.in.Value, Items: items}
	switch {
	case l.in.Lazy:
		in.Mode = task.Lazy
	case l.in.EmptyFiles:
		in.Mode = task.Empty
	}
	return in
}
