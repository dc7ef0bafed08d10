package vfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// OS is an FS of real files.
type OS struct {
	root *os.Root
}

var _ FS = (*OS)(nil)

// OpenOS opens an existing folder. The caller closes it.
func OpenOS(dir string) (*OS, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open folder: %w", err)
	}
	return &OS{root: root}, nil
}

// OpenFile implements FS.
func (o *OS) OpenFile(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := o.OSFile(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return &osFile{File: f}, nil
}

// OSFile is OpenFile for callers that need the file itself, to map it into
// memory.
func (o *OS) OSFile(name string, flag int, perm fs.FileMode) (*os.File, error) {
	return o.root.OpenFile(name, flag, perm)
}

// Stat describes the file of a name.
func (o *OS) Stat(name string) (fs.FileInfo, error) { return o.root.Stat(name) }

// Mkdir implements FS.
func (o *OS) Mkdir(name string, perm fs.FileMode) error { return o.root.Mkdir(name, perm) }

// Link implements FS.
func (o *OS) Link(oldname, newname string) error { return o.root.Link(oldname, newname) }

// Rename implements FS.
func (o *OS) Rename(oldname, newname string) error { return o.root.Rename(oldname, newname) }

// Remove implements FS.
func (o *OS) Remove(name string) error { return o.root.Remove(name) }

// Close implements FS.
func (o *OS) Close() error { return o.root.Close() }

type osFile struct {
	*os.File
	locked bool
}

// Sync implements File. On darwin the os package asks for F_FULLFSYNC.
func (f *osFile) Sync() error { return syncFile(f.File) }

// Lock implements File.
func (f *osFile) Lock(wait bool) (bool, error) {
	ok, err := lockFile(f.File, wait)
	f.locked = f.locked || ok
	return ok, err
}

// Close implements File. A lock is given up before: a child process that is
// being started has the open file too until it executes its program, and would
// hold the lock that long.
func (f *osFile) Close() error {
	if !f.locked {
		return f.File.Close()
	}
	return errors.Join(unlockFile(f.File), f.File.Close())
}
