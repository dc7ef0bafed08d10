package worktree

import (
	"fmt"
	"io/fs"
	"os"
	"sync/atomic"

	"github.com/dvx-io/dvx/pkg/tree"
)

// folder is an open directory. All that is done below it goes through the open
// directory and names of one component, so nobody who renames or replaces
// directories meanwhile can lead it elsewhere. Several goroutines may use it;
// the last one to release it closes it.
type folder struct {
	root  *os.Root
	users atomic.Int32
}

func newFolder(root *os.Root) *folder {
	f := &folder{root: root}
	f.users.Store(1)
	return f
}

func openFolder(dir string) (*folder, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return newFolder(root), nil
}

func (f *folder) hold() *folder {
	f.users.Add(1)
	return f
}

func (f *folder) release() {
	if f.users.Add(-1) == 0 {
		_ = f.root.Close() // nothing was written through it
	}
}

// sub opens the directory name, and fails with ErrChanging if it is none, or
// becomes another meanwhile.
func (f *folder) sub(name string) (*folder, error) {
	before, err := f.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !before.IsDir() {
		return nil, fmt.Errorf("%s is no directory any more: %w", name, ErrChanging)
	}
	root, err := f.root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	if after, err := root.Stat("."); err != nil || !os.SameFile(before, after) {
		_ = root.Close()
		return nil, fmt.Errorf("%s was replaced: %w", name, ErrChanging)
	}
	return newFolder(root), nil
}

// openFile opens the regular file name for reading, and fails with ErrChanging
// if it is none, or becomes another meanwhile.
func (f *folder) openFile(name string) (*os.File, Stat, error) {
	before, err := f.root.Lstat(name)
	if err != nil {
		return nil, Stat{}, err
	}
	if !before.Mode().IsRegular() {
		return nil, Stat{}, fmt.Errorf("%s is no regular file any more: %w", name, ErrChanging)
	}
	file, err := f.root.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, Stat{}, err
	}
	after, err := file.Stat()
	if err != nil || !os.SameFile(before, after) {
		_ = file.Close()
		return nil, Stat{}, fmt.Errorf("%s was replaced: %w", name, ErrChanging)
	}
	return file, statOf(after), nil
}

// diskEntry is one name in a folder.
type diskEntry struct {
	name    string
	kind    tree.Kind   // 0 for what is neither file, link nor directory
	mode    fs.FileMode // its type
	stat    Stat        // of a file
	ignored bool
}

// key is what the entry is sorted by.
func (e *diskEntry) key() string {
	if e.kind == tree.Dir {
		return e.name + "/"
	}
	return e.name
}

// entries returns what is in the folder, in no order.
func (f *folder) entries() ([]diskEntry, error) {
	dir, err := f.root.Open(".")
	if err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	_ = dir.Close()
	if err != nil {
		return nil, err
	}
	list := make([]diskEntry, 0, len(names))
	for _, name := range names {
		info, err := f.root.Lstat(name)
		if os.IsNotExist(err) {
			continue // removed meanwhile
		}
		if err != nil {
			return nil, err
		}
		list = append(list, diskEntryOf(name, info))
	}
	return list, nil
}

func diskEntryOf(name string, info fs.FileInfo) diskEntry {
	e := diskEntry{name: name, mode: info.Mode().Type()}
	switch e.mode {
	case 0:
		e.kind, e.stat = tree.File, statOf(info)
	case fs.ModeSymlink:
		e.kind = tree.Symlink
	case fs.ModeDir:
		e.kind = tree.Dir
	default: // what nobody commits
	}
	return e
}
