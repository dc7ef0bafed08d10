package worktree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/pkg/tree"
)

// folder is an open directory. All that is done below it goes through the open
// directory and names of one component, so nobody who renames or replaces
// directories meanwhile can lead it elsewhere. Several goroutines may use it;
// the last one to release it closes it.
type folder struct {
	root  *os.Root
	users atomic.Int32

	making sync.Mutex // held while a name is made in it

	opened sync.Once
	dir    *os.File // the directory itself, once it was needed
	dirErr error
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
		if f.dir != nil {
			_ = f.dir.Close()
		}
	}
}

// self returns the open directory. It is closed with the folder.
func (f *folder) self() (*os.File, error) {
	f.opened.Do(func() { f.dir, f.dirErr = f.root.Open(".") })
	return f.dir, f.dirErr
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

// file is an open regular file.
type file interface {
	io.ReadWriteCloser
	io.WriterAt
	Truncate(size int64) error
	stat() (Stat, error)
}

// diskEntry is one name in a folder.
type diskEntry struct {
	name    string
	key     string      // what it is sorted by: the name, a directory's with "/" at the end
	kind    tree.Kind   // 0 for what is neither file, link nor directory
	mode    fs.FileMode // its type
	stat    Stat        // of a file
	ignored bool
}

// statAtOnce is how many entries of a folder one goroutine looks at: enough to
// be worth one.
const statAtOnce = 512

// entries returns what is in the folder, in no order.
func (f *folder) entries() ([]diskEntry, error) {
	dir, err := f.self()
	if err != nil {
		return nil, err
	}
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	list := make([]diskEntry, len(names))
	var looks errgroup.Group
	looks.SetLimit(runtime.GOMAXPROCS(0))
	for at := 0; at < len(names); at += statAtOnce {
		end := min(at+statAtOnce, len(names))
		look := func() error { return f.look(names[at:end], list[at:end]) }
		if end == len(names) {
			err = look() // often there is no other
			break
		}
		looks.Go(look)
	}
	if err := errors.Join(err, looks.Wait()); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(e diskEntry) bool { return e.name == "" }), nil
}

// look fills list with what the names are; what was removed meanwhile gets no
// name.
func (f *folder) look(names []string, list []diskEntry) error {
	for i, name := range names {
		e, err := f.lookAt(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		list[i] = e
	}
	return nil
}

func diskEntryOf(name string, info fs.FileInfo) diskEntry {
	e := diskEntry{name: name, key: name, mode: info.Mode().Type()}
	switch e.mode {
	case 0:
		e.kind, e.stat = tree.File, statOf(info)
	case fs.ModeSymlink:
		e.kind = tree.Symlink
	case fs.ModeDir:
		e.kind, e.key = tree.Dir, name+"/"
	default: // what nobody commits
	}
	return e
}
