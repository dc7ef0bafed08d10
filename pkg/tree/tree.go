package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Tree reads a directory. It holds no state and may be used concurrently.
type Tree struct {
	r    chunk.Reader
	root Root
}

// Open returns a Tree of root, whose chunks r has. It reads nothing yet. A
// zero root reads as the empty directory.
func Open(r chunk.Reader, root Root) *Tree { return &Tree{r: r, root: root} }

// Root returns the directory that the tree reads.
func (t *Tree) Root() Root { return t.root }

// ErrNotFound is the error for a path that a directory does not have. It wraps
// fs.ErrNotExist.
var ErrNotFound = fmt.Errorf("no such path: %w", fs.ErrNotExist)

// Lookup returns the entry at path: the file or link if there is one, else the
// directory; with "/" at the end of path only the directory. Path "" is the
// tree itself, an entry without a name. Symbolic links are not followed. It
// fails with ErrNotFound if there is no such entry, with fs.ErrInvalid if the
// path is not valid. It reads O(log n) nodes per component.
func (t *Tree) Lookup(ctx context.Context, path string) (Entry, error) {
	if path == "" {
		return Entry{Kind: Dir, Dir: t.root}, nil
	}
	names, err := splitPath(path)
	if err != nil {
		return Entry{}, err
	}
	last := names[len(names)-1]
	dir := t.root
	for _, name := range names[:len(names)-1] {
		e, err := find(ctx, t.r, dir, name+"/")
		if err != nil || e == nil {
			return Entry{}, lookupError(path, err)
		}
		dir = e.Dir
	}
	keys := []string{last, last + "/"}
	if strings.HasSuffix(path, "/") {
		keys = keys[1:]
	}
	for _, key := range keys {
		e, err := find(ctx, t.r, dir, key)
		if err != nil {
			return Entry{}, lookupError(path, err)
		}
		if e != nil {
			return *e, nil
		}
	}
	return Entry{}, lookupError(path, nil)
}

// Find returns the entry whose kind is as path says, a directory if "/" is at
// its end, else a file or link; nil if there is none. In all else it is
// [Tree.Lookup].
func (t *Tree) Find(ctx context.Context, path string) (*Entry, error) {
	e, err := t.Lookup(ctx, path)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && (e.Kind == Dir) != strings.HasSuffix(path, "/"):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return &e, nil
}

func lookupError(path string, err error) error {
	if err == nil {
		err = ErrNotFound
	}
	return fmt.Errorf("look up %.200q: %w", path, err)
}

// Entries yields the entries of the directory at path dir ("" for the tree
// itself), in order of key, from the first whose key is greater than after.
// The sequence ends after an error, ErrNotFound if there is no such directory.
func (t *Tree) Entries(ctx context.Context, dir, after string) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		if dir != "" && !strings.HasSuffix(dir, "/") {
			dir += "/"
		}
		e, err := t.Lookup(ctx, dir)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		err = eachEntry(ctx, t.r, e.Dir, after, false, func(e *Entry) (bool, error) {
			return yield(*e, nil), nil
		})
		if err != nil {
			yield(Entry{}, fmt.Errorf("list %.200q: %w", dir, err))
		}
	}
}

// eachEntry calls fn for the entries of one directory whose keys are greater
// than from, or equal to it if so asked, until fn returns false.
func eachEntry(ctx context.Context, r chunk.Reader, root Root, from string, equal bool, fn func(*Entry) (bool, error)) error {
	c, err := newCursor(ctx, r, root)
	if err != nil {
		return err
	}
	it, err := c.seek(ctx, from)
	if err == nil && it != nil && it.key == from && !equal {
		c.skip()
	}
	for err == nil {
		if it, err = c.next(ctx); err != nil || it == nil {
			break
		}
		if more, err := fn(&it.Entry); err != nil || !more {
			return err
		}
	}
	return err
}
