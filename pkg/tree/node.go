package tree

import (
	"fmt"
	"io/fs"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// node is one node of a directory's search tree.
type node struct {
	level int
	items []item

	// What check has added up: the totals of the items, without IDs, and the
	// number of entries. Nodes that were read have it.
	total Root
	count int64
}

// item is one item of a node. At level 0 it is an entry. Above, it points to
// a node of the level below: key is that node's last key, Dir its IDs and
// totals, count its number of entries, and nothing else of the Entry is used.
type item struct {
	key   string
	count int64 // entries of this directory, 1 at level 0
	Entry
}

// entryItem returns e as an item.
func entryItem(e Entry) item { return item{key: e.Key(), count: 1, Entry: e} }

// isPointer reports whether the item points to a node.
func (it *item) isPointer() bool { return it.Kind == 0 }

// totals returns the files at and below the item, and their bytes.
func (it *item) totals() (files, bytes int64) {
	if it.Kind == File || it.Kind == Symlink {
		return 1, it.Content.Size
	}
	return it.Dir.Files, it.Dir.Bytes
}

// last returns the node's last key, "" if it has none.
func (n *node) last() string {
	if len(n.items) == 0 {
		return ""
	}
	return n.items[len(n.items)-1].key
}

// sum returns the totals of a node's items: its Root without IDs, and count.
func (n *node) sum() (total Root, count int64, err error) {
	for i := range n.items {
		files, bytes := n.items[i].totals()
		total.Files += files
		total.Bytes += bytes
		count += n.items[i].count
		if total.Files < 0 || total.Bytes < 0 || count < 0 { // none of what was added is
			return Root{}, 0, fmt.Errorf("%q: %w", n.items[i].key, errTooMany)
		}
	}
	return total, count, nil
}

// check fails unless the node obeys every rule that can be seen in it alone,
// and adds up its totals. It is asked of what is read.
func (n *node) check() (err error) {
	if n.level < 0 || n.level > LevelMax {
		return fmt.Errorf("level %d is not from 0 to %d", n.level, LevelMax)
	}
	if len(n.items) > NodeEntriesMax || (n.level > 0 && len(n.items) == 0) {
		return fmt.Errorf("%d items at level %d", len(n.items), n.level)
	}
	last := ""
	for i := range n.items {
		it := &n.items[i]
		if it.key <= last {
			return fmt.Errorf("key %q after key %q", it.key, last)
		}
		last = it.key
		if err := n.checkItem(it); err != nil {
			return fmt.Errorf("%q: %w", it.key, err)
		}
	}
	n.total, n.count, err = n.sum()
	return err
}

func (n *node) checkItem(it *item) error {
	if n.level == 0 {
		return checkEntry(&it.Entry)
	}
	if !it.isPointer() || it.count <= 0 {
		return fmt.Errorf("not a pointer, or to %d entries", it.count)
	}
	name := it.key
	if name[len(name)-1] == '/' {
		name = name[:len(name)-1]
	}
	if err := CheckName(name); err != nil {
		return err
	}
	return checkRoot(it.Dir)
}

// checkEntry fails with fs.ErrInvalid unless e can be stored, its encoding's
// size left aside.
func checkEntry(e *Entry) error {
	if err := CheckName(e.Name); err != nil {
		return err
	}
	if err := checkKind(e); err != nil {
		return fmt.Errorf("%w: %w", err, fs.ErrInvalid)
	}
	if e.Marker != nil {
		if err := chunk.CheckContent(e.Marker.Content); err != nil {
			return fmt.Errorf("marker: %w", err)
		}
		if err := checkAttrs(&e.Marker.Attrs); err != nil {
			return fmt.Errorf("marker: %w", err)
		}
	}
	return checkAttrs(&e.Attrs)
}

func checkKind(e *Entry) error {
	switch e.Kind {
	case File, Symlink:
		if e.Dir != (Root{}) || e.Marker != nil {
			return fmt.Errorf("file with a directory's fields")
		}
		if e.Kind == Symlink {
			if e.Exec {
				return fmt.Errorf("executable symbolic link")
			}
			if n := e.Content.Size; n < 1 || n > LinkSizeMax {
				return fmt.Errorf("symbolic link to %d bytes, not 1 to %d", n, LinkSizeMax)
			}
		}
		return chunk.CheckContent(e.Content)
	case Dir:
		if e.Exec || e.Content != (chunk.Content{}) {
			return fmt.Errorf("directory with a file's fields")
		}
		return checkRoot(e.Dir)
	default:
		return fmt.Errorf("unknown kind %d", e.Kind)
	}
}

func checkRoot(r Root) error {
	if r.ID.IsZero() || r.Content.IsZero() {
		return fmt.Errorf("directory without an id")
	}
	if r.Files < 0 || r.Bytes < 0 || (r.Files == 0 && r.Bytes != 0) {
		return fmt.Errorf("%d bytes in %d files", r.Bytes, r.Files)
	}
	return nil
}
