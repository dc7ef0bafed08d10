package tree

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// ChangeKind says how a path differs.
type ChangeKind uint8

// The kinds of change.
const (
	Added    ChangeKind = 1 // only the second directory has it
	Removed  ChangeKind = 2 // only the first has it
	Modified ChangeKind = 3 // both have it, and they differ
)

// String returns the kind's name.
func (k ChangeKind) String() string {
	switch k {
	case Added:
		return "added"
	case Removed:
		return "removed"
	case Modified:
		return "modified"
	default:
		return fmt.Sprintf("change(%d)", uint8(k))
	}
}

// Change is one difference between two directories.
type Change struct {
	Kind ChangeKind
	Path string // a directory's ends in "/"
	Old  Entry  // zero if Added
	New  Entry  // zero if Removed
}

// Edit returns the edit that makes the change, Attrs and markers included.
func (c Change) Edit() Edit {
	switch {
	case c.Kind != Removed:
		return Edit{Op: Put, Path: c.Path, Entry: c.New, SetAttrs: true}
	case c.Old.Kind == Dir:
		return Edit{Op: DeleteDir, Path: c.Path}
	default:
		return Edit{Op: Delete, Path: c.Path}
	}
}

// DiffOptions says which differences [Diff] yields.
type DiffOptions struct {
	// Storage compares by storage ID, so that Attrs and markers count too.
	Storage bool

	// Prefix restricts the result to paths that begin with it, as a string. A
	// directory that holds such paths and others is looked into.
	Prefix string

	// After restricts the result to paths greater than it, as in [WalkOptions]:
	// what lies before is not read.
	After string

	// Expand yields each file below a directory that was added or removed, and
	// the directory itself only if it is empty or marked or has Attrs;
	// otherwise the directory is one change.
	Expand bool
}

// Diff yields the differences from directory a, read through ra, to b, read
// through rb, in order of path. A zero Root stands for a directory without
// entries. What has equal digests is not read: the cost follows the
// differences. Two directories of one path are compared entry by entry; the
// pair itself is a Modified change only if the second is empty or, with
// Storage, if its own Attrs or marker differ. The sequence ends after an
// error.
func Diff(ctx context.Context, ra chunk.Reader, a Root, rb chunk.Reader, b Root, o DiffOptions) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		d := &differ{ra: ra, rb: rb, o: o, yield: yield}
		if err := d.dir(ctx, "", a, b, o.Prefix, o.After); err != nil && !d.done {
			yield(Change{}, fmt.Errorf("compare directories: %w", err))
		}
	}
}

type differ struct {
	ra, rb chunk.Reader
	o      DiffOptions
	yield  func(Change, error) bool
	done   bool // the consumer wants no more
}

// same reports whether two roots, or pointers' targets, are equal.
func same(a, b *Root, storage bool) bool {
	if storage {
		return a.ID == b.ID
	}
	return a.Content == b.Content
}

// sameEntry reports whether two entries of one key are equal.
func sameEntry(a, b *Entry, storage bool) bool {
	if !sameContent(a, b) || !storage {
		return sameContent(a, b)
	}
	return a.Dir.ID == b.Dir.ID && sameExtras(a, b)
}

// sameExtras reports whether two entries have equal Attrs and markers.
func sameExtras(a, b *Entry) bool {
	extras := func(e *Entry) []byte {
		out := appendAttrs(nil, &e.Attrs)
		if e.Marker != nil {
			out = appendMarker(out, e.Marker)
		}
		return out
	}
	return bytes.Equal(extras(a), extras(b))
}

// dir compares two directories at path, restricted to what begins with prefix
// and comes after the path after, both relative to it.
func (d *differ) dir(ctx context.Context, path string, a, b Root, prefix, after string) error {
	if same(&a, &b, d.o.Storage) {
		return nil
	}
	if len(path) > PathSizeMax+1 {
		return fmt.Errorf("%w: path %.80q… exceeds %d bytes", errFormat, path, PathSizeMax)
	}
	first, rest, inner := cutPath(prefix)
	from, afterIn, within := cutPath(after) // the key at from is before after, but may hold paths after it
	p := rootPair{ra: d.ra, a: a, rb: d.rb, b: b, storage: d.o.Storage}
	return p.each(ctx, first, max(first, from), func(old, now *Entry) (bool, error) {
		pair := entryPair{old: old, now: now, prefix: rest, lead: inner}
		switch key := pair.key(); {
		case key == from && !within:
			return true, nil
		case key == from:
			pair.after, pair.begun = afterIn, true
		}
		pair.path = path + pair.key()
		err := d.entry(ctx, pair)
		return !d.done, err
	})
}

// entryPair is two entries of one key, of which at most one is nil.
type entryPair struct {
	path     string
	old, now *Entry
	prefix   string // what of the prefix applies inside
	lead     bool   // the prefix leads into the directory
	after    string // where to start inside
	begun    bool   // the directory's own path is before the start
}

