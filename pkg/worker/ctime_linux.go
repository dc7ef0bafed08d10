package worker

import (
	"fmt"
	"io/fs"
	"syscall"
)

// changeTime returns the inode and the time of its last change, which user
// code can't set.
func changeTime(info fs.FileInfo) string {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return fmt.Sprintf("%d %d.%d", st.Ino, st.Ctim.Sec, st.Ctim.Nsec)
	}
	return ""
}
