package vfs

import (
	"cmp"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"syscall"
	"time"
)

// memFile is an open file or folder of a Mem. Writes append: the local store
// needs no others.
type memFile struct {
	m        *Mem
	n        *node
	name     string
	writable bool
	offset   int
	listed   bool
	locked   bool
	closed   bool
}

func (f *memFile) check(op string) error {
	if f.closed {
		return &fs.PathError{Op: op, Path: f.name, Err: fs.ErrClosed}
	}
	return nil
}

// Read implements fs.File.
func (f *memFile) Read(p []byte) (int, error) {
	n, err := f.ReadAt(p, int64(f.offset))
	f.offset += n
	if n > 0 {
		err = nil
	}
	return n, err
}

// ReadAt implements io.ReaderAt.
func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if err := f.check("read"); err != nil {
		return 0, err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.n.dir {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: syscall.EISDIR}
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.n.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// Write implements io.Writer: it appends.
func (f *memFile) Write(p []byte) (int, error) {
	if err := f.check("write"); err != nil {
		return 0, err
	}
	if !f.writable {
		return 0, &fs.PathError{Op: "write", Path: f.name, Err: syscall.EBADF}
	}
	err := f.m.do(OpWrite, f.name, func() error {
		start := len(f.n.data)
		f.n.data = append(f.n.data, p...)
		f.n.pending = append(f.n.pending, extent{start: start, end: len(f.n.data)})
		f.n.time = f.m.o.Now()
		return nil
	})
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// Sync implements File.
func (f *memFile) Sync() error {
	if err := f.check("sync"); err != nil {
		return err
	}
	if f.n.dir {
		return f.m.do(OpSyncDir, f.name, func() error {
			if f.m.o.IgnoreSyncDir {
				return nil
			}
			for _, c := range f.n.changes {
				c.durable = true
			}
			f.n.changes = nil
			f.n.durable = maps.Clone(f.n.entries)
			return nil
		})
	}
	return f.m.do(OpSync, f.name, func() error {
		if !f.m.o.IgnoreSync {
			f.n.synced, f.n.pending = len(f.n.data), nil
		}
		return nil
	})
}

// Lock implements File.
func (f *memFile) Lock(wait bool) (bool, error) {
	if err := f.check("lock"); err != nil {
		return false, err
	}
	if wait {
		f.n.lock <- struct{}{}
		f.locked = true
		return true, nil
	}
	select {
	case f.n.lock <- struct{}{}:
		f.locked = true
		return true, nil
	default:
		return false, nil
	}
}

// Close implements fs.File.
func (f *memFile) Close() error {
	if err := f.check("close"); err != nil {
		return err
	}
	f.closed = true
	if f.locked {
		<-f.n.lock
	}
	return nil
}

// Stat implements fs.File.
func (f *memFile) Stat() (fs.FileInfo, error) {
	if err := f.check("stat"); err != nil {
		return nil, err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return f.n.info(path.Base(f.name)), nil
}

// ReadDir implements fs.ReadDirFile; it gives all entries at once.
func (f *memFile) ReadDir(int) ([]fs.DirEntry, error) {
	if err := f.check("readdir"); err != nil {
		return nil, err
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if !f.n.dir {
		return nil, &fs.PathError{Op: "readdir", Path: f.name, Err: syscall.ENOTDIR}
	}
	if f.listed {
		return nil, nil
	}
	f.listed = true
	var entries []fs.DirEntry
	for name, n := range f.n.entries {
		entries = append(entries, fs.FileInfoToDirEntry(n.info(name)))
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// memInfo is a fs.FileInfo.
type memInfo struct {
	name string
	size int64
	mode fs.FileMode
	time time.Time
}

func (n *node) info(name string) memInfo {
	mode := n.perm
	if n.dir {
		mode |= fs.ModeDir
	}
	return memInfo{name: name, size: int64(len(n.data)), mode: mode, time: n.time}
}

func (i memInfo) Name() string       { return i.name }
func (i memInfo) Size() int64        { return i.size }
func (i memInfo) Mode() fs.FileMode  { return i.mode }
func (i memInfo) ModTime() time.Time { return i.time }
func (i memInfo) IsDir() bool        { return i.mode.IsDir() }
func (i memInfo) Sys() any           { return nil }
