package tree

import (
	"context"
	"fmt"
	"io/fs"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// writer encodes nodes and keeps them in a store. It is for one goroutine.
type writer struct {
	s       chunk.Store
	keys    keyHasher
	content *contentHasher
	buf     []byte
}

func newWriter(s chunk.Store) *writer {
	return &writer{s: s, keys: newKeyHasher(), content: newContentHasher()}
}

// write keeps a node and returns a pointer to it.
func (w *writer) write(ctx context.Context, n *node) (item, error) {
	total, count, err := n.sum()
	if err != nil {
		return item{}, fmt.Errorf("directory: %w: %w", err, fs.ErrInvalid)
	}
	w.buf = appendNode(w.buf[:0], n, stored)
	id, err := w.s.Put(ctx, chunk.Node, w.buf)
	if err != nil {
		return item{}, fmt.Errorf("store directory node: %w", err)
	}
	total.ID, total.Content = ID(id), w.content.sum(n)
	return item{key: n.last(), count: count, Entry: Entry{Dir: total}}, nil
}

// cutter returns a cutter of level that hands pointers to its nodes to sink.
func (w *writer) cutter(ctx context.Context, level int, sink func(item) error) *cutter {
	return &cutter{level: level, max: NodeEntriesMax, emit: func(items []item) error {
		ptr, err := w.write(ctx, &node{level: level, items: items})
		if err != nil {
			return err
		}
		return sink(ptr)
	}}
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
func (d *dirBuilder) add(ctx context.Context, it item) error { return d.addAt(ctx, 0, it) }

func (d *dirBuilder) addAt(ctx context.Context, i int, it item) error {
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
				if err := d.addAt(ctx, i+1, l.first); err != nil {
					return err
				}
			}
			return d.addAt(ctx, i+1, ptr)
		})
		d.levels = append(d.levels, l)
	}
	return d.levels[i].cut.add(it, d.w.keys.sum(it.key))
}

// finish writes what is left and returns the directory. Without items it is
// the empty directory.
func (d *dirBuilder) finish(ctx context.Context) (Root, error) {
	for i := 0; i < len(d.levels); i++ {
		l := d.levels[i]
		if err := l.cut.flush(); err != nil {
			return Root{}, err
		}
		if l.nodes == 1 {
			return l.first.Dir, nil
		}
	}
	ptr, err := d.w.write(ctx, &node{})
	return ptr.Dir, err
}

// Empty stores the directory without entries and returns it.
func Empty(ctx context.Context, s chunk.Store) (Root, error) {
	return (&dirBuilder{w: newWriter(s)}).finish(ctx)
}

// isEmpty reports whether r has no entries: whether it is what Empty returns.
func (r Root) isEmpty() bool { return r.ID == emptyID }

// emptyID is the storage ID of the directory without entries.
var emptyID = ID(chunk.Node.Sum(appendNode(nil, &node{}, stored)))
