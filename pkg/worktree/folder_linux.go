package worktree

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/dvx-io/dvx/pkg/tree"
)

// What is done for every file of a working copy is done here with bare system
// calls on the open directory: package os takes three times as long. Names are
// of one component and no link is followed, so nothing leads out of it.

// again calls fn until no signal interrupts it.
func again(fn func() error) error {
	for {
		if err := fn(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// lookAt returns what name is.
func (f *folder) lookAt(name string) (diskEntry, error) {
	dir, err := f.self()
	if err != nil {
		return diskEntry{}, err
	}
	var s unix.Stat_t
	err = again(func() error { return unix.Fstatat(int(dir.Fd()), name, &s, unix.AT_SYMLINK_NOFOLLOW) })
	if err != nil {
		return diskEntry{}, pathError("lstat", name, err)
	}
	e := diskEntry{name: name, key: name}
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		e.kind, e.stat = tree.File, statOfUnix(&s)
	case unix.S_IFLNK:
		e.kind, e.mode = tree.Symlink, fs.ModeSymlink
	case unix.S_IFDIR:
		e.kind, e.mode, e.key = tree.Dir, fs.ModeDir, name+"/"
	case unix.S_IFIFO:
		e.mode = fs.ModeNamedPipe
	case unix.S_IFSOCK:
		e.mode = fs.ModeSocket
	case unix.S_IFCHR:
		e.mode = fs.ModeDevice | fs.ModeCharDevice
	case unix.S_IFBLK:
		e.mode = fs.ModeDevice
	default:
		e.mode = fs.ModeIrregular
	}
	return e, nil
}

func statOfUnix(s *unix.Stat_t) Stat {
	return Stat{Size: s.Size, Mtime: s.Mtim.Nano(), Ctime: s.Ctim.Nano(), Inode: s.Ino, Exec: s.Mode&0o100 != 0}
}

// bareFile is a file descriptor.
type bareFile struct {
	fd   int
	name string
}

func (f *folder) open(name string, flags int, mode fs.FileMode) (*bareFile, error) {
	dir, err := f.self()
	if err != nil {
		return nil, err
	}
	b := &bareFile{name: name}
	err = again(func() (err error) {
		b.fd, err = unix.Openat(int(dir.Fd()), name, flags|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(mode.Perm()))
		return err
	})
	if err != nil {
		return nil, pathError("open", name, err)
	}
	return b, nil
}

// openFile opens the regular file name for reading, and fails with ErrChanging
// if it is none any more.
func (f *folder) openFile(name string) (file, Stat, error) {
	b, err := f.open(name, os.O_RDONLY|openFlags, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) { // a link, a socket
		return nil, Stat{}, fmt.Errorf("%s is no regular file any more: %w", name, ErrChanging)
	}
	if err != nil {
		return nil, Stat{}, err
	}
	var s unix.Stat_t
	if err := again(func() error { return unix.Fstat(b.fd, &s) }); err != nil {
		_ = b.Close()
		return nil, Stat{}, pathError("stat", name, err)
	}
	if s.Mode&unix.S_IFMT != unix.S_IFREG {
		_ = b.Close()
		return nil, Stat{}, fmt.Errorf("%s is no regular file any more: %w", name, ErrChanging)
	}
	return b, statOfUnix(&s), nil
}

// createFile makes the file name, which must not be there yet.
func (f *folder) createFile(name string, mode fs.FileMode) (file, error) {
	b, err := f.open(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// callMax bounds one call: the kernel takes at most 2 GiB less a page.
const callMax = 1 << 30

func (b *bareFile) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	err = again(func() (err error) {
		n, err = unix.Read(b.fd, p[:min(len(p), callMax)])
		return err
	})
	if err != nil {
		return 0, pathError("read", b.name, err)
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func (b *bareFile) Write(p []byte) (done int, err error) {
	for done < len(p) {
		var n int
		err = again(func() (err error) {
			n, err = unix.Write(b.fd, p[done:min(len(p), done+callMax)])
			return err
		})
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return done, pathError("write", b.name, err)
		}
		done += n
	}
	return done, nil
}

// Truncate makes the file end at size.
func (b *bareFile) Truncate(size int64) error {
	return pathError("truncate", b.name, again(func() error { return unix.Ftruncate(b.fd, size) }))
}

// WriteAt implements io.WriterAt.
func (b *bareFile) WriteAt(p []byte, off int64) (done int, err error) {
	for done < len(p) {
		var n int
		err = again(func() (err error) {
			n, err = unix.Pwrite(b.fd, p[done:min(len(p), done+callMax)], off+int64(done))
			return err
		})
		if err == nil && n == 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return done, pathError("write", b.name, err)
		}
		done += n
	}
	return done, nil
}

func (b *bareFile) stat() (Stat, error) {
	var s unix.Stat_t
	if err := again(func() error { return unix.Fstat(b.fd, &s) }); err != nil {
		return Stat{}, pathError("stat", b.name, err)
	}
	return statOfUnix(&s), nil
}

// Close closes the file; a second time it does nothing.
func (b *bareFile) Close() error {
	if b.fd < 0 {
		return nil
	}
	err := unix.Close(b.fd) // also if interrupted: Linux has closed it
	b.fd = -1
	if errors.Is(err, unix.EINTR) {
		return nil
	}
	return pathError("close", b.name, err)
}
