package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	"github.com/dvx-io/dvx/pkg/tree"
)

// Folder is a Sink in a folder of this machine. It follows no link out of it.
type Folder struct {
	root *os.Root
}

var _ Sink = (*Folder)(nil)

// OpenFolder opens a folder, made if it is not there. The caller closes it.
func OpenFolder(dir string) (*Folder, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, fmt.Errorf("mirror: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("mirror: %w", err)
	}
	return &Folder{root: root}, nil
}

// Close frees the folder.
func (f *Folder) Close() error { return f.root.Close() }

// temporary is the end of the name that a file has until it is whole.
const temporary = ".dvx-new"

// Put implements [Sink]. The file is durable when it returns, its name when
// SetMark does.
func (f *Folder) Put(ctx context.Context, name string, from File) (err error) {
	if err := f.root.MkdirAll(filepath.FromSlash(path.Dir(name)), 0o777); err != nil {
		return err
	}
	local := filepath.FromSlash(name)
	part := local + temporary
	if err := f.root.Remove(part); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	r, err := from.Open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if from.Kind == tree.Symlink {
		target, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if err := f.root.Symlink(string(target), part); err != nil {
			return err
		}
		return f.root.Rename(part, local)
	}
	mode := fs.FileMode(0o666)
	if from.Exec {
		mode = 0o777
	}
	w, err := f.root.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
		return errors.Join(err, f.root.Remove(part))
	}
	return f.root.Rename(part, local)
}

// Delete implements [Sink].
func (f *Folder) Delete(_ context.Context, name string) error {
	local := filepath.FromSlash(name)
	info, err := f.root.Lstat(local)
	if err == nil && !info.IsDir() { // a folder of that name holds files of another version, which go by their own names
		err = f.root.Remove(local)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
		return err
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if f.root.Remove(filepath.FromSlash(dir)) != nil {
			break // it holds something else
		}
	}
	return nil
}

// Mark implements [Sink].
func (f *Folder) Mark(context.Context) ([]byte, error) {
	b, err := f.root.ReadFile(MarkName)
	if !errors.Is(err, fs.ErrNotExist) {
		return b, err
	}
	d, err := f.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = d.Close() }()
	names, err := d.Readdirnames(1)
	switch {
	case len(names) > 0:
		return nil, fmt.Errorf("%s holds %s but no mirror; use an empty folder: %w", f.root.Name(), names[0], fs.ErrExist)
	case errors.Is(err, io.EOF):
		return nil, fs.ErrNotExist
	}
	return nil, err
}

// SetMark implements [Sink].
func (f *Folder) SetMark(_ context.Context, mark []byte) error {
	if err := syncFolders(f.root); err != nil {
		return err
	}
	w, err := f.root.OpenFile(MarkName+temporary, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	if err != nil {
		return err
	}
	_, err = w.Write(mark)
	if err = errors.Join(err, w.Sync(), w.Close()); err != nil {
		return err
	}
	if err := f.root.Rename(MarkName+temporary, MarkName); err != nil {
		return err
	}
	return syncFolder(f.root, ".")
}

// syncFolders makes the names in all folders durable.
func syncFolders(root *os.Root) error {
	return fs.WalkDir(root.FS(), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		return syncFolder(root, filepath.FromSlash(p))
	})
}

func syncFolder(root *os.Root, dir string) error {
	d, err := root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
