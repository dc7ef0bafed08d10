//go:build unix

package worker

import "golang.org/x/sys/unix"

// noFollow keeps open from following a link or waiting for a pipe's writer.
const noFollow = unix.O_NOFOLLOW | unix.O_NONBLOCK
