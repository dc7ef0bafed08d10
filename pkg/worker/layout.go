package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// fixedTime is the time of every file and folder that a program finds, so
// that it can't depend on when it runs.
var fixedTime = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// refused is an input or output that is the author's to mend: the datum
// fails, the infrastructure is well.
type refused struct{ error }

func (r refused) Unwrap() error { return r.error }

func refusef(format string, args ...any) error { return refused{fmt.Errorf(format, args...)} }

// layer writes trees below one folder, never outside it.
type layer struct {
	ctx   context.Context //nolint:containedctx // of one call: a walker lives no longer
	root  *os.Root
	r     chunk.Reader
	what  string // what is laid out, for messages
	home  string // path below root that links must not leave
	bytes int64
	dirs  []string        // made, parents first
	made  map[string]bool // the same
	whole bool            // the root needs no finish: no name in it changed
	links []link          // made last, when all else is there
	near  *os.Root        // the folder of the last file, so that it is not looked up for each
	at    string          // where that is
	mode  task.Mode       // how files are laid out
	pipes *pipes          // of lazy ones
	left  *salvage        // what can be used again; nil: nothing
}

type link struct{ path, target string }

func newLayer(ctx context.Context, root *os.Root, r chunk.Reader, what string) *layer {
	return &layer{ctx: ctx, root: root, r: r, what: what, made: map[string]bool{"": true, ".": true}}
}

// item writes the entry e at p below the root.
func (l *layer) item(p string, e tree.Entry) error {
	if err := l.ctx.Err(); err != nil {
		return err
	}
	switch e.Kind {
	case tree.Dir:
		if err := l.mkdir(p); err != nil {
			return err
		}
		return l.dir(p, e.Dir)
	case tree.Symlink:
		return l.link(p, e)
	default:
		return l.file(p, e)
	}
}

// dir writes the entries of a directory into the folder p.
func (l *layer) dir(p string, root tree.Root) error {
	for e, err := range tree.Open(l.r, root).Entries(l.ctx, "", "") {
		if err != nil {
			return fmt.Errorf("read %s %s: %w", l.what, p, err)
		}
		if err := l.item(path.Join(p, e.Name), e); err != nil {
			return err
		}
	}
	return nil
}

// mkdir makes the folder p with its parents.
func (l *layer) mkdir(p string) error {
	if l.made[p] {
		return nil
	}
	if err := l.mkdir(path.Dir(p)); err != nil {
		return err
	}
	old, err := l.left.dir(p)
	if !old && err == nil {
		err = l.root.Mkdir(filepath.FromSlash(p), 0o755)
	}
	if errors.Is(err, fs.ErrExist) {
		return l.clash(p)
	}
	if err != nil {
		return l.disk(p, err)
	}
	l.dirs = append(l.dirs, p)
	l.made[p] = true
	return nil
}

// clash refuses a path at which two things are to lie.
func (l *layer) clash(p string) error {
	return refusef("%s %s is there twice, as a file and a directory or in another spelling, which this disk can't hold", l.what, p)
}

// folder returns the folder of p, which is there.
func (l *layer) folder(p string) (*os.Root, error) {
	dir := path.Dir(p)
	if dir == "." {
		return l.root, nil
	}
	if l.near != nil && l.at == dir {
		return l.near, nil
	}
	l.leave()
	near, err := l.root.OpenRoot(filepath.FromSlash(dir))
	if err != nil {
		return nil, fmt.Errorf("lay out %s %s: %w", l.what, p, err)
	}
	l.near, l.at = near, dir
	return near, nil
}

// leave closes the folder of the last file.
func (l *layer) leave() {
	if l.near != nil {
		_ = l.near.Close()
		l.near = nil
	}
}

// file writes one file, read-only.
func (l *layer) file(p string, e tree.Entry) error {
	if err := l.mkdir(path.Dir(p)); err != nil {
		return err
	}
	if l.mode == task.Lazy {
		return l.pipe(p, e)
	}
	dir, err := l.folder(p)
	if err != nil {
		return err
	}
	name := path.Base(p)
	mode := fs.FileMode(0o444)
	if e.Exec {
		mode = 0o555
	}
	f, err := l.left.file(l.root, p)
	old := f != nil
	if f == nil && err == nil {
		f, err = dir.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	}
	if errors.Is(err, fs.ErrExist) {
		return l.clash(p)
	}
	if err != nil {
		return l.disk(p, err)
	}
	defer func() { _ = f.Close() }()
	if l.mode == task.Empty {
		e.Content = chunk.Content{}
	}
	if err := l.fill(f, old, e.Content); err != nil {
		return fmt.Errorf("lay out %s %s: %w", l.what, p, err)
	}
	l.bytes += e.Content.Size
	if err := errors.Join(fixMode(f, mode), f.Close()); err != nil {
		return fmt.Errorf("lay out %s %s: %w", l.what, p, err)
	}
	if err := dir.Chtimes(name, fixedTime, fixedTime); err != nil {
		return fmt.Errorf("lay out %s %s: %w", l.what, p, err)
	}
	return nil
}

