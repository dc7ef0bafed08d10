package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/worktree"
)

// workingCopy is the working copy that a command runs in.
type workingCopy struct {
	dir    string // its top
	config worktree.Config
}

// findWorkingCopy finds the working copy that dir lies in; fs.ErrNotExist if
// it lies in none.
func findWorkingCopy(dir string) (*workingCopy, error) {
	top, err := worktree.Find(dir)
	if errors.Is(err, worktree.ErrNoWorkingCopy) {
		if abs, aerr := filepath.Abs(dir); aerr == nil {
			dir = abs
		}
		return nil, fmt.Errorf("%s: %w; make one with dvx init", dir, worktree.ErrNoWorkingCopy)
	}
	if err != nil {
		return nil, err
	}
	c, err := worktree.LoadConfig(top)
	if err != nil {
		return nil, err
	}
	return &workingCopy{dir: top, config: c}, nil
}

// storeLocation returns where the store is; a relative folder counts from the
// working copy, so that both can be moved together.
func (w *workingCopy) storeLocation() string {
	s := w.config.Store
	if s == "" || place.IsURL(s) || filepath.IsAbs(s) {
		return s
	}
	return filepath.Join(w.dir, filepath.FromSlash(s))
}

// ref returns the branch that the working copy is bound to.
func (w *workingCopy) ref() string { return w.config.Repo + "@" + w.config.Branch }

// base returns the version that the working copy was made from, zero if it was
// made from none.
func (w *workingCopy) base() (commit.ID, error) {
	if w.config.Base == "" {
		return commit.ID{}, nil
	}
	id, err := commit.ParseID(w.config.Base)
	if err != nil {
		return id, fmt.Errorf("the base of the working copy %s: %w", w.dir, err)
	}
	return id, nil
}

// openBase reads the version that the working copy was made from.
func (w *workingCopy) openBase(ctx context.Context, s repo.Store) (commit.Entry, chunk.Reader, error) {
	id, err := w.base()
	if err != nil || id.IsZero() {
		return commit.Entry{}, new(chunk.Mem), err
	}
	r, err := s.Reader(ctx, repo.Scope{Repo: w.config.Repo, Commit: id})
	if err != nil {
		return commit.Entry{}, nil, w.noBase(id, err)
	}
	c, err := commit.Load(ctx, r, id)
	if err != nil {
		return commit.Entry{}, nil, w.noBase(id, err)
	}
	return commit.Entry{ID: id, Commit: c}, r, nil
}

// noBase says that the base can't be read, and what to do about it.
func (w *workingCopy) noBase(id commit.ID, err error) error {
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("this working copy was made from version %s of %s, which can't be read: %w; go on from one that can, with dvx checkout REF",
		id.Short(), w.config.Repo, err)
}

// setBase notes which version the working copy holds.
func (w *workingCopy) setBase(id commit.ID) error {
	w.config.Base = ""
	if !id.IsZero() {
		w.config.Base = id.String()
	}
	return worktree.SaveConfig(w.dir, w.config)
}

// paths turns arguments, relative to the present folder, into paths of the
// working copy.
func (w *workingCopy) paths(args []string) ([]string, error) {
	var out []string
	for _, arg := range args {
		abs, err := filepath.Abs(arg)
		if err != nil {
			return nil, err
		}
		rel, err := filepath.Rel(w.dir, abs)
		if err != nil || !filepath.IsLocal(rel) {
			return nil, usagef("%s lies outside of the working copy %s", arg, w.dir)
		}
		if rel == "." {
			return nil, nil // the whole working copy
		}
		out = append(out, filepath.ToSlash(rel))
	}
	return out, nil
}

// scanFlags are shared by the commands that look at the disk.
type scanFlags struct {
	nonportable bool
	skipSpecial bool
}

func (f *scanFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.nonportable, "allow-nonportable", false, "accept names that some systems can't hold")
	cmd.Flags().BoolVar(&f.skipSpecial, "skip-special", false, "leave out devices, sockets and pipes")
}

// scanOptions returns the options of a scan of the working copy.
func (w *workingCopy) scanOptions(s repo.Store, args []string, flags scanFlags) (worktree.Options, error) {
	paths, err := w.paths(args)
	if err != nil {
		return worktree.Options{}, err
	}
	index, err := worktree.OpenIndex(w.dir, s.Config().Chunker)
	if err != nil {
		return worktree.Options{}, err
	}
	return worktree.Options{
		Dir: w.dir, Paths: paths, Index: index, Params: s.Config().Chunker,
		AllowNonportable: flags.nonportable, SkipSpecial: flags.skipSpecial,
	}, nil
}
