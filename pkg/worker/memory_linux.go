package worker

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// inodesMin is how many more files must have room for there to be any.
const inodesMin = 16 << 10

// room returns the bytes that are free in a folder, 0 if nothing in it can be
// executed, or few files be made.
func room(dir string) int64 {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil || st.Flags&unix.ST_NOEXEC != 0 || st.Files > 0 && st.Ffree < inodesMin {
		return 0
	}
	return int64(st.Bavail) * st.Bsize
}

// lay makes the folder in below the folder base. After an error some of it may
// be there; remove removes it.
func (s *smallInputs) lay(ctx context.Context, base string) error {
	for i := range s.dirs {
		if err := s.makeDir(i, base); err != nil {
			return err
		}
	}
	ids := make([]chunk.ID, 0, len(s.files))
	filled := make([]smallFile, 0, len(s.files))
	for _, f := range s.files {
		if f.size > 0 {
			ids, filled = append(ids, f.id), append(filled, f)
		} else if err := s.makeFile(f, nil); err != nil {
			return err
		}
	}
	err := chunk.GetMany(ctx, s.r, chunk.Data, ids, func(i int, plain []byte) error { return s.makeFile(filled[i], plain) })
	for i := len(s.dirs) - 1; i >= 0 && err == nil; i-- {
		parent, name := s.place(i, base)
		err = errors.Join(unix.Fchmod(s.dirs[i].open, 0o555), fixTimeAt(parent, name))
	}
	return err
}

// place returns how a folder is named: its parent's descriptor, and its name in
// it.
func (s *smallInputs) place(i int, base string) (parent int, name string) {
	if p := s.dirs[i].parent; p >= 0 {
		return s.dirs[p].open, s.dirs[i].name
	}
	return unix.AT_FDCWD, filepath.Join(base, s.dirs[i].name)
}

// fixTimeAt gives a name in a folder the fixed time.
func fixTimeAt(dir int, name string) error {
	at := unix.NsecToTimespec(fixedTime.UnixNano())
	return unix.UtimesNanoAt(dir, name, []unix.Timespec{at, at}, unix.AT_SYMLINK_NOFOLLOW)
}

func (s *smallInputs) makeDir(i int, base string) (err error) {
	parent, name := s.place(i, base)
	if err := unix.Mkdirat(parent, name, 0o755); err != nil {
		return err
	}
	s.dirs[i].open, err = openAt(parent, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	return err
}

func (s *smallInputs) makeFile(f smallFile, plain []byte) error {
	if int64(len(plain)) != f.size {
		return fmt.Errorf("chunk %v has %d bytes, not %d: %w", f.id.Short(), len(plain), f.size, chunk.ErrCorrupt)
	}
	mode := uint32(0o444)
	if f.exec {
		mode = 0o555
	}
	fd, err := openAt(s.dirs[f.dir].open, f.name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, mode)
	if err != nil {
		return err
	}
	for len(plain) > 0 && err == nil {
		var n int
		if n, err = unix.Write(fd, plain); errors.Is(err, unix.EINTR) {
			err = nil
		} else if err == nil {
			plain = plain[n:]
		}
	}
	return errors.Join(err, unix.Fchmod(fd, mode), unix.Close(fd), fixTimeAt(s.dirs[f.dir].open, f.name))
}

// remove removes the folder in below the folder base, whatever the program did
// to it.
func (s *smallInputs) remove(base string) error {
	known := true // it is as it was laid out
	for _, d := range s.dirs {
		known = known && d.open >= 0 && unix.Fchmod(d.open, 0o755) == nil
	}
	for _, f := range s.files {
		known = known && unix.Unlinkat(s.dirs[f.dir].open, f.name, 0) == nil
	}
	for i := len(s.dirs) - 1; i >= 0; i-- {
		d := &s.dirs[i]
		if d.open < 0 {
			continue
		}
		parent, name := s.place(i, base)
		known = known && unix.Unlinkat(parent, name, unix.AT_REMOVEDIR) == nil
		_ = unix.Close(d.open)
		d.open = -1
	}
	if known {
		return nil
	}
	return removeWhole(filepath.Join(base, "in"))
}

// openAt opens a name in a folder, and follows no link.
func openAt(dir int, name string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, mode)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}
