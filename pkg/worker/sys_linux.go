package worker

import (
	"errors"
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
		return st.Ino, st.Ctim.Nano()
	}
	return 0, 0
}

// fixLinkTime gives the link p itself the fixed time.
func fixLinkTime(root *os.Root, p string) error {
	at := unix.NsecToTimespec(fixedTime.UnixNano())
	name := filepath.Join(root.Name(), filepath.FromSlash(p))
	return unix.UtimesNanoAt(unix.AT_FDCWD, name, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}

// salvages says whether files that were left can be used again.
const salvages = true

// pristine reports whether an open file is one that we could have made: ours,
// under no other name, and without attributes that the next program would see.
func pristine(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || st.Nlink != 1 || int(st.Uid) != os.Geteuid() || int(st.Gid) != os.Getegid() {
		return false
	}
	n, err := unix.Flistxattr(int(f.Fd()), nil)
	return err == nil && n == 0 || errors.Is(err, unix.ENOTSUP)
}

// giveBack frees the blocks of a file between two offsets, which then reads as
// zeros there. Where the file system can't, nothing is done.
func giveBack(name string, from, to int64) {
	fd, err := unix.Open(name, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return
	}
	_ = unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, from, to-from)
	_ = unix.Close(fd)
}
