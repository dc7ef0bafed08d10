//go:build !windows

package auth

import (
	"io/fs"
	"syscall"
)

// mounted reports whether a key file is as Kubernetes mounts a secret for a
// program of the user uid, not root: it is root's, and nobody else but the group of that
// program can read it.
func mounted(info fs.FileInfo, uid int) bool {
	s, ok := info.Sys().(*syscall.Stat_t)
	return ok && s.Uid == 0 && uid != 0 && info.Mode().Perm()&0o037 == 0
}
