package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/worktree"
)

type initFlags struct {
	repo, branch string
	bare         bool
}

func cmdInit(a *app) *cobra.Command {
	var f initFlags
	cmd := &cobra.Command{
		Use:   "init [DIR]",
		Short: "Make a data directory a working copy, and its store if there is none",
		Long: `Make DIR (the current folder by default) a working copy: bind it to a branch of a repo in a store. Nothing is
committed yet. Without --store the store is made inside, at DIR/.dvx/store; a store that exists is used.

With --bare only a store is made: DIR, or what --store names. Before a store is made the place is tested for
what dvx needs of it, conditional writes above all.`,
		Example: `  cd images && dvx init && dvx commit -m "first version"
  dvx init --store s3://bucket/dvx --repo images
  dvx init --bare /data/store`,
		Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			if f.bare {
				return a.initBare(cmd.Context(), dir, len(args) > 0)
			}
			return a.init(cmd.Context(), dir, f)
		},
	}
	cmd.Flags().StringVar(&f.repo, "repo", "", "repo to bind to, made if absent (default: the folder's name)")
	cmd.Flags().StringVar(&f.branch, "branch", "main", "branch to bind to")
	cmd.Flags().BoolVar(&f.bare, "bare", false, "make a store only")
	return cmd
}

// createStore makes a store at location, or opens the one that is there if
// reuse is set.
func (a *app) createStore(ctx context.Context, location string, reuse bool) (*repo.Direct, bool, error) {
	ctx = auth.With(ctx, auth.Owner)
	if reuse {
		d, err := place.Open(ctx, location, a.place)
		if err == nil || !errors.Is(err, repo.ErrNoStore) {
			return d, false, err
		}
	}
	objects, err := place.Objects(ctx, location, true, a.place)
	if err != nil {
		return nil, false, err
	}
	if err := place.Probe(ctx, objects); err != nil {
		return nil, false, fmt.Errorf("%s can't hold a store: %w", location, err)
	}
	d, err := repo.Init(ctx, objects, repo.InitOptions{Options: repo.Options{Now: time.Now, Rand: rand.Reader}})
	if errors.Is(err, fs.ErrExist) {
		return nil, false, fmt.Errorf("%s holds a store already: %w", location, err)
	}
	return d, err == nil, err
}

func (a *app) initBare(ctx context.Context, dir string, named bool) error {
	location := dir
	if a.store != "" && !named {
		location = a.store
	}
	if !place.IsURL(location) {
		if err := notInWorkingCopy(location); err != nil {
			return err
		}
	}
	d, _, err := a.createStore(ctx, location, false)
	if err != nil {
		return err
	}
	return a.print(map[string]string{"store": location, "id": d.Config().Store}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "made store %s\n", location)
		return err
	})
}

// notInWorkingCopy fails if dir lies in a working copy, which could not be
// committed any more with another one, or its own store, in it.
func notInWorkingCopy(dir string) error {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	top, err := worktree.Find(abs)
	if errors.Is(err, worktree.ErrNoWorkingCopy) {
		return nil
	}
	if err != nil {
		return err
	}
	if rel, err := filepath.Rel(top, abs); err == nil && strings.HasPrefix(filepath.ToSlash(rel)+"/", worktree.FolderName+"/") {
		return nil
	}
	return usagef("this would be in the working copy %s; choose a place outside of it", top)
}

func (a *app) init(ctx context.Context, dir string, f initFlags) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	if f.repo == "" {
		f.repo = filepath.Base(dir)
	}
	if err := repo.CheckRepoName(f.repo); err != nil {
		return fmt.Errorf("%w; choose a name with --repo", err)
	}
	if err := repo.CheckRefName(f.branch); err != nil {
		return err
	}
	if _, err := worktree.LoadConfig(dir); err == nil {
		return fmt.Errorf("%s is a working copy already: %w", dir, fs.ErrExist)
	}
	if err := notInWorkingCopy(filepath.Dir(dir)); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	config := worktree.Config{Server: a.server, Repo: f.repo, Branch: f.branch}
	made := false
	if a.server == "" {
		if config.Store, made, err = a.initStore(ctx, dir); err != nil {
			return err
		}
	}
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	if err := ensureBranch(ctx, s, f.repo, f.branch); err != nil {
		return err
	}
	if err := worktree.SaveConfig(dir, config); err != nil {
		return err
	}
	out := map[string]any{"dir": dir, "store": config.Store, "server": config.Server, "repo": f.repo, "branch": f.branch, "madeStore": made}
	return a.print(out, func(w io.Writer) error {
		where := config.Store + config.Server
		_, err := fmt.Fprintf(w, "%s is a working copy of %s@%s in %s\n", dir, f.repo, f.branch, where)
		return err
	})
}

// initStore opens or makes the store for a new working copy, and returns its
// location as the config keeps it.
func (a *app) initStore(ctx context.Context, dir string) (location string, made bool, err error) {
	keep := ".dvx/store"
	open := filepath.Join(dir, ".dvx", "store")
	if a.store != "" {
		keep, open = a.store, a.store
		if !place.IsURL(keep) {
			if keep, err = filepath.Abs(keep); err != nil {
				return "", false, err
			}
		}
	} else if err := os.MkdirAll(filepath.Join(dir, ".dvx"), 0o700); err != nil {
		return "", false, err
	}
	a.direct, made, err = a.createStore(ctx, open, true)
	a.store = open
	return keep, made, err
}

// ensureBranch makes a repo or a branch if it is not there.
func ensureBranch(ctx context.Context, s repo.Store, name, branch string) error {
	v, err := s.View(ctx)
	if err != nil {
		return err
	}
	var op repo.Op
	r, ok := v.Repos[name]
	switch {
	case !ok:
		op = repo.CreateRepo{Repo: name, Branch: branch}
	case !hasBranch(r, branch):
		op = repo.CreateBranch{Repo: name, Branch: branch, From: r.Branches[r.Default].Commit, Fork: r.Default}
	default:
		return nil
	}
	id, err := opID("")
	if err != nil {
		return err
	}
	_, err = s.Move(ctx, repo.Txn{Op: id, Ops: []repo.Op{op}})
	if errors.Is(err, fs.ErrExist) && !strings.Contains(err.Error(), "/") {
		return nil // somebody else was faster
	}
	return err
}

func hasBranch(r repo.Repo, branch string) bool {
	_, ok := r.Branches[branch]
	return ok
}
