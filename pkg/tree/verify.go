package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Verify reads every node of root and fails with chunk.ErrCorrupt unless root
// is what building it from its entries gives: canonical nodes that end where
// they must, right content IDs and totals, paths within their limits. This is
// what is asked of directories that come from outside. The contents of files
// are not read; [Visit] names them. A directory that occurs several times is
// verified once; memory is bounded by the number of distinct directories.
func Verify(ctx context.Context, r chunk.Reader, root Root) error {
	v := &verifier{r: r, w: newWriter(discard{}), done: map[Root]extent{}}
	if _, err := v.dir(ctx, root, 1); err != nil {
		return verifyError(root, err)
	}
	return nil
}

// verifyError names the directory. What Apply takes for a wrong argument is
// damage here.
func verifyError(root Root, err error) error {
	if errors.Is(err, fs.ErrInvalid) && !errors.Is(err, chunk.ErrCorrupt) {
		err = fmt.Errorf("%w: %w", errFormat, err)
	}
	return fmt.Errorf("verify directory %v: %w", chunk.ID(root.ID).Short(), err)
}

type verifier struct {
	r    chunk.Reader
	w    *writer
	done map[Root]extent
}

// extent says how far the paths below a directory reach.
type extent struct {
	depth int // components
	size  int // bytes
}

func (v *verifier) dir(ctx context.Context, root Root, depth int) (extent, error) {
	if reach, ok := v.done[root]; ok {
		return reach, nil
	}
	if depth > PathDepthMax+1 {
		return extent{}, fmt.Errorf("%w: paths of more than %d components", errFormat, PathDepthMax)
	}
	build := &dirBuilder{w: v.w}
	var reach extent
	err := eachEntry(ctx, v.r, root, "", false, func(e *Entry) (bool, error) {
		below := extent{depth: 1, size: len(e.Name)}
		if e.Kind == Dir {
			inner, err := v.dir(ctx, e.Dir, depth+1)
			if err != nil {
				return false, fmt.Errorf("%.200q: %w", e.Name, err)
			}
			if inner.depth > 0 {
				below = extent{depth: inner.depth + 1, size: len(e.Name) + 1 + inner.size}
			}
		}
		reach = extent{depth: max(reach.depth, below.depth), size: max(reach.size, below.size)}
		if reach.depth > PathDepthMax || reach.size > PathSizeMax {
			return false, fmt.Errorf("%w: path of %d components and %d bytes", errFormat, reach.depth, reach.size)
		}
		return true, build.add(ctx, entryItem(*e))
	})
	if err != nil {
		return extent{}, err
	}
	got, err := build.finish(ctx)
	if err == nil && got != root {
		err = fmt.Errorf("%w: its entries make %+v, it says %+v", errFormat, got, root)
	}
	if err != nil {
		return extent{}, err
	}
	v.done[root] = reach
	return reach, nil
}

// VerifyChange fails with chunk.ErrCorrupt where [Verify] of root would, given
// that base was verified: what root shares with base is not read again, and
// the cost follows the differences. With a zero base, or too many differences
// to hold in memory, it is Verify.
func VerifyChange(ctx context.Context, r chunk.Reader, base, root Root) error {
	if base.ID.IsZero() {
		return Verify(ctx, r, root)
	}
	if err := verifyChange(ctx, r, base, root); err != nil {
		return verifyError(root, err)
	}
	return nil
}

// verifyEditsMax is how many differences VerifyChange holds in memory, some
// 50 MB.
const verifyEditsMax = 100_000

// verifyChange makes the differences to base anew. Base's nodes are sound, so
// what comes out is what root's entries make.
func verifyChange(ctx context.Context, r chunk.Reader, base, root Root) error {
	v := &verifier{r: r, w: newWriter(discard{}), done: map[Root]extent{}}
	var edits []Edit
	for c, err := range Diff(ctx, r, base, r, root, DiffOptions{Storage: true}) {
		if err != nil {
			return err
		}
		if c.Kind != Removed && c.New.Kind == Dir {
			if err := v.below(ctx, c); err != nil {
				return fmt.Errorf("%.200q: %w", c.Path, err)
			}
		}
		if edits = append(edits, c.Edit()); len(edits) > verifyEditsMax {
			return Verify(ctx, r, root)
		}
	}
	got, err := Apply(ctx, &scratch{r: r}, base, edits)
	if err == nil && got != root {
		err = fmt.Errorf("%w: its entries make %+v, it says %+v", errFormat, got, root)
	}
	return err
}

// below verifies a directory that base does not have.
func (v *verifier) below(ctx context.Context, c Change) error {
	depth := strings.Count(c.Path, "/")
	reach, err := v.dir(ctx, c.New.Dir, depth+1)
	if err == nil && (depth+reach.depth > PathDepthMax || len(c.Path)+reach.size > PathSizeMax) {
		err = fmt.Errorf("%w: path of %d components and %d bytes", errFormat, depth+reach.depth, len(c.Path)+reach.size)
	}
	return err
}

// discard is a store that only names what it is given.
type discard struct{ chunk.Store }

func (discard) Put(_ context.Context, kind chunk.Kind, data []byte) (chunk.ID, error) {
	return kind.Sum(data), nil
}

// scratch reads from r and keeps what it is given to itself.
type scratch struct {
	r chunk.Reader
	chunk.Mem
}

// Nodes returns the cache of what is read: it takes what is put here too, for a
// node is what its name says wherever it is kept.
func (s *scratch) Nodes() *Cache { return CacheOf(s.r) }

func (s *scratch) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	b, err := s.Mem.Get(ctx, kind, id)
	if errors.Is(err, chunk.ErrNotFound) {
		return s.r.Get(ctx, kind, id)
	}
	return b, err
}
