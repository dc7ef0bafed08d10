package tree

import (
	"context"
	"fmt"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Visit calls fn for the chunks that root consists of: its nodes, and the
// contents of its files, links and markers. A chunk comes before what it
// points to, and is read only after fn has returned. Of a node or a list for
// which skip returns true neither it nor what is below it is visited; skip may
// be nil, but then nodes that several directories share are visited as often.
// An error of fn ends the visit and is returned.
func Visit(ctx context.Context, r chunk.Reader, root Root, skip func(chunk.ID) bool, fn func(kind chunk.Kind, id chunk.ID) error) error {
	if root.ID.IsZero() {
		return nil
	}
	if skip == nil {
		skip = func(chunk.ID) bool { return false }
	}
	v := &visitor{r: r, skip: skip, fn: fn}
	return v.node(ctx, root.ID, 0, func() (*node, error) { return loadRoot(ctx, r, root) })
}

// VisitChange is [Visit] for a directory that came of base, whose chunks r has
// too: of what both have in the same place nothing is visited, and the cost
// follows the differences. With a zero base it is Visit.
func VisitChange(ctx context.Context, r chunk.Reader, base, root Root, skip func(chunk.ID) bool, fn func(kind chunk.Kind, id chunk.ID) error) error {
	if base.ID.IsZero() || root.ID.IsZero() {
		return Visit(ctx, r, root, skip, fn)
	}
	if skip == nil {
		skip = func(chunk.ID) bool { return false }
	}
	v := &visitor{r: r, skip: skip, fn: fn}
	return v.change(ctx, base, root, 0)
}

type visitor struct {
	r    chunk.Reader
	skip func(chunk.ID) bool
	fn   func(chunk.Kind, chunk.ID) error
}

// node visits a node and what is below it; depth counts directories.
func (v *visitor) node(ctx context.Context, id ID, depth int, load func() (*node, error)) error {
	if v.skip(chunk.ID(id)) {
		return nil
	}
	if depth > PathDepthMax {
		return fmt.Errorf("%w: directories more than %d deep", errFormat, PathDepthMax)
	}
	if err := v.fn(chunk.Node, chunk.ID(id)); err != nil {
		return err
	}
	n, err := load()
	if err != nil {
		return err
	}
	for i := range n.items {
		if err := v.item(ctx, n, i, depth); err != nil {
			return err
		}
	}
	return nil
}

func (v *visitor) item(ctx context.Context, n *node, i, depth int) error {
	it := &n.items[i]
	switch {
	case it.isPointer():
		return v.node(ctx, it.Dir.ID, depth, func() (*node, error) { return loadChild(ctx, v.r, n, i) })
	case it.Kind != Dir:
		return v.content(ctx, it.Content)
	}
	if it.Marker != nil {
		if err := v.content(ctx, it.Marker.Content); err != nil {
			return err
		}
	}
	return v.node(ctx, it.Dir.ID, depth+1, func() (*node, error) { return loadRoot(ctx, v.r, it.Dir) })
}

func (v *visitor) content(ctx context.Context, c chunk.Content) error {
	return chunk.VisitContent(ctx, v.r, c, func(kind chunk.Kind, id chunk.ID, _ int64) error {
		if kind == chunk.List && v.skip(id) {
			return chunk.SkipList
		}
		return v.fn(kind, id)
	})
}

// change visits what of a directory differs from base; depth counts
// directories.
func (v *visitor) change(ctx context.Context, base, root Root, depth int) error {
	if base.ID == root.ID {
		return nil
	}
	if depth > PathDepthMax {
		return fmt.Errorf("%w: directories more than %d deep", errFormat, PathDepthMax)
	}
	visit := func(id ID) (bool, error) {
		if v.skip(chunk.ID(id)) {
			return false, nil
		}
		return true, v.fn(chunk.Node, chunk.ID(id))
	}
	if enter, err := visit(root.ID); err != nil || !enter {
		return err
	}
	old, err := newCursor(ctx, v.r, base)
	if err != nil {
		return err
	}
	now, err := newCursor(ctx, v.r, root)
	if err != nil {
		return err
	}
	now.visit = visit
	for {
		was, is, err := step(ctx, old, now, true)
		if err != nil || (was == nil && is == nil) {
			return err
		}
		if is != nil {
			if err := v.changed(ctx, was, is, depth); err != nil {
				return err
			}
		}
	}
}

// changed visits an entry that is new, or differs from what was there.
func (v *visitor) changed(ctx context.Context, was, is *item, depth int) error {
	if is.Kind != Dir {
		return v.content(ctx, is.Content)
	}
	if is.Marker != nil {
		if err := v.content(ctx, is.Marker.Content); err != nil {
			return err
		}
	}
	if was != nil {
		return v.change(ctx, was.Dir, is.Dir, depth+1)
	}
	return v.node(ctx, is.Dir.ID, depth+1, func() (*node, error) { return loadRoot(ctx, v.r, is.Dir) })
}
