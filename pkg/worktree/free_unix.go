//go:build linux || darwin

package worktree

import (
	"math"

	"golang.org/x/sys/unix"
)

// freeBytes returns how many bytes the disk that holds dir has room for.
func freeBytes(dir string) int64 {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil || s.Bsize <= 0 || s.Bavail > math.MaxInt64/uint64(s.Bsize) {
		return math.MaxInt64 // it does not say: a full disk is noticed when writing
	}
	return int64(s.Bavail * uint64(s.Bsize))
}
