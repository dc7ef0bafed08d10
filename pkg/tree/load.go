package tree

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// load reads a node, which nobody changes.
func load(ctx context.Context, r chunk.Reader, id ID) (*node, error) {
	nodes := CacheOf(r)
	if nodes != nil {
		if n := nodes.get(id); n != nil {
			return n, nil
		}
	}
	b, err := r.Get(ctx, chunk.Node, chunk.ID(id))
	if err != nil {
		return nil, fmt.Errorf("read directory: %w", err)
	}
	n, err := decodeNode(b)
	if err != nil {
		return nil, fmt.Errorf("read directory %v: %w", chunk.ID(id).Short(), err)
	}
	if nodes != nil {
		nodes.add(id, n, len(b))
	}
	return n, nil
}

// Preload reads the root nodes of directories into the cache of r, together,
// for whoever goes through the directories next. It does nothing if r has no
// cache (see [CacheOf]), and a node that leaves the cache too soon is read again.
// It fails as reading a directory does.
func Preload(ctx context.Context, r chunk.Reader, roots []Root) error {
	nodes := CacheOf(r)
	if nodes == nil {
		return nil
	}
	ids := make([]chunk.ID, 0, len(roots))
	asked := make(map[ID]bool, len(roots))
	for _, root := range roots {
		if !root.ID.IsZero() && !asked[root.ID] && nodes.get(root.ID) == nil {
			asked[root.ID] = true
			ids = append(ids, chunk.ID(root.ID))
		}
	}
	err := chunk.GetMany(ctx, r, chunk.Node, ids, func(i int, plain []byte) error {
		n, err := decodeNode(plain)
		if err != nil {
			return fmt.Errorf("%v: %w", ids[i].Short(), err)
		}
		nodes.add(ID(ids[i]), n, len(plain))
		return nil
	})
	if err != nil {
		return fmt.Errorf("read %d directories: %w", len(ids), err)
	}
	return nil
}

// loadRoot reads a directory's root node and holds its totals against root.
func loadRoot(ctx context.Context, r chunk.Reader, root Root) (*node, error) {
	n, err := load(ctx, r, root.ID)
	if err != nil {
		return nil, err
	}
	return n, n.matches(root)
}

// loadChild reads the node that item i of parent points to and holds it
// against the pointer: level, keys, count and totals.
func loadChild(ctx context.Context, r chunk.Reader, parent *node, i int) (*node, error) {
	ptr := &parent.items[i]
	n, err := load(ctx, r, ptr.Dir.ID)
	if err != nil {
		return nil, err
	}
	if err := n.matches(ptr.Dir); err != nil {
		return nil, err
	}
	switch {
	case n.level != parent.level-1:
		err = fmt.Errorf("level %d below level %d", n.level, parent.level)
	case n.last() != ptr.key:
		err = fmt.Errorf("last key %.200q, its parent says %.200q", n.last(), ptr.key)
	case i > 0 && n.items[0].key <= parent.items[i-1].key:
		err = fmt.Errorf("first key %.200q is not after %.200q", n.items[0].key, parent.items[i-1].key)
	case n.count != ptr.count:
		err = fmt.Errorf("%d entries, its parent says %d", n.count, ptr.count)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %v: %v", errFormat, chunk.ID(ptr.Dir.ID).Short(), err)
	}
	return n, nil
}

// matches fails unless the node's totals are those of r.
func (n *node) matches(r Root) error {
	if n.total.Files == r.Files && n.total.Bytes == r.Bytes {
		return nil
	}
	return fmt.Errorf("%w: %v: %d files of %d bytes, its parent says %d of %d",
		errFormat, chunk.ID(r.ID).Short(), n.total.Files, n.total.Bytes, r.Files, r.Bytes)
}

// search returns the index of the node's first item whose key, or for a
// pointer whose last key, is at least key.
func (n *node) search(key string) int {
	i, _ := slices.BinarySearchFunc(n.items, key, func(it item, key string) int { return strings.Compare(it.key, key) })
	return i
}

// cursor walks one directory's search tree in order of key. Its head is the
// next item: an entry, or a pointer that stands for all entries below it and
// can be entered or skipped. So what is not entered is not read.
type cursor struct {
	r     chunk.Reader
	stack []frame

	// visit, if there is one, is told of each node below the root before it is
	// read, and says whether to enter or to skip it.
	visit func(ID) (enter bool, err error)
}

type frame struct {
	n *node
	i int
}

// newCursor returns a cursor at the start of root; a zero root has no items.
func newCursor(ctx context.Context, r chunk.Reader, root Root) (*cursor, error) {
	c := &cursor{r: r}
	if root.ID.IsZero() {
		return c, nil
	}
	n, err := loadRoot(ctx, r, root)
	if err != nil {
		return nil, err
	}
	c.stack = append(c.stack, frame{n: n})
	c.settle()
	return c, nil
}

// head returns the next item and its level, nil at the end.
func (c *cursor) head() (*item, int) {
	if len(c.stack) == 0 {
		return nil, 0
	}
	top := &c.stack[len(c.stack)-1]
	return &top.n.items[top.i], top.n.level
}

// skip moves past the head.
func (c *cursor) skip() {
	c.stack[len(c.stack)-1].i++
	c.settle()
}

// settle leaves nodes that have no further item.
func (c *cursor) settle() {
	for len(c.stack) > 0 {
		top := &c.stack[len(c.stack)-1]
		if top.i < len(top.n.items) {
			return
		}
		c.stack = c.stack[:len(c.stack)-1]
		if len(c.stack) > 0 {
			c.stack[len(c.stack)-1].i++
		}
	}
}

// enter makes the first item of the node that the head points to the head.
func (c *cursor) enter(ctx context.Context) error {
	top := &c.stack[len(c.stack)-1]
	if c.visit != nil {
		if enter, err := c.visit(top.n.items[top.i].Dir.ID); err != nil || !enter {
			c.skip()
			return err
		}
	}
	n, err := loadChild(ctx, c.r, top.n, top.i)
	if err != nil {
		return err
	}
	c.stack = append(c.stack, frame{n: n})
	return nil
}

// seek moves forward to the first item whose key is at least key, and enters
// the nodes on the way. It returns nil if there is none.
func (c *cursor) seek(ctx context.Context, key string) (*item, error) {
	for {
		it, _ := c.head()
		if it == nil {
			return nil, nil
		}
		if it.key < key {
			top := &c.stack[len(c.stack)-1]
			top.i = max(top.i, top.n.search(key))
			c.settle()
			continue
		}
		if !it.isPointer() {
			return it, nil
		}
		if err := c.enter(ctx); err != nil {
			return nil, err
		}
	}
}

// next returns the entry at the head, entering nodes, and moves past it. It
// returns nil at the end.
func (c *cursor) next(ctx context.Context) (*item, error) {
	it, err := c.seek(ctx, "")
	if it != nil && err == nil {
		c.skip()
	}
	return it, err
}

// find returns the entry with the given key of a directory, nil if there is
// none.
func find(ctx context.Context, r chunk.Reader, root Root, key string) (*Entry, error) {
	c, err := newCursor(ctx, r, root)
	if err != nil {
		return nil, err
	}
	it, err := c.seek(ctx, key)
	if err != nil || it == nil || it.key != key {
		return nil, err
	}
	return &it.Entry, nil
}