func (p *entryPair) either() *Entry {
	if p.old != nil {
		return p.old
	}
	return p.now
}

func (p *entryPair) key() string { return p.either().Key() }

// cutPath splits a path prefix after its first component: into the prefix of
// the keys to look at, and the prefix inside of the directory that has exactly
// that key, if inner.
func cutPath(prefix string) (first, rest string, inner bool) {
	if i := strings.IndexByte(prefix, '/'); i >= 0 {
		return prefix[:i+1], prefix[i+1:], true
	}
	return prefix, "", false
}

// entry handles one pair of entries.
func (d *differ) entry(ctx context.Context, p entryPair) error {
	path, old, now, either := p.path, p.old, p.now, p.either()
	if p.lead && p.prefix != "" || p.begun {
		return d.dir(ctx, path, dirOf(old), dirOf(now), p.prefix, p.after)
	}
	switch {
	case either.Kind != Dir:
		d.change(path, old, now)
		return nil
	case old != nil && now != nil:
		emptied := now.Dir.isEmpty() && old.Dir.Content != now.Dir.Content
		if emptied || (d.o.Storage && !sameExtras(old, now)) {
			d.change(path, old, now)
		}
		if emptied && !d.o.Expand {
			return nil
		}
	case !d.o.Expand:
		d.change(path, old, now)
		return nil
	case either.Marker != nil || either.Dir.isEmpty() || !either.Attrs.IsZero():
		d.change(path, old, now)
	}
	if d.done {
		return nil
	}
	return d.dir(ctx, path, dirOf(old), dirOf(now), "", "")
}

func dirOf(e *Entry) Root {
	if e == nil {
		return Root{}
	}
	return e.Dir
}

func (d *differ) change(path string, old, now *Entry) {
	c := Change{Path: path}
	switch {
	case old == nil:
		c.Kind, c.New = Added, *now
	case now == nil:
		c.Kind, c.Old = Removed, *old
	default:
		c.Kind, c.Old, c.New = Modified, *old, *now
	}
	if !d.yield(c, nil) {
		d.done = true
	}
}

// rootPair is two directories to be compared.
type rootPair struct {
	ra, rb  chunk.Reader
	a, b    Root
	storage bool
}

// each calls fn for each key of the two directories, not of those below them,
// from the key from on that begins with prefix and whose entries differ, in
// order of key, until fn returns false. One of the entries is nil if its directory lacks the key.
func (p rootPair) each(ctx context.Context, prefix, from string, fn func(old, now *Entry) (bool, error)) error {
	ca, err := newCursor(ctx, p.ra, p.a)
	if err != nil {
		return err
	}
	cb, err := newCursor(ctx, p.rb, p.b)
	if err != nil {
		return err
	}
	if from != "" {
		for _, c := range []*cursor{ca, cb} {
			if _, err := c.seek(ctx, from); err != nil {
				return err
			}
		}
	}
	for {
		old, now, err := step(ctx, ca, cb, p.storage)
		if err != nil || (old == nil && now == nil) {
			return err
		}
		for _, it := range []*item{old, now} {
			if it != nil && !strings.HasPrefix(it.key, prefix) {
				return nil
			}
		}
		more, err := fn(old.entry(), now.entry())
		if err != nil || !more {
			return err
		}
	}
}

// step moves both cursors past the next key at which they differ and returns
// its entries, nil where there is none; two nils are the end. Pointers with
// equal digests are skipped: whatever precedes them was compared already, and
// below them all is equal.
func step(ctx context.Context, ca, cb *cursor, storage bool) (old, now *item, err error) {
	for {
		x, lx := ca.head()
		y, ly := cb.head()
		switch {
		case x == nil && y == nil:
			return nil, nil, nil
		case x != nil && x.isPointer() && lx > ly:
			err = ca.enter(ctx)
		case y != nil && y.isPointer() && ly > lx:
			err = cb.enter(ctx)
		case x != nil && y != nil && x.isPointer() && same(&x.Dir, &y.Dir, storage):
			ca.skip()
			cb.skip()
		case x != nil && y != nil && x.isPointer():
			if err = ca.enter(ctx); err == nil {
				err = cb.enter(ctx)
			}
		case y == nil || (x != nil && x.key < y.key):
			ca.skip()
			return x, nil, nil
		case x == nil || y.key < x.key:
			cb.skip()
			return nil, y, nil
		default:
			ca.skip()
			cb.skip()
			if !sameEntry(&x.Entry, &y.Entry, storage) {
				return x, y, nil
			}
		}
		if err != nil {
			return nil, nil, err
		}
	}
}

func (it *item) entry() *Entry {
	if it == nil {
		return nil
	}
	return &it.Entry
}
