//go:build !linux

package worktree

import (
	"fmt"
	"io/fs"
	"os"
)

// lookAt returns what name is.
func (f *folder) lookAt(name string) (diskEntry, error) {
	info, err := f.root.Lstat(name)
	if err != nil {
		return diskEntry{}, err
	}
	return diskEntryOf(name, info), nil
}

// osFile is a file of package os.
type osFile struct{ *os.File }

func (f osFile) stat() (Stat, error) {
	info, err := f.Stat()
	if err != nil {
		return Stat{}, err
	}
	return statOf(info), nil
}

// openFile opens the regular file name for reading, and fails with ErrChanging
// if it is none, or becomes another meanwhile.
func (f *folder) openFile(name string) (file, Stat, error) {
	before, err := f.root.Lstat(name)
	if err != nil {
		return nil, Stat{}, err
	}
	if !before.Mode().IsRegular() {
		return nil, Stat{}, fmt.Errorf("%s is no regular file any more: %w", name, ErrChanging)
	}
	opened, err := f.root.OpenFile(name, os.O_RDONLY|openFlags, 0)
	if err != nil {
		return nil, Stat{}, err
	}
	after, err := opened.Stat()
	if err != nil || !os.SameFile(before, after) {
		_ = opened.Close()
		return nil, Stat{}, fmt.Errorf("%s was replaced: %w", name, ErrChanging)
	}
	return osFile{opened}, statOf(after), nil
}

// createFile makes the file name, which must not be there yet.
func (f *folder) createFile(name string, mode fs.FileMode) (file, error) {
	made, err := f.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	return osFile{made}, nil
}
