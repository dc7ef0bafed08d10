package worktree

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// holeAt returns how many of the bytes that are read next from a file are a
// hole, 0 if the file system does not say.
func holeAt(fd int) int64 {
	at, err := unix.Seek(fd, 0, io.SeekCurrent)
	if err != nil {
		return 0
	}
	data, err := unix.Seek(fd, at, unix.SEEK_DATA)
	if errors.Is(err, unix.ENXIO) { // there are none up to the end
		data, err = unix.Seek(fd, 0, io.SeekEnd)
	}
	if _, back := unix.Seek(fd, at, io.SeekStart); err != nil || back != nil {
		return 0
	}
	return data - at
}

// Hole implements chunk.Sparse.
func (b *bareFile) Hole() int64 { return holeAt(b.fd) }

// Skip implements chunk.Sparse.
func (b *bareFile) Skip(n int64) error {
	_, err := unix.Seek(b.fd, n, io.SeekCurrent)
	return os.NewSyscallError("lseek", err)
}
