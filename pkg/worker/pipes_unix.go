//go:build unix

package worker

import "syscall"

// nonblock opens a pipe without waiting for its other end.
const nonblock = syscall.O_NONBLOCK

// makePipe makes a named pipe that everybody can read.
func makePipe(path string) error { return syscall.Mkfifo(path, 0o644) }
