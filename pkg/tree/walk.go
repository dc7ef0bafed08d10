package tree

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// PathEntry is an entry with its path, a directory's with "/" at the end: the
// S3 key.
type PathEntry struct {
	Path string
	Entry
}

// WalkOptions says what [Tree.Walk] yields.
type WalkOptions struct {
	// Prefix restricts the walk to paths that begin with it, as a string.
	Prefix string

	// After starts the walk at the first path greater than it. After need not
	// be a path: with a prefix and "\xff" it skips all paths that begin with
	// the prefix, since no path holds that byte.
	After string

	// Dirs yields directories too, each before what is below it.
	Dirs bool

	// Shallow yields a directory that is in range, or holds a path that is, in
	// place of everything below it. It is not entered, unless Prefix leads
	// into it.
	Shallow bool
}

// Walk yields the tree's files and links in order of path, which is the order
// of S3 keys, and directories if asked for. It seeks to where it starts and
// reads nothing of what lies before. The sequence ends after an error.
func (t *Tree) Walk(ctx context.Context, o WalkOptions) iter.Seq2[PathEntry, error] {
	return func(yield func(PathEntry, error) bool) {
		w := &walker{r: t.r, o: o, yield: yield}
		if _, err := w.dir(ctx, "", t.root, o.Prefix, o.After, 1); err != nil {
			yield(PathEntry{}, fmt.Errorf("walk directory: %w", err))
		}
	}
}

type walker struct {
	r     chunk.Reader
	o     WalkOptions
	yield func(PathEntry, error) bool
}

// dir walks the directory at path, restricted to what begins with prefix and
// comes after the path after, both relative to it. It reports whether the
// consumer wants more.
func (w *walker) dir(ctx context.Context, path string, root Root, prefix, after string, depth int) (bool, error) {
	if depth > PathDepthMax+1 {
		return false, fmt.Errorf("%w: path %.80q… has more than %d components", errFormat, path, PathDepthMax)
	}
	first, rest, inner := cutPath(prefix)
	from, afterIn, within := cutPath(after) // the key at from is before after, but may hold paths after it
	start, equal := from, within
	if first > from {
		start, equal, within = first, true, false
	}
	more := true
	err := eachEntry(ctx, w.r, root, start, equal, func(e *Entry) (bool, error) {
		key := e.Key()
		if !strings.HasPrefix(key, first) {
			return false, nil
		}
		v := visit{path: path + key, e: e, prefix: rest, lead: inner, depth: depth}
		if within && key == from {
			v.after, v.begun = afterIn, true
		}
		var err error
		more, err = w.entry(ctx, v)
		return more, err
	})
	return more && err == nil, err
}

// visit is an entry to be yielded, or to be entered.
type visit struct {
	path   string
	e      *Entry
	prefix string // what of the prefix applies inside
	lead   bool   // the prefix leads into the directory
	after  string // where to start inside
	begun  bool   // the directory's own path is before the start
	depth  int
}

func (w *walker) entry(ctx context.Context, v visit) (bool, error) {
	if v.e.Kind != Dir {
		return w.yield(PathEntry{Path: v.path, Entry: *v.e}, nil), nil
	}
	shallow := w.o.Shallow && !v.lead
	inRange := !v.begun && v.prefix == ""
	if shallow && !inRange {
		var err error
		if inRange, err = w.holdsAfter(ctx, v); err != nil {
			return false, err
		}
	}
	if inRange && (w.o.Dirs || shallow) && !w.yield(PathEntry{Path: v.path, Entry: *v.e}, nil) {
		return false, nil
	}
	if shallow {
		return true, nil
	}
	return w.dir(ctx, v.path, v.e.Dir, v.prefix, v.after, v.depth+1)
}

// holdsAfter reports whether the directory holds a path after v.after.
func (w *walker) holdsAfter(ctx context.Context, v visit) (bool, error) {
	found := false
	probe := &walker{r: w.r, o: WalkOptions{Dirs: true}, yield: func(PathEntry, error) bool {
		found = true
		return false
	}}
	_, err := probe.dir(ctx, v.path, v.e.Dir, "", v.after, v.depth+1)
	return found, err
}
