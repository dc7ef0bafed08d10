package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Datum is the part of the inputs that one run of the program sees.
type Datum struct {
	// Identity says what a result of the datum replaces: the input's name and
	// the path that it selects, "images:/2026/a.png", a directory's with "/" at
	// the end. No two datums of a job have the same.
	Identity string
	Inputs   []DatumInput // in order of the spec
}

// DatumInput is what a datum selects of one input.
type DatumInput struct {
	Name  string
	Items []TaskItem // sorted by path; their Attrs and markers have no meaning
}

// newDatum returns the datum of an entry at a path without slashes around.
func newDatum(in Input, path string, e tree.Entry) Datum {
	id := in.Name + ":/" + path
	if e.Kind == tree.Dir && path != "" {
		id += "/"
	}
	return Datum{Identity: id, Inputs: []DatumInput{{Name: in.Name, Items: []TaskItem{{Path: path, Entry: e}}}}}
}

// Datums yields the datums of an input at root, in order of path, as it finds
// them: it reads no more of the tree than the glob can select from. A zero
// root has none. The sequence ends after an error.
func Datums(ctx context.Context, r chunk.Reader, root tree.Root, in Input) iter.Seq2[Datum, error] {
	return func(yield func(Datum, error) bool) {
		g, err := CompileGlob(in.Glob)
		if err == nil && !root.ID.IsZero() {
			w := selection{r: r, glob: g, yield: func(path string, e tree.Entry) bool { return yield(newDatum(in, path, e), nil) }}
			_, err = w.entry(ctx, "", tree.Entry{Kind: tree.Dir, Dir: root}, g.start(), 0)
		}
		if err != nil {
			yield(Datum{}, fmt.Errorf("list datums of input %s: %w", in.Name, err))
		}
	}
}

// selection walks what a glob selects below some place in a tree.
type selection struct {
	r     chunk.Reader
	glob  *Glob
	yield func(path string, e tree.Entry) bool
}

// entry yields the entry at path, or what is selected below it, given the
// states that path led to. It reports whether the consumer wants more.
func (w *selection) entry(ctx context.Context, path string, e tree.Entry, at []globState, depth int) (bool, error) {
	dir := e.Kind == tree.Dir
	switch {
	case w.glob.selects(at, dir):
		return w.yield(path, e), nil
	case !dir || !w.glob.goesOn(at):
		return true, nil
	case depth > tree.PathDepthMax:
		return false, fmt.Errorf("%.80q… has more than %d components: %w", path, tree.PathDepthMax, chunk.ErrCorrupt)
	}
	if path != "" {
		path += "/"
	}
	for e, err := range w.candidates(ctx, e.Dir, at) {
		if err != nil {
			return false, fmt.Errorf("%.200q: %w", path, err)
		}
		next := w.glob.step(at, e.Name)
		if len(next) == 0 {
			continue
		}
		if more, err := w.entry(ctx, path+e.Name, e, next, depth+1); err != nil || !more {
			return false, err
		}
	}
	return true, nil
}

// candidates yields the entries of a directory, in order of key, whose names
// may lead on from the states: by looking them up if they are known, else by
// listing those with the states' common prefix.
func (w *selection) candidates(ctx context.Context, root tree.Root, at []globState) iter.Seq2[tree.Entry, error] {
	t := tree.Open(w.r, root)
	names, known := w.glob.names(at)
	return func(yield func(tree.Entry, error) bool) {
		if !known {
			for e, err := range t.Walk(ctx, tree.WalkOptions{Prefix: w.glob.namePrefix(at), Shallow: true}) {
				if !yield(e.Entry, err) {
					return
				}
			}
			return
		}
		for _, key := range names {
			e, err := lookupKey(ctx, t, key)
			if e == nil && err == nil {
				continue
			}
			if err != nil {
				e = &tree.Entry{}
			}
			if !yield(*e, err) {
				return
			}
		}
	}
}

