package vfs

import "golang.org/x/sys/unix"

// direct makes writes go past the system's cache, or through it again. What is
// stored is seldom read soon, and the way through the cache costs more than
// the disk does.
func (f *osFile) direct(on bool) error {
	fd := f.Fd()
	flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0)
	if err != nil {
		return err
	}
	flags &^= unix.O_DIRECT
	if on {
		flags |= unix.O_DIRECT
	}
	_, err = unix.FcntlInt(fd, unix.F_SETFL, flags)
	return err
}
