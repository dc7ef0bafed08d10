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
	if data > at && !holesAreTold(fd) {
		return 0
	}
	return data - at
}

// holesAreTold reports whether a file is on a file system that never calls a
// hole what holds bytes. ZFS did so for years with bytes that it had not yet
// written to disk (OpenZFS issue 15526), and nobody knows of file systems behind
// a network or a layer; there, zeros are read like other bytes.
func holesAreTold(fd int) bool {
	var st unix.Statfs_t
	return again(func() error { return unix.Fstatfs(fd, &st) }) == nil && tellsHoles(uint32(st.Type))
}

// tellsHoles is holesAreTold for a file system type of statfs(2).
func tellsHoles(magic uint32) bool {
	switch magic {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC:
		return true
	}
	return false
}

// Hole implements chunk.Sparse.
func (b *bareFile) Hole() int64 { return holeAt(b.fd) }

// Skip implements chunk.Sparse.
func (b *bareFile) Skip(n int64) error {
	_, err := unix.Seek(b.fd, n, io.SeekCurrent)
	return os.NewSyscallError("lseek", err)
}
