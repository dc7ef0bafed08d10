package main

import (
	"path/filepath"

	"github.com/dvx-io/dvx/cmd/internal/place"
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
