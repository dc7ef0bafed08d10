package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
	"github.com/dvx-io/dvx/pkg/worktree"
)

func cmdCheckout(a *app) *cobra.Command {
	var o worktree.CheckoutOptions
	cmd := &cobra.Command{
		Use:   "checkout [REF [DIR]]",
		Short: "Bring the working copy to a version, or write a version into a directory",
		Long: `Bring the working copy to a version, by default to the newest of its branch. Only what differs is written. Files
that were changed and not committed stay as they are; where they are in the way they are named and nothing is
written, unless --force. With REPO@BRANCH the working copy is bound to that branch from then on.

With DIR, which must be empty or absent, write the version there; that makes no working copy.`,
		Example: `  dvx checkout                      # what others committed
  dvx checkout images@staging
  dvx checkout images@v1.0 ./images-v1`,
		Args: rangeArgs(0, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.checkout(cmd.Context(), args, o) },
	}
	cmd.Flags().BoolVarP(&o.Force, "force", "f", false, "overwrite local changes")
	addAnyLinks(cmd, &o.AnyLinks)
	return cmd
}

// addAnyLinks adds the flag for links that may lead out of a directory.
func addAnyLinks(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVar(to, "any-links", false, "make symbolic links also where they can lead out of the directory")
}

func (a *app) checkout(ctx context.Context, args []string, o worktree.CheckoutOptions) error {
	if len(args) < 2 {
		return a.switchTo(ctx, args, o)
	}
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	res, r, err := openRef(ctx, s, args[0])
	if err != nil {
		return err
	}
	root := res.Commit.Tree
	if res.Path != "" {
		e, err := tree.Open(r, root).Lookup(ctx, res.Path)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		if e.Kind != tree.Dir {
			return usagef("%s is a file; fetch it with dvx get", args[0])
		}
		root = e.Dir
	}
	p := a.progress("writing")
	o.Progress = p.update
	_, err = worktree.Checkout(ctx, r, root, args[1], o)
	p.done()
	if err != nil {
		return err
	}
	return a.done(nil, "checked out", fmt.Sprintf("%s (%s) into %s", args[0], shortCommit(res.ID), args[1]))
}

// switchTo brings the working copy to a version.
func (a *app) switchTo(ctx context.Context, args []string, o worktree.CheckoutOptions) (err error) {
	wc, err := findWorkingCopy(".")
	if errors.Is(err, fs.ErrNotExist) {
		return usagef("name a folder to write to, or work in a folder where dvx init ran")
	}
	if err != nil {
		return err
	}
	lock, err := worktree.AcquireLock(wc.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if wc, err = findWorkingCopy(wc.dir); err != nil { // it may have changed before the lock
		return err
	}
	expr := wc.ref()
	if len(args) > 0 {
		expr = args[0]
	}
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	res, r, err := openRef(ctx, s, expr)
	if err != nil {
		return err
	}
	if res.Repo != wc.config.Repo {
		return usagef("the working copy is of %s; check %s out into a folder of its own", wc.config.Repo, res.Repo)
	}
	if res.Path != "" {
		return usagef("a working copy holds whole versions; fetch single paths with dvx get")
	}
	if err := a.bring(ctx, s, wc, r, res, o); err != nil {
		return err
	}
	return a.print(map[string]any{"repo": res.Repo, "branch": wc.config.Branch, "commit": res.ID}, wc.atText(res))
}

// bring writes what differs between the working copy's base and a version.
func (a *app) bring(ctx context.Context, s repo.Store, wc *workingCopy, to chunk.Reader, res repo.Resolved, o worktree.CheckoutOptions) error {
	from, old, err := wc.openBase(ctx, s)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		from, old, err = commit.Entry{}, to, nil // every file that differs counts as a local change
	}
	if err != nil {
		return err
	}
	index, err := worktree.OpenIndex(wc.dir, s.Config().Chunker)
	if err != nil {
		return err
	}
	if res.ID.IsZero() {
		to = old
	}
	p := a.progress("writing")
	o.Index, o.Params, o.Progress = index, s.Config().Chunker, p.update
	_, err = worktree.Update(ctx, to, from.Commit.Tree, res.Commit.Tree, wc.dir, o)
	p.done()
	if err != nil {
		return err
	}
	if res.Branch != "" {
		wc.config.Branch = res.Branch
	}
	return errors.Join(index.Save(), wc.setBase(res.ID))
}

// atText says where the working copy is now.
func (w *workingCopy) atText(res repo.Resolved) func(io.Writer) error {
	return func(out io.Writer) error {
		_, err := fmt.Fprintf(out, "working copy is at %s (%v)\n", shortCommit(res.ID), res.Ref)
		if err == nil && res.Branch == "" {
			_, err = fmt.Fprintf(out, "what you commit from here is applied to %s\n", w.ref())
		}
		return err
	}
}
