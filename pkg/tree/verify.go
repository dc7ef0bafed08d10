package tree

import (
	"context"
	"fmt"

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
		return fmt.Errorf("verify directory %v: %w", chunk.ID(root.ID).Short(), err)
	}
	return nil
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
	_, err := eachEntry(ctx, v.r, root, "", false, func(e *Entry) (bool, error) {
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

// discard is a store that only names what it is given.
type discard struct{ chunk.Store }

func (discard) Put(_ context.Context, kind chunk.Kind, data []byte) (chunk.ID, error) {
	return kind.Sum(data), nil
}
