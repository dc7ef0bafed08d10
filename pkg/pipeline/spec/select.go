package spec

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Selected is an entry that a glob selects.
type Selected struct {
	Path  string // without slashes around; empty for the whole tree
	Entry tree.Entry
}

// Select yields what the glob selects in the tree root, in order of path, as
// it finds it: it reads no more of the tree than the glob can select from. In
// a zero root there is nothing. The sequence ends after an error.
func (g *Glob) Select(ctx context.Context, r chunk.Reader, root tree.Root) iter.Seq2[Selected, error] {
	return func(yield func(Selected, error) bool) {
		if root.ID.IsZero() {
			return
		}
		w := selection{r: r, glob: g, yield: func(s Selected) bool { return yield(s, nil) }}
		if _, err := w.entry(ctx, "", tree.Entry{Kind: tree.Dir, Dir: root}, g.start(), 0); err != nil {
			yield(Selected{}, err)
		}
	}
}

// selection walks what a glob selects below some place in a tree.
type selection struct {
	r     chunk.Reader
	glob  *Glob
	yield func(Selected) bool
}

// entry yields the entry at path, or what is selected below it, given the
// states that path led to. It reports whether the consumer wants more.
func (w *selection) entry(ctx context.Context, path string, e tree.Entry, at []globState, depth int) (bool, error) {
	dir := e.Kind == tree.Dir
	switch {
	case w.glob.selects(at, dir):
		return w.yield(Selected{Path: path, Entry: e}), nil
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
			e, err := t.Find(ctx, key)
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
