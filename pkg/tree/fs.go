package tree

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// FS returns the tree as a file system whose calls end when ctx does. It
// implements fs.ReadDirFS, fs.StatFS and fs.ReadLinkFS; its files implement
// io.Seeker, io.ReaderAt and io.WriterTo, and their FileInfo's Sys returns the
// Entry. Symbolic links are followed inside of the tree and never out of it.
// Where a file and a directory have one name, the directory is hidden.
func (t *Tree) FS(ctx context.Context) fs.FS { return &treeFS{ctx: ctx, t: t} }

type treeFS struct {
	ctx context.Context //nolint:containedctx // package io/fs leaves no other way in
	t   *Tree
}

// linksMax bounds the symbolic links followed for one name.
const linksMax = 40

var errLinks = errors.New("too many symbolic links")

// resolve returns the entry of a name. Links on the way are followed; one at
// the end is if follow says so.
func (f *treeFS) resolve(op, name string, follow bool) (Entry, error) {
	if !fs.ValidPath(name) {
		return Entry{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	e, err := f.walk(name, follow)
	if err != nil {
		return Entry{}, &fs.PathError{Op: op, Path: name, Err: err}
	}
	e.Name = path.Base(name)
	return e, nil
}

func (f *treeFS) walk(name string, follow bool) (Entry, error) {
	todo, done := name, "." // what is still to be looked up, and the directory reached
	e := Entry{Kind: Dir, Dir: f.t.root}
	for links := 0; todo != "." && todo != ""; {
		first, rest, _ := strings.Cut(todo, "/")
		next, err := f.child(e, first)
		if err != nil {
			return Entry{}, err
		}
		if next.Kind != Symlink || (rest == "" && !follow) {
			e, todo, done = next, rest, path.Join(done, first)
			continue
		}
		if links++; links > linksMax {
			return Entry{}, errLinks
		}
		target, err := f.target(next)
		if err != nil {
			return Entry{}, err
		}
		todo = path.Join(done, target, rest)
		if !fs.ValidPath(todo) || path.IsAbs(target) {
			return Entry{}, fmt.Errorf("symbolic link %q leads out of the tree: %w", first, fs.ErrInvalid)
		}
		e, done = Entry{Kind: Dir, Dir: f.t.root}, "."
	}
	return e, nil
}

// child returns the file, link or directory of one name in a directory.
func (f *treeFS) child(dir Entry, name string) (Entry, error) {
	if dir.Kind != Dir {
		return Entry{}, fs.ErrNotExist
	}
	return Open(f.t.r, dir.Dir).Lookup(f.ctx, name)
}

func (f *treeFS) target(link Entry) (string, error) {
	r, err := chunk.OpenContent(f.ctx, f.t.r, link.Content)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), err
}

// Open implements fs.FS.
func (f *treeFS) Open(name string) (fs.File, error) {
	e, err := f.resolve("open", name, true)
	if err != nil {
		return nil, err
	}
	if e.Kind == Dir {
		return &openedDir{fs: f, name: name, e: e}, nil
	}
	r, err := chunk.OpenContent(f.ctx, f.t.r, e.Content)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return &openedFile{ContentReader: r, info: info{e}}, nil
}

// ReadDir implements fs.ReadDirFS.
func (f *treeFS) ReadDir(name string) ([]fs.DirEntry, error) {
	e, err := f.resolve("readdir", name, true)
	if err != nil {
		return nil, err
	}
	list, err := f.list(e)
	if err != nil {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: err}
	}
	return list, nil
}

// list returns a directory's entries in order of name.
func (f *treeFS) list(dir Entry) ([]fs.DirEntry, error) {
	if dir.Kind != Dir {
		return nil, errors.New("not a directory")
	}
	var list []fs.DirEntry
	for e, err := range Open(f.t.r, dir.Dir).Entries(f.ctx, "", "") {
		if err != nil {
			return nil, err
		}
		list = append(list, fs.FileInfoToDirEntry(info{e}))
	}
	// Keys put a file before the directory of its name, and so does a stable
	// sort by name.
	slices.SortStableFunc(list, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return slices.CompactFunc(list, func(a, b fs.DirEntry) bool { return a.Name() == b.Name() }), nil
}

// Stat implements fs.StatFS.
func (f *treeFS) Stat(name string) (fs.FileInfo, error) {
	e, err := f.resolve("stat", name, true)
	if err != nil {
		return nil, err
	}
	return info{e}, nil
}

// Lstat implements fs.ReadLinkFS.
func (f *treeFS) Lstat(name string) (fs.FileInfo, error) {
	e, err := f.resolve("lstat", name, false)
	if err != nil {
		return nil, err
	}
	return info{e}, nil
}

// ReadLink implements fs.ReadLinkFS.
func (f *treeFS) ReadLink(name string) (string, error) {
	e, err := f.resolve("readlink", name, false)
	if err != nil {
		return "", err
	}
	if e.Kind != Symlink {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: fs.ErrInvalid}
	}
	target, err := f.target(e)
	if err != nil {
		return "", &fs.PathError{Op: "readlink", Path: name, Err: err}
	}
	return target, nil
}

// info is an entry as an fs.FileInfo.
type info struct{ e Entry }

func (i info) Name() string       { return i.e.Name }
func (i info) ModTime() time.Time { return i.e.Attrs.Time }
func (i info) IsDir() bool        { return i.e.Kind == Dir }
func (i info) Sys() any           { return i.e }

func (i info) Size() int64 {
	if i.e.Kind == Dir {
		return 0
	}
	return i.e.Content.Size
}

func (i info) Mode() fs.FileMode {
	switch {
	case i.e.Kind == Dir:
		return fs.ModeDir | 0o555
	case i.e.Kind == Symlink:
		return fs.ModeSymlink | 0o777
	case i.e.Exec:
		return 0o555
	default:
		return 0o444
	}
}

// openedFile is a file or link opened for reading.
type openedFile struct {
	*chunk.ContentReader
	info info
}

func (f *openedFile) Stat() (fs.FileInfo, error) { return f.info, nil }

// openedDir is an opened directory. Its entries are read at the first ReadDir.
type openedDir struct {
	fs   *treeFS
	name string
	e    Entry
	read bool
	list []fs.DirEntry
}

func (d *openedDir) Stat() (fs.FileInfo, error) { return info{d.e}, nil }
func (d *openedDir) Close() error               { return nil }

func (d *openedDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: errors.New("is a directory")}
}

// ReadDir implements fs.ReadDirFile.
func (d *openedDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.read {
		list, err := d.fs.list(d.e)
		if err != nil {
			return nil, &fs.PathError{Op: "readdir", Path: d.name, Err: err}
		}
		d.list, d.read = list, true
	}
	if n <= 0 {
		n = len(d.list)
	} else if len(d.list) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.list))
	list := d.list[:n:n]
	d.list = d.list[n:]
	return list, nil
}
