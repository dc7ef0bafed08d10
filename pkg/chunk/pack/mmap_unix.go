//go:build unix

package pack

import (
	"os"
	"syscall"
)

// mapFile maps a file of size bytes read-only. unmap releases the bytes.
func mapFile(f *os.File, size int) (data []byte, unmap func([]byte), err error) {
	data, err = syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, os.NewSyscallError("mmap", err)
	}
	return data, func(b []byte) { _ = syscall.Munmap(b) }, nil // fails only for bytes that are not mapped
}
