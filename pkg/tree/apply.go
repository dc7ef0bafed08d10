package tree

import (
	"context"
	"fmt"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Apply makes edits to base, one after another, stores the nodes that are new
// and returns the resulting directory. A zero base stands for the empty
// directory. Put creates the directories above its path; a directory that
// loses its last entry or its marker goes too, unless it is marked or was put
// empty. The cost follows the edits, all of which are held in memory: of the
// directories that no edit touches nothing is read. A path or an entry that is
// not valid fails with fs.ErrInvalid, and a directory that is put must be in
// s, its root node in agreement with the entry.
func Apply(ctx context.Context, s chunk.Store, base Root, edits []Edit) (Root, error) {
	d, err := plan(edits)
	if err != nil {
		return Root{}, err
	}
	return applyPlan(ctx, s, base, d)
}

func applyPlan(ctx context.Context, s chunk.Store, base Root, d dirEdit) (Root, error) {
	return applyItems(ctx, s, base, d.sorted())
}

func applyItems(ctx context.Context, s chunk.Store, base Root, edits *itemEdits) (Root, error) {
	a := &applier{s: s, w: newWriter(s)}
	root, err := a.dir(ctx, base, edits)
	if err != nil {
		return Root{}, fmt.Errorf("edit directory: %w", err)
	}
	return root, nil
}

// applier applies edits. It is for one goroutine.
type applier struct {
	s chunk.Store
	w *writer
}

// dir applies the edits of one directory: level by level, from the entries
// up. At each level only the runs that hold an edit are cut anew; the nodes
// that come and go are the edits of the level above.
func (a *applier) dir(ctx context.Context, base Root, edits *itemEdits) (Root, error) {
	build := &dirBuilder{w: a.w}
	add := func(it *item, inner bool) error { return build.addAt(ctx, 0, it, inner) }
	if base.ID.IsZero() {
		if err := a.merge(ctx, nil, edits, add); err != nil {
			return Root{}, err
		}
		return build.finish(ctx)
	}
	root, err := loadRoot(ctx, a.s, base)
	if err != nil {
		return Root{}, err
	}
	upper := upperNodes{r: a.s, root: root, nodes: map[ID]*node{}}
	for level := range root.level {
		above, err := a.level(ctx, &upper, level, edits)
		if err != nil {
			return Root{}, err
		}
		if len(above) == 0 {
			return base, nil
		}
		edits = listed(above)
	}
	build.base = root.level
	if root.level > 0 {
		return a.top(ctx, root.items, edits, build)
	}
	if err := a.merge(ctx, root.items, edits, add); err != nil {
		return Root{}, err
	}
	return build.finish(ctx)
}

// top applies the edits of a root's level above the lowest, and builds what is
// above it.
func (a *applier) top(ctx context.Context, items []item, edits *itemEdits, build *dirBuilder) (Root, error) {
	var merged []item
	err := a.merge(ctx, items, edits, func(it *item, _ bool) error {
		merged = append(merged, *it)
		return nil
	})
	if err != nil {
		return Root{}, err
	}
	if len(merged) < 2 {
		return a.collapse(ctx, merged)
	}
	for _, it := range merged {
		if err := build.add(ctx, it); err != nil {
			return Root{}, err
		}
	}
	return build.finish(ctx)
}

// collapse returns the directory of which a level above the lowest has at most
// one item: its root is further down.
func (a *applier) collapse(ctx context.Context, items []item) (Root, error) {
	if len(items) == 0 {
		return (&dirBuilder{w: a.w}).finish(ctx)
	}
	for {
		root := items[0].Dir
		n, err := loadRoot(ctx, a.s, root)
		if err != nil || n.level == 0 || len(n.items) > 1 {
			return root, err
		}
		items = n.items
	}
}

// level applies edits to the items of a level below the root and returns the
// edits of the level above.
func (a *applier) level(ctx context.Context, upper *upperNodes, level int, edits *itemEdits) ([]itemEdit, error) {
	var above []itemEdit
	for edits.head != nil {
		at, err := upper.seek(ctx, level, edits.head.key)
		if err != nil {
			return nil, err
		}
		for prev, ok := at.before(); ok && !a.ends(prev, level); prev, ok = at.before() {
			if err := at.move(ctx, -1); err != nil {
				return nil, err
			}
		}
		old, fresh, err := a.recut(ctx, at, level, edits)
		if err != nil {
			return nil, err
		}
		above = appendSwap(above, old, fresh)
	}
	return above, nil
}

func (a *applier) ends(key string, level int) bool {
	h := a.w.keys.sum(key)
	return h.ends(level)
}

// recut applies edits from the node at on, which a natural end precedes, to
// the next natural end where the nodes before and after the edits meet again.
// It returns the pointers to the old nodes and to those that take their place.
func (a *applier) recut(ctx context.Context, at *spot, level int, edits *itemEdits) (old, fresh []*item, err error) {
	cut := a.w.cutter(ctx, level, func(ptr item) error {
		fresh = append(fresh, &ptr)
		return nil
	})
	defer func() {
		if err == nil {
			a.w.done(cut)
		}
	}()
	for {
		n, err := at.node(ctx)
		if err != nil {
			return nil, nil, err
		}
		old = append(old, at.pointer())
		cut.reserve(min(len(n.items)+1, cut.max+1)) // mostly one item changes
		last := at.last()
		if last {
			err = a.merge(ctx, n.items, edits, cut.add)
		} else {
			err = a.mergeItems(ctx, n.items, edits, cut.add)
		}
		if err != nil {
			return nil, nil, err
		}
		if last {
			return old, fresh, cut.flush()
		}
		if cut.empty() && a.ends(n.last(), level) {
			return old, fresh, nil
		}
		if err := at.move(ctx, 1); err != nil {
			return nil, nil, err
		}
	}
}

// appendSwap appends the edits that take old pointers out and put fresh ones
// in; both are in order of key, and what is in both stays.
func appendSwap(edits []itemEdit, old, fresh []*item) []itemEdit {
	for len(old) > 0 || len(fresh) > 0 {
		switch {
		case len(fresh) == 0 || (len(old) > 0 && old[0].key < fresh[0].key):
			edits = append(edits, itemEdit{key: old[0].key})
			old = old[1:]
		case len(old) == 0 || fresh[0].key < old[0].key:
			edits = append(edits, itemEdit{key: fresh[0].key, put: fresh[0]})
			fresh = fresh[1:]
		default:
			if old[0].Dir.ID != fresh[0].Dir.ID {
				edits = append(edits, itemEdit{key: fresh[0].key, put: fresh[0]})
			}
			old, fresh = old[1:], fresh[1:]
		}
	}
	return edits
}

// sink takes the items of a level in order of key; see [cutter.add] for inner.
type sink func(it *item, inner bool) error

// merge gives the items of a node with all edits made to them to out, in order
// of key.
func (a *applier) merge(ctx context.Context, items []item, edits *itemEdits, out sink) error {
	if err := a.mergeItems(ctx, items, edits, out); err != nil {
		return err
	}
	for edits.head != nil {
		if err := a.edit(ctx, nil, edits, out); err != nil {
			return err
		}
	}
	return nil
}

// mergeItems gives the items of a node with the edits up to the last item's key made to them
// to out, in order of key.
func (a *applier) mergeItems(ctx context.Context, items []item, edits *itemEdits, out sink) error {
	for i := range items {
		it := &items[i]
		for edits.head != nil && edits.head.key < it.key {
			if err := a.edit(ctx, nil, edits, out); err != nil {
				return err
			}
		}
		var err error
		if edits.head != nil && edits.head.key == it.key {
			err = a.edit(ctx, it, edits, out)
		} else {
			err = out(it, i < len(items)-1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// edit makes the next edit to old, nil for none, and gives what comes of it to
// out.
func (a *applier) edit(ctx context.Context, old *item, edits *itemEdits, out sink) error {
	e := edits.head
	if e.put != nil {
		if err := out(e.put, false); err != nil {
			return err
		}
	}
	if e.user != nil {
		var was *Entry
		if old != nil {
			was = &old.Entry
		}
		now, err := a.entry(ctx, was, e.user)
		if err != nil {
			return fmt.Errorf("%.200q: %w", e.key, err)
		}
		if now != nil {
			it := entryItem(*now)
			if err := out(&it, false); err != nil {
				return err
			}
		}
	}
	return edits.advance()
}

// entry returns what an edit makes of old, nil for no entry.
func (a *applier) entry(ctx context.Context, old *Entry, k *keyEdit) (*Entry, error) {
	switch {
	case k.op == Delete:
		return nil, nil
	case k.op == Put && k.entry.Kind != Dir:
		if old != nil && !k.setAttrs && sameContent(old, &k.entry) {
			k.entry.Attrs = old.Attrs
		}
		return &k.entry, nil
	}
	now, err := a.putDir(ctx, old, k)
	if err != nil {
		return nil, err
	}
	if k.made {
		if now, err = a.makeDir(ctx, now, k); err != nil {
			return nil, err
		}
	}
	held := now != nil && !k.made && (now.Marker != nil || !now.Dir.isEmpty())
	if k.mark {
		if now, err = a.mark(ctx, now, k); err != nil {
			return nil, err
		}
	}
	if len(k.inner) > 0 || k.below != nil {
		if now, err = a.inner(ctx, now, k); err != nil {
			return nil, err
		}
	}
	if now == nil || (held && now.Marker == nil && now.Dir.isEmpty()) {
		return nil, nil
	}
	return now, CheckEntry(*now)
}

// putDir returns a copy of the directory entry that mark and inner start from.
func (a *applier) putDir(ctx context.Context, old *Entry, k *keyEdit) (*Entry, error) {
	switch k.op {
	case DeleteDir:
		return nil, nil
	case Put:
		now := k.entry
		if err := checkDir(ctx, a.w, now.Dir); err != nil {
			return nil, err
		}
		if old == nil || k.setAttrs {
			return &now, nil
		}
		if now.Marker == nil {
			now.Marker = old.Marker
		}
		if sameContent(old, &now) {
			now.Attrs = old.Attrs
		}
		root, err := Adopt(ctx, a.s, old.Dir, now.Dir, nil)
		now.Dir = root
		return &now, err
	default:
		if old == nil {
			return nil, nil
		}
		now := *old
		return &now, nil
	}
}

// makeDir returns now, or an empty directory if there is none.
func (a *applier) makeDir(ctx context.Context, now *Entry, k *keyEdit) (*Entry, error) {
	if now == nil {
		root, err := (&dirBuilder{w: a.w}).finish(ctx)
		if err != nil {
			return nil, err
		}
		now = &Entry{Name: k.name, Kind: Dir, Dir: root}
	}
	if k.made && (k.setAttrs || now.Attrs.IsZero()) {
		now.Attrs = k.madeWith
	}
	return now, nil
}

func (a *applier) mark(ctx context.Context, now *Entry, k *keyEdit) (*Entry, error) {
	if k.marker == nil {
		if now != nil {
			now.Marker = nil
		}
		return now, nil
	}
	now, err := a.makeDir(ctx, now, k)
	if err != nil {
		return nil, err
	}
	m := *k.marker
	if now.Marker != nil && !k.markSet && now.Marker.Content == m.Content {
		m.Attrs = now.Marker.Attrs
	}
	now.Marker = &m
	return now, nil
}

func (a *applier) inner(ctx context.Context, now *Entry, k *keyEdit) (*Entry, error) {
	var base Root
	if now != nil {
		base = now.Dir
	}
	edits, err := k.edits()
	if err != nil {
		return nil, err
	}
	root, err := a.dir(ctx, base, edits)
	if err != nil {
		return nil, err
	}
	if now == nil {
		if root.isEmpty() {
			return nil, nil
		}
		now = &Entry{Name: k.name, Kind: Dir}
	}
	now.Dir = root
	return now, nil
}

// sameContent reports whether two entries of one key have equal content: what
// a content ID covers.
func sameContent(a, b *Entry) bool {
	if a.Kind != b.Kind || a.Exec != b.Exec {
		return false
	}
	if a.Kind == Dir {
		return a.Dir.Content == b.Dir.Content
	}
	return a.Content == b.Content
}
