package vfs

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// OpKind says what a call that changes a Mem does.
type OpKind string

// The kinds of change.
const (
	OpCreate  OpKind = "create"
	OpWrite   OpKind = "write"
	OpSync    OpKind = "sync"
	OpSyncDir OpKind = "syncdir"
	OpMkdir   OpKind = "mkdir"
	OpLink    OpKind = "link"
	OpRename  OpKind = "rename"
	OpRemove  OpKind = "remove"
)

// Op is one change, as hooks see it.
type Op struct {
	N    int // counts from 1
	Kind OpKind
	Name string // the new name of a link or rename
}

// MemOptions of NewMem. The zero value works.
type MemOptions struct {
	// Now gives modification times; nil leaves them zero.
	Now func() time.Time
	// Before is called before each change; an error it returns is the call's
	// result, and nothing changes.
	Before func(Op) error
	// After is called when a change was made, outside of any lock, so that it
	// may call CrashClone.
	After func(Op)
	// IgnoreSync and IgnoreSyncDir make Sync of files, of folders, a lie.
	IgnoreSync, IgnoreSyncDir bool
}

// Mem is an FS in memory that knows which of its bytes and names would survive
// a power loss.
type Mem struct {
	o MemOptions

	mu   sync.Mutex
	root *node
	ops  int
}

var _ FS = (*Mem)(nil)

// node is a file or folder. Of a file, data is what is seen and pending the
// writes since its last sync; of a folder, entries is what is seen, durable
// what was there at the last sync, and changes what was done since.
type node struct {
	dir  bool
	perm fs.FileMode
	time time.Time
	lock chan struct{} // holds one token while locked

	data    []byte
	synced  int      // leading bytes that are durable
	pending []extent // writes after them

	entries, durable map[string]*node
	changes          []*change
}

// extent is a write that was not synced.
type extent struct{ start, end int }

// change is a change of one name in one folder; a nil node removes it. It can
// survive only if the change that it is bound to does: a rename never loses
// both names.
type change struct {
	name    string
	node    *node
	bound   *change
	durable bool
}

func newNode(dir bool, perm fs.FileMode, at time.Time) *node {
	n := &node{dir: dir, perm: perm, time: at, lock: make(chan struct{}, 1)}
	if dir {
		n.entries, n.durable = map[string]*node{}, map[string]*node{}
	}
	return n
}

// NewMem returns an empty folder in memory.
func NewMem(o MemOptions) *Mem {
	if o.Now == nil {
		o.Now = func() time.Time { return time.Time{} }
	}
	return &Mem{o: o, root: newNode(true, 0o755, o.Now())}
}

// Ops returns the number of changes so far.
func (m *Mem) Ops() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

// Close implements FS.
func (m *Mem) Close() error { return nil }

// do counts and makes one change with the hooks around it. change runs under mu.
func (m *Mem) do(kind OpKind, name string, change func() error) error {
	m.mu.Lock()
	m.ops++
	op := Op{N: m.ops, Kind: kind, Name: name}
	m.mu.Unlock()
	if m.o.Before != nil {
		if err := m.o.Before(op); err != nil {
			return &fs.PathError{Op: string(kind), Path: name, Err: err}
		}
	}
	m.mu.Lock()
	err := change()
	m.mu.Unlock()
	if err != nil {
		return &fs.PathError{Op: string(kind), Path: name, Err: err}
	}
	if m.o.After != nil {
		m.o.After(op)
	}
	return nil
}

// find returns the node of a name; the caller holds mu.
func (m *Mem) find(name string) (*node, error) {
	n := m.root
	if name == "." {
		return n, nil
	}
	if !fs.ValidPath(name) {
		return nil, fs.ErrInvalid
	}
	for part := range strings.SplitSeq(name, "/") {
		if !n.dir {
			return nil, syscall.ENOTDIR
		}
		next, ok := n.entries[part]
		if !ok {
			return nil, fs.ErrNotExist
		}
		n = next
	}
	return n, nil
}

