package worker

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// codeFolder lays a code tree out and knows whether it lies there untouched.
type codeFolder struct {
	dir   string
	probe string // a file that may be written to read the disk's clock
	tree  tree.ContentID
	stamp chunk.ID // of dir as laid out; zero if that can't be told
	paths []string // dir and all below it: no name in a folder changes without its version
}

// prepare makes the folder hold code and nothing else. It is free of writes if
// the folder does so still.
func (f *codeFolder) prepare(ctx context.Context, code tree.Root, r chunk.Reader) error {
	if code.Content == f.tree && !f.stamp.IsZero() {
		if now, _ := f.read(); now == f.stamp {
			return nil
		}
	}
	f.stamp, f.paths = chunk.ID{}, nil
	if err := clear(f.dir); err != nil {
		return err
	}
	if err := layTree(ctx, f.dir, code, r); err != nil {
		return err
	}
	if err := f.list(); err != nil {
		return ctx.Err() // it is laid out each time
	}
	stamp, newest := f.read()
	if !stamp.IsZero() && f.settle(ctx, newest) {
		f.tree, f.stamp = code.Content, stamp
	}
	return ctx.Err()
}

// list notes what is in the folder.
func (f *codeFolder) list() error {
	return filepath.WalkDir(f.dir, func(p string, _ fs.DirEntry, err error) error {
		f.paths = append(f.paths, p)
		return err
	})
}

// read returns a digest over the version of everything that was noted, zero if
// that can't be told, and the time of the newest change in Unix ns.
func (f *codeFolder) read() (stamp chunk.ID, newest int64) {
	var b []byte
	for _, p := range f.paths {
		info, err := os.Lstat(p)
		if err != nil {
			return chunk.ID{}, 0
		}
		v := VersionOf(info)
		if v.Changed == 0 {
			return chunk.ID{}, 0
		}
		newest = max(newest, v.Changed)
		b = v.append(append(append(b, p...), 0))
	}
	return chunk.Data.Sum(b), newest
}

// settle waits until the disk's clock shows a time after newest, so that every
// later change of the folder has another version, and reports whether it does.
// That takes one tick: some milliseconds, once for each code tree.
func (f *codeFolder) settle(ctx context.Context, newest int64) bool {
	const patience = 2500 // ms; the coarsest file systems count seconds
	for range patience {
		if err := os.WriteFile(f.probe, []byte("tick"), 0o600); err != nil {
			return false
		}
		info, err := os.Lstat(f.probe)
		if err != nil {
			return false
		}
		if VersionOf(info).Changed > newest {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Millisecond):
		}
	}
	return false
}

// layTree fills dir with a directory and makes it read-only.
func layTree(ctx context.Context, dir string, t tree.Root, r chunk.Reader) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("lay out code: %w", err)
	}
	defer func() { _ = root.Close() }()
	l := newLayer(ctx, root, r, "code")
	defer l.leave()
	if err := l.dir("", t); err != nil {
		return err
	}
	return l.finish()
}
