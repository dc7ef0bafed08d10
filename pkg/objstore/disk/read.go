package disk

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
)

// Get implements objstore.Store. An object of at most objstore.MutableSizeMax
// bytes is read whole, whatever the range.
func (s *Store) Get(ctx context.Context, key string, r objstore.Range) (io.ReadCloser, objstore.Info, error) {
	f, info, small, err := s.load(ctx, "get", key)
	if err != nil {
		return nil, objstore.Info{}, err
	}
	start, length, err := r.Resolve(info.Size)
	if err != nil {
		if f != nil {
			_ = f.Close()
		}
		return nil, objstore.Info{}, fmt.Errorf("get %s: %w", key, err)
	}
	if f == nil {
		return io.NopCloser(bytes.NewReader(small[start : start+length])), info, nil
	}
	return fileRange{io.NewSectionReader(f, start, length), f}, info, nil
}

// fileRange reads a part of a file and closes it.
type fileRange struct {
	*io.SectionReader
	io.Closer
}

// Stat implements objstore.Store.
func (s *Store) Stat(ctx context.Context, key string) (objstore.Info, error) {
	files, ok := s.fs.(keptFS)
	if !ok || !s.keeps || strings.Contains(key, "/") || ctx.Err() != nil || checkKey(key) != nil {
		return s.stat(ctx, key)
	}
	return s.statKept(ctx, files, key)
}

func (s *Store) stat(ctx context.Context, key string) (objstore.Info, error) {
	f, info, _, err := s.load(ctx, "stat", key)
	if f != nil {
		_ = f.Close()
	}
	return info, err
}

// OpenFile implements objstore.FileOpener.
func (s *Store) OpenFile(ctx context.Context, key string) (*os.File, error) {
	if err := checkKey(key); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("open %s: %w", key, err)
	}
	files, ok := s.fs.(*vfs.OS)
	if !ok {
		return nil, fmt.Errorf("open %s: no real file: %w", key, errors.ErrUnsupported)
	}
	f, err := files.OSFile(key, os.O_RDONLY, 0)
	if err != nil {
		return nil, readError("open", key, err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close()
		return nil, fmt.Errorf("open %s: %w", key, cmp.Or(err, objstore.ErrNotFound))
	}
	return f, nil
}

// load opens an object. A small one comes as bytes, with its version; f is nil
// then. A large one comes as an open file, which the caller closes.
func (s *Store) load(ctx context.Context, op, key string) (f vfs.File, info objstore.Info, small []byte, err error) {
	if err := checkKey(key); err != nil {
		return nil, objstore.Info{}, nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, objstore.Info{}, nil, fmt.Errorf("%s %s: %w", op, key, err)
	}
	f, err = s.fs.OpenFile(key, os.O_RDONLY, 0)
	if err != nil {
		return nil, objstore.Info{}, nil, readError(op, key, err)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = objstore.ErrNotFound // a folder of other keys
	}
	if err != nil {
		f.Close()
		return nil, objstore.Info{}, nil, fmt.Errorf("%s %s: %w", op, key, err)
	}
	info = objstore.Info{Key: key, Size: st.Size(), ModTime: st.ModTime()}
	if info.Size > objstore.MutableSizeMax {
		return f, info, nil, nil
	}
	defer f.Close()
	small = make([]byte, info.Size)
	if _, err := io.ReadFull(f, small); err != nil {
		return nil, objstore.Info{}, nil, fmt.Errorf("%s %s: read the file: %w", op, key, err)
	}
	info.Version = versionOf(small)
	return nil, info, small, nil
}

func versionOf(b []byte) objstore.Version {
	return objstore.Version(fmt.Sprintf("%x", blake3.Sum256(b)))
}

// readError maps an error of opening an object's file.
func readError(op, key string, err error) error {
	switch {
	case isAbsent(err):
		return fmt.Errorf("%s %s: %w", op, key, objstore.ErrNotFound)
	case vfs.Busy(err):
		return fmt.Errorf("%s %s: %w: %w", op, key, objstore.ErrThrottled, err)
	}
	return fmt.Errorf("%s %s: %w", op, key, err)
}

// List implements objstore.Store. It holds the names of one folder per level in
// memory and reports no versions.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		w := walker{s: s, ctx: ctx, prefix: prefix, after: after, yield: yield}
		w.walk("")
	}
}

// walker lists the files of a folder in the byte order of their keys.
type walker struct {
	s             *Store
	ctx           context.Context //nolint:containedctx // lives as long as one List
	prefix, after string
	yield         func(objstore.Info, error) bool
}

// walk lists the files below the folder dir, "" or a path that ends in a slash,
// and reports whether to go on.
func (w *walker) walk(dir string) bool {
	if err := w.ctx.Err(); err != nil {
		return w.fail(err)
	}
	entries, err := readDir(w.s.fs, cmp.Or(strings.TrimSuffix(dir, "/"), "."))
	if errors.Is(err, fs.ErrNotExist) {
		return true
	}
	if err != nil {
		return w.fail(err)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(sortName(a), sortName(b)) })
	for _, e := range entries {
		if !w.entry(dir, e) {
			return false
		}
	}
	return true
}

func (w *walker) entry(dir string, e fs.DirEntry) bool {
	key := dir + e.Name()
	if e.IsDir() {
		folder := key + "/"
		overlaps := strings.HasPrefix(folder, w.prefix) || strings.HasPrefix(w.prefix, folder)
		// Every key in the folder is beyond after, or some may be.
		reached := folder > w.after || strings.HasPrefix(w.after, folder)
		if checkKey(key) != nil || !overlaps || !reached {
			return true
		}
		return w.walk(folder)
	}
	if key <= w.after || !strings.HasPrefix(key, w.prefix) || checkKey(key) != nil || !e.Type().IsRegular() {
		return true
	}
	info, err := e.Info()
	if errors.Is(err, fs.ErrNotExist) { // deleted meanwhile
		return true
	}
	if err != nil {
		return w.fail(err)
	}
	if err := w.ctx.Err(); err != nil {
		return w.fail(err)
	}
	return w.yield(objstore.Info{Key: key, Size: info.Size(), ModTime: info.ModTime()}, nil)
}

func (w *walker) fail(err error) bool {
	w.yield(objstore.Info{}, fmt.Errorf("list %q: %w", w.prefix, err))
	return false
}

// sortName puts a folder where its keys sort.
func sortName(e fs.DirEntry) string {
	if e.IsDir() {
		return e.Name() + "/"
	}
	return e.Name()
}
