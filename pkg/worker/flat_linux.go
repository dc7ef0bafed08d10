package worker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/dvx-io/dvx/pkg/tree"
)

// flatBytes is how large a file is at most that is read at once, and dirSize how
// much of a folder's listing.
const (
	flatBytes = 1 << 20
	dirSize   = 4 << 10
)

// flat stores the output folder if all that lies in it are a few small files, as
// it does for most datums, in as few system calls as that takes. If there is
// anything else it reports false, and dir does it all, and says what is wrong.
func (c *collector) flat(name string) (plain, ok bool, err error) {
	dir, err := openAt(unix.AT_FDCWD, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return false, false, nil //nolint:nilerr // dir says so
	}
	defer func() { _ = unix.Close(dir) }()
	var st unix.Stat_t
	if unix.Fstat(dir, &st) != nil {
		return false, false, nil
	}
	names, ok := filesIn(dir)
	if !ok {
		return false, false, nil
	}
	for _, name := range names {
		if err := c.ctx.Err(); err != nil {
			return false, false, err
		}
		if ok, err := c.flatFile(dir, name); !ok || err != nil {
			return false, false, err
		}
	}
	for _, name := range names {
		if unix.Unlinkat(dir, name, 0) != nil {
			return false, true, nil // it is removed before the next task
		}
	}
	return st.Mode&0o777 == 0o755, true, nil
}

// flatFile stores a small file of a folder.
func (c *collector) flatFile(dir int, name string) (ok bool, err error) {
	fd, err := openAt(dir, name, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, nil //nolint:nilerr // dir says so
	}
	defer func() { _ = unix.Close(fd) }()
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFREG || st.Size > flatBytes || c.most > 0 && st.Size > c.most-c.bytes {
		return false, nil
	}
	e := tree.Entry{Kind: tree.File, Exec: st.Mode&0o100 != 0}
	if st.Size > 0 {
		b := make([]byte, st.Size+1) // of which the last byte shows the file's end
		if n, err := unix.Read(fd, b); err != nil || int64(n) != st.Size {
			return false, nil //nolint:nilerr // it changes: dir sees to it
		}
		if e.Content, err = c.writer.WriteContent(c.ctx, bytes.NewReader(b[:st.Size])); err != nil {
			return false, fmt.Errorf("store output out/%s: %w", name, err)
		}
	}
	c.bytes += e.Content.Size
	return true, c.put(name, e)
}

// filesIn returns the names in a folder in order, if all are files of valid
// names and they can be listed at once.
func filesIn(dir int) (names []string, ok bool) {
	b := make([]byte, dirSize)
	for {
		n, err := unix.Getdents(dir, b)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, false
		case n == 0:
			slices.Sort(names)
			return names, true
		case names != nil:
			return nil, false // there are many
		}
		if names, ok = parseNames(b[:n]); !ok {
			return nil, false
		}
	}
}

// parseNames reads the names of files from what getdents64 gave, whose layout
// is linux_dirent64's in getdents(2).
func parseNames(b []byte) (names []string, ok bool) {
	const lenAt, typeAt, nameAt = 16, 18, 19
	names = []string{}
	for len(b) > nameAt {
		size := int(binary.NativeEndian.Uint16(b[lenAt:]))
		if size <= nameAt || size > len(b) {
			return nil, false
		}
		text, _, _ := bytes.Cut(b[nameAt:size], []byte{0})
		kind := b[typeAt]
		b = b[size:]
		if name := string(text); name != "." && name != ".." {
			if kind != unix.DT_REG || tree.CheckName(name) != nil {
				return nil, false
			}
			names = append(names, name)
		}
	}
	return names, len(b) == 0
}
