package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/worktree"
)

func cmdCommit(a *app) *cobra.Command {
	var flags commitFlags
	var scan scanFlags
	var empty bool
	var resume string
	cmd := &cobra.Command{
		Use:   "commit [PATH…]",
		Short: "Commit the working copy, or some paths of it",
		Long: `Commit the working copy as a new version of its branch, or only the changes at some paths. Nothing need be staged.
Files that the stat index knows are not read again; only new and changed chunks are stored.

If the branch has moved since the working copy was made from it, the change is applied to the newest version, and
what others committed is brought into the working copy. Paths that both changed are conflicts: nothing is committed
then (exit code 5), unless --on-conflict mine keeps those of the working copy.

A commit whose answer was lost exits with 6 and names its operation. --resume OPERATION makes its outcome certain,
also that of dvx put, rm, branch and all other changes: it was made, or it was not and never will be (exit code 1).`,
		Example: `  dvx commit -m "images of November"
  dvx commit 2026/11 -m "only these"
  dvx commit -m "mine is right" --on-conflict mine
  dvx commit --resume 01980000-0000-7000-8000-000000000001`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if resume != "" {
				return a.resume(cmd.Context(), resume)
			}
			return a.commit(cmd.Context(), args, flags, scan, empty)
		},
	}
	flags.add(cmd, "rebase (or rebase-disjoint), if other paths changed; mine, always: of paths that both changed keep the working copy's; fail")
	scan.add(cmd)
	cmd.Flags().BoolVar(&empty, "allow-empty", false, "make a version also if nothing changed")
	cmd.Flags().StringVar(&resume, "resume", "", "tell how an operation (its ID) ended, and commit nothing")
	return cmd
}

func (a *app) commit(ctx context.Context, args []string, flags commitFlags, scan scanFlags, empty bool) (err error) {
	wc, err := findWorkingCopy(".")
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
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	info, err := wc.position(ctx, s)
	if err != nil {
		return err
	}
	if info.Gone {
		return fmt.Errorf("branch %s: %w; make it again with dvx branch create %s, or go to another with dvx checkout REF",
			wc.ref(), repo.ErrRefNotFound, wc.ref())
	}
	c := &change{base: info.Base, ref: wc.ref(), keep: flags.policy == "mine"}
	if c.keep {
		flags.policy = "rebase"
	}
	o, err := flags.options(wc.config.Repo, wc.config.Branch, "")
	if err != nil {
		return err
	}
	o.AllowEmpty = empty
	if o.Policy == repo.ExpectParent {
		o.Expect = &c.base
	}
	if o.Policy == repo.Overwrite {
		return usagef("--on-conflict overwrite would undo what others committed; mine keeps your side of what both changed")
	}
	if o.Policy == repo.RebaseDisjoint { // what the change does by itself
		o.Policy = repo.Rebase
	}
	if c.scan, err = wc.scanOptions(s, args, scan); err != nil {
		return err
	}
	p := a.progress("storing")
	c.scan.Progress = p.update
	res, err := repo.Commit(ctx, s, o, c.make)
	p.done()
	if err != nil {
		return err
	}
	return a.committed(ctx, s, wc, c, o, res)
}

// committed brings the working copy to what was committed, and tells how it
// went.
func (a *app) committed(ctx context.Context, s repo.Store, wc *workingCopy, c *change, o repo.CommitOptions, res repo.CommitResult) error {
	// The commit is made: Ctrl-C comes too late to leave half a working copy.
	there, err := wc.settle(context.WithoutCancel(ctx), s, c, res)
	if err := errors.Join(err, c.scan.Index.Save()); err != nil {
		return fmt.Errorf("%s is committed, but the working copy is not brought there: %w", res.ID.Short(), err)
	}
	t := res.Commit.Tree
	if err := a.report(o, res, fmt.Sprintf("%s files, %s (read %s of %s files)",
		count(t.Files), size(t.Bytes), size(c.stats.ReadBytes), count(c.stats.ReadFiles))); err != nil {
		return err
	}
	if !there {
		a.hint("the branch has changes that the working copy lacks; dvx checkout brings them")
	} else if c.made && !res.Unchanged && c.mine.Content != t.Content {
		a.hint("others had changed the branch; their changes are in the working copy too")
	}
	return nil
}