// fill makes a content that of a file, a new one or an old one with another
// content. (A file that is made empty first is taken for one that is replaced:
// ext4 then writes it to the disk when it is closed.)
func (l *layer) fill(f *os.File, old bool, c chunk.Content) error {
	if old && (c.Size == 0 || c.Depth > 0) {
		if err := f.Truncate(0); err != nil {
			return err
		}
	}
	if c.Size == 0 {
		return nil
	}
	if c.Depth == 0 { // one chunk: nothing to fetch ahead
		b, err := l.r.Get(l.ctx, chunk.Data, c.ID)
		if err != nil {
			return err
		}
		if int64(len(b)) != c.Size {
			return fmt.Errorf("chunk %v has %d bytes, not %d: %w", c.ID.Short(), len(b), c.Size, chunk.ErrCorrupt)
		}
		if _, err = f.Write(b); err == nil && old {
			err = f.Truncate(c.Size)
		}
		return err
	}
	r, err := chunk.OpenContent(l.ctx, l.r, c)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }()
	_, err = r.WriteTo(f)
	return err
}

// pipe makes a named pipe in place of a file.
func (l *layer) pipe(p string, e tree.Entry) error {
	err := l.pipes.serve(l.ctx, filepath.Join(l.root.Name(), filepath.FromSlash(p)), e.Content, l.r)
	if errors.Is(err, fs.ErrExist) {
		return l.clash(p)
	}
	if err != nil {
		return l.disk(p, err)
	}
	return l.fixTime(p)
}

// fixMode gives a new file its mode, which the umask may have narrowed. (Asking
// is much cheaper than setting: the disk's journal is not involved.)
func fixMode(f *os.File, mode fs.FileMode) error {
	info, err := f.Stat()
	if err != nil || info.Mode().Perm() == mode {
		return err
	}
	return f.Chmod(mode)
}

func (l *layer) fixTime(p string) error {
	if err := l.root.Chtimes(filepath.FromSlash(p), fixedTime, fixedTime); err != nil {
		return fmt.Errorf("lay out %s %s: %w", l.what, p, err)
	}
	return nil
}

// link notes a symbolic link, to be made when everything else is there. A
// target that is absolute or leaves the folder is refused.
func (l *layer) link(p string, e tree.Entry) error {
	if err := l.mkdir(path.Dir(p)); err != nil {
		return err
	}
	target, err := readLink(l.ctx, l.r, e.Content)
	if err != nil {
		return fmt.Errorf("read %s %s: %w", l.what, p, err)
	}
	if _, err := linkInside(l.home, path.Dir(p), target); err != nil {
		return refusef("%s %s is a link to %q: %w", l.what, p, target, err)
	}
	l.links = append(l.links, link{p, target})
	l.bytes += e.Content.Size
	return nil
}

// finish makes the links, fixes the folders' times and makes them read-only,
// the root too.
func (l *layer) finish() error {
	l.leave()
	if err := l.left.drop(l.root); err != nil {
		return fmt.Errorf("lay out %s: %w", l.what, err)
	}
	for _, k := range l.links {
		err := l.root.Symlink(filepath.FromSlash(k.target), filepath.FromSlash(k.path))
		if errors.Is(err, fs.ErrExist) {
			return l.clash(k.path)
		}
		if err != nil {
			return l.disk(k.path, err)
		}
		if err := fixLinkTime(l.root, k.path); err != nil {
			return l.disk(k.path, err)
		}
	}
	for i := len(l.dirs); i >= 0; i-- {
		p := "."
		switch {
		case i > 0:
			p = l.dirs[i-1]
		case l.whole:
			return nil
		}
		if err := l.root.Chmod(filepath.FromSlash(p), 0o555); err != nil {
			return fmt.Errorf("lay out %s %s: %w", l.what, p, err)
		}
		if err := l.fixTime(p); err != nil {
			return err
		}
	}
	return nil
}

// disk reports that the disk did not take a path.
func (l *layer) disk(p string, err error) error {
	if errors.Is(err, fs.ErrInvalid) || errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.EILSEQ) {
		return refusef("%s %.300s can't be laid out on this disk: %w", l.what, p, err)
	}
	return fmt.Errorf("lay out %s %s: %w", l.what, p, err)
}