// parent returns the folder of a name and its last part; the caller holds mu.
func (m *Mem) parent(name string) (*node, string, error) {
	if !fs.ValidPath(name) || name == "." {
		return nil, "", fs.ErrInvalid
	}
	n, err := m.find(path.Dir(name))
	if err != nil {
		return nil, "", err
	}
	if !n.dir {
		return nil, "", syscall.ENOTDIR
	}
	return n, path.Base(name), nil
}

// set changes a name in a folder; the caller holds mu.
func (n *node) set(name string, to *node, bound *change) *change {
	c := &change{name: name, node: to, bound: bound}
	if to == nil {
		delete(n.entries, name)
	} else {
		n.entries[name] = to
	}
	n.changes = append(n.changes, c)
	return c
}

// add makes a new name in its folder; the caller holds mu.
func (m *Mem) add(name string, n *node) error {
	dir, base, err := m.parent(name)
	if err != nil {
		return err
	}
	if _, ok := dir.entries[base]; ok {
		return fs.ErrExist
	}
	dir.set(base, n, nil)
	return nil
}

// OpenFile implements FS.
func (m *Mem) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	m.mu.Lock()
	n, err := m.find(name)
	m.mu.Unlock()
	missing := err != nil
	switch {
	case missing && (flag&os.O_CREATE == 0 || !errors.Is(err, fs.ErrNotExist)):
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	case missing:
		err = m.do(OpCreate, name, func() error {
			n = newNode(false, perm, m.o.Now())
			return m.add(name, n)
		})
		if err != nil {
			return nil, err
		}
	case flag&os.O_EXCL != 0 && flag&os.O_CREATE != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrExist}
	case flag&os.O_TRUNC != 0 || n.dir && flag&(os.O_WRONLY|os.O_RDWR) != 0:
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	return &memFile{m: m, n: n, name: name, writable: flag&(os.O_WRONLY|os.O_RDWR) != 0}, nil
}

// Mkdir implements FS.
func (m *Mem) Mkdir(name string, perm fs.FileMode) error {
	return m.do(OpMkdir, name, func() error { return m.add(name, newNode(true, perm, m.o.Now())) })
}

// Link implements FS.
func (m *Mem) Link(oldname, newname string) error {
	return m.do(OpLink, newname, func() error {
		n, err := m.find(oldname)
		if err != nil {
			return err
		}
		return m.add(newname, n)
	})
}

// Rename implements FS.
func (m *Mem) Rename(oldname, newname string) error {
	return m.do(OpRename, newname, func() error {
		from, fromBase, err := m.parent(oldname)
		if err != nil {
			return err
		}
		to, toBase, err := m.parent(newname)
		if err != nil {
			return err
		}
		n, ok := from.entries[fromBase]
		if !ok {
			return fs.ErrNotExist
		}
		if old := to.entries[toBase]; old != nil && (old.dir || n.dir) {
			return syscall.EISDIR
		}
		added := to.set(toBase, n, nil)
		from.set(fromBase, nil, added)
		return nil
	})
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	return m.do(OpRemove, name, func() error {
		dir, base, err := m.parent(name)
		if err != nil {
			return err
		}
		n, ok := dir.entries[base]
		if !ok {
			return fs.ErrNotExist
		}
		if n.dir && len(n.entries) > 0 {
			return syscall.ENOTEMPTY
		}
		dir.set(base, nil, nil)
		return nil
	})
}

// Names returns the path of every file, sorted.
func (m *Mem) Names() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	var walk func(prefix string, n *node)
	walk = func(prefix string, n *node) {
		for _, name := range slices.Sorted(maps.Keys(n.entries)) {
			child := n.entries[name]
			if child.dir {
				walk(prefix+name+"/", child)
			} else {
				names = append(names, prefix+name)
			}
		}
	}
	walk("", m.root)
	return names
}
