//go:build unix

package pack

import (
	"os"

	"golang.org/x/sys/unix"
)

// mapFile maps a file of size bytes read-only. unmap releases the bytes.
func mapFile(f *os.File, size int) (data []byte, unmap func([]byte), err error) {
	data, err = unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return data, func(b []byte) { _ = unix.Munmap(b) }, nil // fails only for bytes that are not mapped
}

// forget takes the bytes from from to to of a mapping, as far as they are whole
// pages, out of the process's memory. They are read from the file again when
// somebody wants them.
func forget(data []byte, from, to int) {
	page := os.Getpagesize()
	if from, to = from/page*page, to/page*page; from < to {
		_ = unix.Madvise(data[from:to], unix.MADV_DONTNEED) // at worst they stay
	}
}
