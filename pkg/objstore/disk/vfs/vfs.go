package vfs

import (
	"io"
	"io/fs"
)

// FS is the file access of a local store, below one folder. Symbolic links
// that lead out of the folder are not followed.
type FS interface {
	// OpenFile opens a file or folder as os.OpenFile does. A new name is durable
	// only after its folder was synced.
	OpenFile(name string, flag int, perm fs.FileMode) (File, error)
	// Mkdir makes one folder, failing with fs.ErrExist if the name is taken.
	Mkdir(name string, perm fs.FileMode) error
	// Link gives a file a second name, failing with fs.ErrExist if it is taken.
	Link(oldname, newname string) error
	// Rename moves a file, replacing the file of the new name in one step.
	Rename(oldname, newname string) error
	// Remove removes a name.
	Remove(name string) error
	// Close releases the folder itself; open files stay open.
	Close() error
}

// File is an open file or folder.
type File interface {
	fs.ReadDirFile
	io.ReaderAt
	io.Writer
	// Sync makes the file's bytes, or a folder's names, durable.
	Sync() error
	// Lock takes the file's exclusive advisory lock, waiting for it if wait, and
	// reports whether it was taken. It excludes every other open File, of this
	// and other processes; Close and the end of the process release it.
	Lock(wait bool) (bool, error)
}
