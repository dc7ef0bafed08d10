//go:build !linux && !darwin

package worktree

import "io/fs"

// changed returns zeros: the system does not tell, and size and time of
// modification must do.
func changed(fs.FileInfo) (ctime int64, inode uint64) { return 0, 0 }
