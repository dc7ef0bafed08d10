package spec

import (
	"context"
	"iter"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Change is a selected entry that was added, removed, or has other content.
type Change struct {
	Kind     tree.ChangeKind
	Selected // with the new content; the old of a removed one
}

// Changes yields how what the glob selects differs from the tree old, read
// through ro, to the tree now, read through rn, in order of path. In a zero
// root there is nothing. The cost follows the differences between the trees,
// not their size. The sequence ends after an error.
func (g *Glob) Changes(ctx context.Context, ro chunk.Reader, old tree.Root, rn chunk.Reader, now tree.Root) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		d := &selectionDiff{ro: ro, rn: rn, now: now, glob: g, yield: yield}
		if err := d.run(ctx, old); err != nil {
			yield(Change{}, err)
		}
	}
}

type selectionDiff struct {
	ro, rn chunk.Reader
	now    tree.Root
	glob   *Glob
	within string // the selected directory that was yielded last, with "/"
	yield  func(Change, error) bool
}

func (d *selectionDiff) run(ctx context.Context, old tree.Root) error {
	if d.glob.selects(d.glob.start(), true) {
		d.whole(old)
		return nil
	}
	for c, err := range tree.Diff(ctx, d.ro, old, d.rn, d.now, tree.DiffOptions{Prefix: d.glob.Prefix()}) {
		if err != nil {
			return err
		}
		if more, err := d.change(ctx, c); err != nil || !more {
			return err
		}
	}
	return nil
}

// whole compares trees that are selected as one.
func (d *selectionDiff) whole(old tree.Root) {
	c := tree.Change{Old: tree.Entry{Kind: tree.Dir, Dir: old}, New: tree.Entry{Kind: tree.Dir, Dir: d.now}}
	switch {
	case old.ID.IsZero() && d.now.ID.IsZero(), old.Content == d.now.Content:
		return
	case old.ID.IsZero():
		c.Kind = tree.Added
	case d.now.ID.IsZero():
		c.Kind = tree.Removed
	default:
		c.Kind = tree.Modified
	}
	d.emit(c.Kind, "", changedSide(c))
}

// changedSide returns the entry of a change that counts.
func changedSide(c tree.Change) tree.Entry {
	if c.Kind == tree.Removed {
		return c.Old
	}
	return c.New
}

func (d *selectionDiff) emit(kind tree.ChangeKind, path string, e tree.Entry) bool {
	return d.yield(Change{kind, Selected{path, e}}, nil)
}

// change finds what is selected that a change of a path concerns: the directory
// that it lies in, itself, or what is below it. It reports whether the consumer wants
// more.
func (d *selectionDiff) change(ctx context.Context, c tree.Change) (bool, error) {
	if d.within != "" && strings.HasPrefix(c.Path, d.within) {
		return true, nil
	}
	path := strings.TrimSuffix(c.Path, "/")
	at := d.glob.start()
	for i := 0; i < len(path); {
		end := len(path)
		if n := strings.IndexByte(path[i:], '/'); n >= 0 {
			end = i + n
		}
		if at = d.glob.step(at, path[i:end]); len(at) == 0 {
			return true, nil
		}
		if end < len(path) && d.glob.selects(at, true) {
			return d.inside(ctx, path[:end])
		}
		i = end + 1
	}
	e := changedSide(c)
	if d.glob.selects(at, e.Kind == tree.Dir) {
		if e.Kind == tree.Dir {
			d.within = c.Path
		}
		return d.emit(c.Kind, path, e), nil
	}
	if e.Kind != tree.Dir {
		return true, nil
	}
	return d.below(ctx, c, path, at)
}

// inside yields the selected directory that a change lies in.
func (d *selectionDiff) inside(ctx context.Context, dir string) (bool, error) {
	d.within = dir + "/"
	e, err := tree.Open(d.rn, d.now).Lookup(ctx, d.within)
	if err != nil {
		return false, err
	}
	return d.emit(tree.Modified, dir, e), nil
}

// below yields what is selected in a directory that was added, removed or emptied.
func (d *selectionDiff) below(ctx context.Context, c tree.Change, path string, at []globState) (bool, error) {
	w := selection{r: d.rn, glob: d.glob, yield: func(s Selected) bool { return d.emit(tree.Added, s.Path, s.Entry) }}
	e := c.New
	if c.Kind != tree.Added {
		w.r, e = d.ro, c.Old
		w.yield = func(s Selected) bool { return d.emit(tree.Removed, s.Path, s.Entry) }
	}
	return w.entry(ctx, path, e, at, 1+strings.Count(path, "/"))
}
