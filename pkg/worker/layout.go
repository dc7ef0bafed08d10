package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline"
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
	ctx   context.Context
	root  *os.Root
	r     chunk.Reader
	bytes int64
	dirs  []string // made, parents first
	links []link   // made last, when all else is there
}

type link struct{ path, target string }

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
			return fmt.Errorf("read %s: %w", p, err)
		}
		if err := l.item(path.Join(p, e.Name), e); err != nil {
			return err
		}
	}
	return nil
}

// mkdir makes the folder p with its parents.
func (l *layer) mkdir(p string) error {
	if p == "." || p == "" {
		return nil
	}
	if err := l.mkdir(path.Dir(p)); err != nil {
		return err
	}
	err := l.root.Mkdir(filepath.FromSlash(p), 0o755)
	if errors.Is(err, fs.ErrExist) {
		if info, serr := l.root.Lstat(filepath.FromSlash(p)); serr == nil && info.IsDir() {
			return nil
		}
		return refusef("input %s is a file and a directory at once, which a disk can't hold", p)
	}
	if err != nil {
		return disk(p, err)
	}
	l.dirs = append(l.dirs, p)
	return nil
}

// file writes one file, read-only.
func (l *layer) file(p string, e tree.Entry) error {
	if err := l.mkdir(path.Dir(p)); err != nil {
		return err
	}
	mode := fs.FileMode(0o444)
	if e.Exec {
		mode = 0o555
	}
	f, err := l.root.OpenFile(filepath.FromSlash(p), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if errors.Is(err, fs.ErrExist) {
		return refusef("input %s is there twice, which a disk can't hold", p)
	}
	if err != nil {
		return disk(p, err)
	}
	defer f.Close()
	if e.Content.Size > 0 {
		c, err := chunk.OpenContent(l.ctx, l.r, e.Content)
		if err != nil {
			return fmt.Errorf("read %s: %w", p, err)
		}
		if _, err := c.WriteTo(f); err != nil {
			return fmt.Errorf("lay out %s: %w", p, err)
		}
	}
	l.bytes += e.Content.Size
	if err := f.Close(); err != nil {
		return fmt.Errorf("lay out %s: %w", p, err)
	}
	return l.root.Chtimes(filepath.FromSlash(p), fixedTime, fixedTime)
}

// link notes a symbolic link, to be made when everything else is there. A
// target that is absolute or leaves the folder is refused.
func (l *layer) link(p string, e tree.Entry) error {
	if err := l.mkdir(path.Dir(p)); err != nil {
		return err
	}
	target, err := readText(l.ctx, l.r, e.Content)
	if err != nil {
		return fmt.Errorf("read link %s: %w", p, err)
	}
	if path.IsAbs(target) || !filepath.IsLocal(filepath.FromSlash(path.Join(path.Dir(p), target))) {
		return refusef("link %s points at %q, outside of its input", p, target)
	}
	l.links = append(l.links, link{p, target})
	l.bytes += e.Content.Size
	return nil
}

// finish makes the links, fixes the folders' times and makes them read-only.
func (l *layer) finish() error {
	for _, k := range l.links {
		if err := l.root.Symlink(filepath.FromSlash(k.target), filepath.FromSlash(k.path)); err != nil {
			return disk(k.path, err)
		}
	}
	for i := len(l.dirs) - 1; i >= 0; i-- {
		p := filepath.FromSlash(l.dirs[i])
		if err := errors.Join(l.root.Chtimes(p, fixedTime, fixedTime), l.root.Chmod(p, 0o555)); err != nil {
			return fmt.Errorf("lay out %s: %w", l.dirs[i], err)
		}
	}
	return nil
}

// disk reports that the disk did not take a path.
func disk(p string, err error) error {
	if errors.Is(err, fs.ErrInvalid) || strings.Contains(err.Error(), "file name too long") {
		return refusef("input %s can't be laid out on this disk: %w", p, err)
	}
	return fmt.Errorf("lay out %s: %w", p, err)
}

// readText reads a small content: a link's target.
func readText(ctx context.Context, r chunk.Reader, c chunk.Content) (string, error) {
	if c.Size > tree.PathSizeMax {
		return "", refusef("link target of %d bytes", c.Size)
	}
	if c.Size == 0 {
		return "", refusef("empty link target")
	}
	f, err := chunk.OpenContent(ctx, r, c)
	if err != nil {
		return "", err
	}
	b := make([]byte, c.Size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return "", err
	}
	return string(b), nil
}

// layInputs fills dir with the inputs of a task and returns their bytes.
func layInputs(ctx context.Context, dir string, inputs []pipeline.TaskInput, r chunk.Reader) (int64, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return 0, fmt.Errorf("lay out inputs: %w", err)
	}
	defer root.Close()
	l := &layer{ctx: ctx, root: root, r: r}
	for _, in := range inputs {
		if err := l.mkdir(in.Name); err != nil {
			return 0, err
		}
		for _, it := range in.Items {
			if err := l.item(path.Join(in.Name, it.Path), it.Entry); err != nil {
				return 0, err
			}
		}
	}
	return l.bytes, l.finish()
}

// layTree fills dir with a directory and makes it read-only.
func layTree(ctx context.Context, dir string, t tree.Root, r chunk.Reader) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("lay out code: %w", err)
	}
	defer root.Close()
	l := &layer{ctx: ctx, root: root, r: r}
	if err := l.dir("", t); err != nil {
		return err
	}
	return l.finish()
}

// clear removes dir with everything in it, read-only folders too, and makes it
// anew.
func clear(dir string) error {
	err := os.RemoveAll(dir)
	if err != nil {
		_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				_ = os.Chmod(p, 0o700)
			}
			return nil
		})
		err = os.RemoveAll(dir)
	}
	if err != nil {
		return fmt.Errorf("clear %s: %w", dir, err)
	}
	return os.MkdirAll(dir, 0o755)
}
