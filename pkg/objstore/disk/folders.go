package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"sync"
	"syscall"

	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
)

// foldersMax bounds the memory of folders; beyond it they are forgotten and
// synced anew, which costs time only.
const foldersMax = 4096

// folders makes the names in folders durable, those of concurrent callers
// together: one sync serves all whose names were there when it began.
type folders struct {
	fs vfs.FS

	mu     sync.Mutex
	known  map[string]bool // folders whose own names are durable
	queues map[string]*queue
}

func newFolders(fsys vfs.FS) *folders {
	return &folders{fs: fsys, known: map[string]bool{}, queues: map[string]*queue{}}
}

// queue is of the syncs of one folder.
type queue struct {
	users int        // callers in sync; guarded by folders.mu
	turn  sync.Mutex // held during a sync

	mu      sync.Mutex
	started uint64 // number of the last sync that began
	done    uint64 // number of the last sync that ended
	failed  uint64 // number of the last sync that failed
	cause   error  // and why
}

// sync makes the names that are in dir now durable. A failed sync fails for
// everybody whose names it was to make durable: another one might succeed only
// because the system told of the failure once.
func (f *folders) sync(dir string) error {
	f.mu.Lock()
	q := f.queues[dir]
	if q == nil {
		q = &queue{}
		f.queues[dir] = q
	}
	q.users++
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if q.users--; q.users == 0 {
			delete(f.queues, dir)
		}
	}()
	return q.sync(func() error { return syncDir(f.fs, dir) })
}

func (q *queue) sync(do func() error) error {
	q.mu.Lock()
	want := q.started + 1 // the first sync to begin after this moment
	q.mu.Unlock()
	q.turn.Lock()
	defer q.turn.Unlock()
	q.mu.Lock()
	switch {
	case q.failed >= want:
		defer q.mu.Unlock()
		return q.cause
	case q.done >= want:
		defer q.mu.Unlock()
		return nil
	}
	q.started++
	q.mu.Unlock()
	err := do()
	q.mu.Lock()
	defer q.mu.Unlock()
	q.done = q.started
	if err != nil {
		q.failed, q.cause = q.done, err
	}
	return err
}

// ensure makes a folder and its parents and makes their names durable.
func (f *folders) ensure(dir string) error {
	if dir == "." || f.isKnown(dir) {
		return nil
	}
	parent := path.Dir(dir)
	if err := f.ensure(parent); err != nil {
		return err
	}
	err := f.fs.Mkdir(dir, permDir)
	switch {
	case errors.Is(err, syscall.ENOTDIR), errors.Is(err, fs.ErrExist) && !isDir(f.fs, dir):
		return fmt.Errorf("%s is an object, not a folder of keys: %w", dir, fs.ErrInvalid)
	case errors.Is(err, fs.ErrNotExist):
		f.forget()
		return fmt.Errorf("%w: %w", errVanished, err)
	case err != nil && !errors.Is(err, fs.ErrExist):
		return fmt.Errorf("make folder %s: %w", dir, err)
	}
	durable := []string{dir}
	if parent == "." { // its few folders need not be synced one by one
		durable = append(durable, f.below(parent)...)
	}
	// Also if it was there: whoever made it may have died before this step.
	if err := f.sync(parent); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.known) >= foldersMax {
		clear(f.known)
	}
	for _, name := range durable {
		f.known[name] = true
	}
	return nil
}

// below returns the folders in dir, as far as they can be read.
func (f *folders) below(dir string) []string {
	entries, err := readDir(f.fs, dir)
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() && len(names) < foldersMax/2 {
			names = append(names, path.Join(dir, e.Name()))
		}
	}
	return names
}

func (f *folders) isKnown(dir string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.known[dir]
}

// forget is called when a folder that was known turned out to be gone.
func (f *folders) forget() {
	f.mu.Lock()
	defer f.mu.Unlock()
	clear(f.known)
}

// syncDir makes the names in a folder durable.
func syncDir(fsys vfs.FS, dir string) error {
	f, err := fsys.OpenFile(dir, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		f.Close()
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return f.Close()
}

func readDir(fsys vfs.FS, dir string) ([]fs.DirEntry, error) {
	f, err := fsys.OpenFile(dir, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.ReadDir(-1)
}

func isDir(fsys vfs.FS, name string) bool {
	f, err := fsys.OpenFile(name, os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	info, err := f.Stat()
	return err == nil && info.IsDir()
}
