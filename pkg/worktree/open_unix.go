//go:build unix

package worktree

import "golang.org/x/sys/unix"

// openFlags keeps open from waiting for the writer of a pipe that took a
// file's place.
const openFlags = unix.O_NONBLOCK
