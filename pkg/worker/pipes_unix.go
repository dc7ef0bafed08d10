//go:build unix

package worker

import (
	"os"
	"syscall"
)

// nonblock opens a pipe without waiting for its other end.
const nonblock = syscall.O_NONBLOCK

// makePipe makes a named pipe that everybody can read.
func makePipe(path string) error { return syscall.Mkfifo(path, 0o644) }

// readNow reads what there is in a pipe that was opened with nonblock, and does
// not wait for more.
func readNow(f *os.File, b []byte) (n int) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	err = raw.Read(func(fd uintptr) bool {
		n, _ = syscall.Read(int(fd), b)
		return true
	})
	if err != nil {
		return 0
	}
	return max(n, 0)
}
