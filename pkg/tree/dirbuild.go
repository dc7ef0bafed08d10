package tree

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// writer encodes nodes and keeps them in a store. It is for one goroutine.
type writer struct {
	s       chunk.Store
	cache   *Cache // of s, nil without one
	keys    keyHasher
	content contentHasher
	buf     []byte
	spare   [][]item // room for the items of cutters to come
}

func newWriter(s chunk.Store) *writer {
	return &writer{s: s, cache: CacheOf(s)}
}

// itemSizeUsual is about what an item takes that a commit wrote, encoded, in
// bytes.
const itemSizeUsual = 160

// write stores a node and returns a pointer to it. If the cache has room for the
// node, it is kept there, and must not be changed any more.
func (w *writer) write(ctx context.Context, n *node) (ptr item, kept bool, err error) {
	total, count, err := n.sum()
	if err != nil {
		return item{}, false, fmt.Errorf("directory: %w: %w", err, fs.ErrInvalid)
	}
	w.buf = appendNode(slices.Grow(w.buf[:0], len(n.items)*itemSizeUsual), n, stored)
	id, err := w.s.Put(ctx, chunk.Node, w.buf)
	if err != nil {
		return item{}, false, fmt.Errorf("store directory node: %w", err)
	}
	kept = w.cache != nil && w.cache.addNew(ID(id), n, len(w.buf))
	w.buf, total.Content = w.content.sum(n, w.buf)
	total.ID = ID(id)
	return item{key: n.last(), count: count, Entry: Entry{Dir: total}}, kept, nil
}

// cutter returns a cutter of level that hands pointers to its nodes to sink.
func (w *writer) cutter(ctx context.Context, level int, sink func(item) error) *cutter {
	c := &cutter{level: level, max: NodeEntriesMax, hash: w.keys.sum}
	c.emit = func(items []item) (bool, error) {
		ptr, kept, err := w.write(ctx, &node{level: level, items: items})
		if err != nil {
			return false, err
		}
		return kept, sink(ptr)
	}
	if n := len(w.spare); n > 0 {
		c.items, w.spare = w.spare[n-1], w.spare[:n-1]
	}
	return c
}

// sparesMax is how many slices of items a writer keeps, one for each level of
// each directory that is being built: more are rare.
const sparesMax = 16

// done takes back what a cutter worked with that has no items left.
func (w *writer) done(c *cutter) {
	if cap(c.items) > 0 && len(w.spare) < sparesMax {
		w.spare = append(w.spare, c.items[:0])
	}
	c.items = nil
}

// dirBuilder builds one directory's search tree from the items of one of its
// levels, 0 if not said otherwise, in order of key.
type dirBuilder struct {
	w      *writer
	base   int      // level of the items
	levels []*level // from base on
}

// level is a level in the making. The pointer to its first node is held back:
// if it stays the only one, that node is the root.
type level struct {
	cut   *cutter
	nodes int
	first item
}

// add adds the next item at the base level.
func (d *dirBuilder) add(ctx context.Context, it item) error { return d.addAt(ctx, 0, &it, false) }

// addAt adds the next item at level i above the base; see [cutter.add] for inner.
func (d *dirBuilder) addAt(ctx context.Context, i int, it *item, inner bool) error {
	if i == len(d.levels) {
		if d.base+i > LevelMax {
			return fmt.Errorf("directory needs more than %d levels: %w", LevelMax+1, fs.ErrInvalid)
		}
		l := &level{}
		l.cut = d.w.cutter(ctx, d.base+i, func(ptr item) error {
			l.nodes++
			switch l.nodes {
			case 1:
				l.first = ptr
				return nil
			case 2:
				if err := d.addAt(ctx, i+1, &l.first, false); err != nil {
					return err
				}
			}
			return d.addAt(ctx, i+1, &ptr, false)
		})
		d.levels = append(d.levels, l)
	}
	return d.levels[i].cut.add(it, inner)
}

// finish writes what is left and returns the directory. Without items it is
// the empty directory.
func (d *dirBuilder) finish(ctx context.Context) (Root, error) {
	for i := 0; i < len(d.levels); i++ {
		l := d.levels[i]
		if err := l.cut.flush(); err != nil {
			return Root{}, err
		}
		d.w.done(l.cut)
		if l.nodes == 1 {
			return l.first.Dir, nil
		}
	}
	ptr, _, err := d.w.write(ctx, &node{})
	return ptr.Dir, err
}

// Empty stores the directory without entries and returns it.
func Empty(ctx context.Context, s chunk.Store) (Root, error) {
	if _, err := s.Put(ctx, chunk.Node, appendNode(nil, &node{}, stored)); err != nil {
		return Root{}, fmt.Errorf("store directory node: %w", err)
	}
	return emptyRoot(), nil
}

// emptyRoot returns the directory without entries, which may be stored nowhere.
var emptyRoot = sync.OnceValue(func() Root {
	_, content := new(contentHasher).sum(&node{}, nil)
	return Root{ID: emptyID, Content: content}
})

// isEmpty reports whether r has no entries: whether it is what Empty returns.
func (r Root) isEmpty() bool { return r.ID == emptyID }

// emptyID is the storage ID of the directory without entries.
var emptyID = ID(chunk.Node.Sum(appendNode(nil, &node{}, stored)))