// lookupKey returns the entry with exactly that key, nil if there is none.
func lookupKey(ctx context.Context, t *tree.Tree, key string) (*tree.Entry, error) {
	e, err := t.Lookup(ctx, key)
	switch {
	case isNotFound(err), err == nil && e.Key() != key:
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &e, nil
}

// names returns the keys that may lead on from the states, sorted, if only
// some certain ones can.
func (g *Glob) names(at []globState) (keys []string, known bool) {
	for _, s := range at {
		alt := g.alts[s.alt]
		if s.next == len(alt) {
			continue
		}
		c := alt[s.next]
		if !c.literal {
			return nil, false
		}
		if tree.CheckName(c.name) == nil {
			keys = append(keys, c.name, c.name+"/")
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), true
}

// DatumChange is a datum that was added, removed, or has other content.
type DatumChange struct {
	Kind  tree.ChangeKind
	Datum Datum // with the new content; the old of a removed one
}

// DatumChanges yields how the datums of an input differ from the tree old,
// read through ro, to the tree now, read through rn, in order of path. A zero
// root has no datums. The cost follows the differences between the trees, not
// their size. The sequence ends after an error.
func DatumChanges(ctx context.Context, ro chunk.Reader, old tree.Root, rn chunk.Reader, now tree.Root, in Input) iter.Seq2[DatumChange, error] {
	return func(yield func(DatumChange, error) bool) {
		d := &datumDiff{ro: ro, rn: rn, now: now, in: in, yield: yield}
		if err := d.run(ctx, old); err != nil {
			yield(DatumChange{}, fmt.Errorf("compare datums of input %s: %w", in.Name, err))
		}
	}
}

type datumDiff struct {
	ro, rn chunk.Reader
	now    tree.Root
	in     Input
	glob   *Glob
	within string // the selected directory that was yielded last, with "/"
	yield  func(DatumChange, error) bool
}

func (d *datumDiff) run(ctx context.Context, old tree.Root) error {
	var err error
	if d.glob, err = CompileGlob(d.in.Glob); err != nil {
		return err
	}
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

// whole compares trees of which each is one datum.
func (d *datumDiff) whole(old tree.Root) {
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

// changedSide returns the entry of a change that a datum is made of.
func changedSide(c tree.Change) tree.Entry {
	if c.Kind == tree.Removed {
		return c.Old
	}
	return c.New
}

func (d *datumDiff) emit(kind tree.ChangeKind, path string, e tree.Entry) bool {
	return d.yield(DatumChange{Kind: kind, Datum: newDatum(d.in, path, e)}, nil)
}

// change finds the datums that a change of a path concerns: the directory that
// it lies in, itself, or those below it. It reports whether the consumer wants
// more.
func (d *datumDiff) change(ctx context.Context, c tree.Change) (bool, error) {
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
func (d *datumDiff) inside(ctx context.Context, dir string) (bool, error) {
	d.within = dir + "/"
	e, err := tree.Open(d.rn, d.now).Lookup(ctx, d.within)
	if err != nil {
		return false, err
	}
	return d.emit(tree.Modified, dir, e), nil
}

// below yields the datums in a directory that was added, removed or emptied.
func (d *datumDiff) below(ctx context.Context, c tree.Change, path string, at []globState) (bool, error) {
	w := selection{r: d.rn, glob: d.glob, yield: func(path string, e tree.Entry) bool { return d.emit(tree.Added, path, e) }}
	e := c.New
	if c.Kind != tree.Added {
		w.r, e = d.ro, c.Old
		w.yield = func(path string, e tree.Entry) bool { return d.emit(tree.Removed, path, e) }
	}
	return w.entry(ctx, path, e, at, 1+strings.Count(path, "/"))
}

func isNotFound(err error) bool {
	return errors.Is(err, fs.ErrNotExist) && !errors.Is(err, chunk.ErrNotFound)
}
