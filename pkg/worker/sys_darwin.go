package worker

import (
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// openFlags keeps an open from waiting for a pipe's writer.
const openFlags = unix.O_NONBLOCK

// change returns a file's inode and the time of its last change in Unix ns.
func change(info fs.FileInfo) (inode uint64, ns int64) {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino, st.Ctimespec.Nano()
	}
	return 0, 0
}

// fixLinkTime gives the link p itself the fixed time.
func fixLinkTime(root *os.Root, p string) error {
	at := unix.NsecToTimespec(fixedTime.UnixNano())
	name := filepath.Join(root.Name(), filepath.FromSlash(p))
	return unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}

// salvages: names that differ in case only may be one.
const salvages = false

// pristine: not known here.
func pristine(*os.File) bool { return false }

// giveBack: not done here.
func giveBack(string, int64, int64) {}
