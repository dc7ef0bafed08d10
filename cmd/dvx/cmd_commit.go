package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
	"github.com/dvx-io/dvx/pkg/worktree"
)

// scanFlags are shared by the commands that look at the disk.
type scanFlags struct {
	nonportable bool
	skipSpecial bool
}

func (f *scanFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.nonportable, "allow-nonportable", false, "accept names that some systems can't hold")
	cmd.Flags().BoolVar(&f.skipSpecial, "skip-special", false, "leave out devices, sockets and pipes")
}

func cmdStatus(a *app) *cobra.Command {
	var flags scanFlags
	cmd := &cobra.Command{
		Use:   "status [PATH…]",
		Short: "List what changed in the working copy",
		Long: `List what changed in the working copy since the branch's newest version: A new, D gone, M changed.
Nothing is staged: all of it is what dvx commit would commit. With --json, one object with the changes.`,
		Example: "  dvx status\n  dvx status 2026/",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.status(cmd.Context(), args, flags) },
	}
	flags.add(cmd)
	return cmd
}

// scanOptions returns the options of a scan of the working copy.
func (a *app) scanOptions(wc *workingCopy, s repo.Store, args []string, flags scanFlags) (worktree.Options, error) {
	paths, err := wc.paths(args)
	if err != nil {
		return worktree.Options{}, err
	}
	index, err := worktree.OpenIndex(wc.dir, s.Config().Chunker)
	if err != nil {
		return worktree.Options{}, err
	}
	return worktree.Options{
		Dir: wc.dir, Paths: paths, Index: index, Params: s.Config().Chunker,
		AllowNonportable: flags.nonportable, SkipSpecial: flags.skipSpecial,
	}, nil
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
			return nil, fmt.Errorf("%s lies outside of the working copy %s: %w", arg, w.dir, fs.ErrInvalid)
		}
		if rel == "." {
			return nil, nil // the whole working copy
		}
		out = append(out, filepath.ToSlash(rel))
	}
	return out, nil
}

// statusInfo is the status as --json prints it.
type statusInfo struct {
	Repo    string       `json:"repo"`
	Branch  string       `json:"branch"`
	Commit  commit.ID    `json:"commit"` // newest version of the branch
	Changes []changeInfo `json:"changes"`
}

func (a *app) status(ctx context.Context, args []string, flags scanFlags) error {
	wc, err := findWorkingCopy(".")
	if err != nil {
		return err
	}
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	o, err := a.scanOptions(wc, s, args, flags)
	if err != nil {
		return err
	}
	base, r, err := openRef(ctx, s, wc.ref())
	if err != nil {
		return err
	}
	p := a.progress("looking at files")
	o.Progress = p.update
	report, err := worktree.Status(ctx, r, base.Commit.Tree, o)
	p.done()
	if err != nil {
		return err
	}
	if err := o.Index.Save(); err != nil {
		return err
	}
	info := statusInfo{Repo: base.Repo, Branch: wc.config.Branch, Commit: base.ID, Changes: []changeInfo{}}
	for _, c := range report.Changes {
		info.Changes = append(info.Changes, changeOf(c))
	}
	return a.print(info, func(w io.Writer) error {
		var b strings.Builder
		fmt.Fprintf(&b, "on %s at %s\n", wc.ref(), shortCommit(base.ID))
		for _, c := range report.Changes {
			fmt.Fprintf(&b, "%s %s\n", letters()[c.Kind], printable(c.Path))
		}
		if len(report.Changes) == 0 {
			b.WriteString("nothing to commit\n")
		}
		for _, p := range report.Skipped {
			fmt.Fprintf(&b, "skipped %s\n", printable(fmt.Sprint(p)))
		}
		_, err := io.WriteString(w, b.String())
		return err
	})
}

func cmdCommit(a *app) *cobra.Command {
	var flags commitFlags
	var scan scanFlags
	var empty bool
	cmd := &cobra.Command{
		Use:   "commit [PATH…]",
		Short: "Commit the working copy, or some paths of it",
		Long: `Commit the working copy as a new version of its branch, or only the changes at some paths. Nothing need be staged.
Files that the stat index knows are not read again; only new and changed chunks are stored.`,
		Example: `  dvx commit -m "images of November"
  dvx commit 2026/11 -m "only these"`,
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.commit(cmd.Context(), args, flags, scan, empty)
		},
	}
	flags.add(cmd, "rebase")
	scan.add(cmd)
	cmd.Flags().BoolVar(&empty, "allow-empty", false, "make a version also if nothing changed")
	return cmd
}

func (a *app) commit(ctx context.Context, args []string, flags commitFlags, scan scanFlags, empty bool) error {
	wc, err := findWorkingCopy(".")
	if err != nil {
		return err
	}
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	o, err := flags.options(wc.config.Repo, wc.config.Branch, "")
	if err != nil {
		return err
	}
	o.AllowEmpty = empty
	so, err := a.scanOptions(wc, s, args, scan)
	if err != nil {
		return err
	}
	p := a.progress("storing")
	so.Progress = p.update
	var stats worktree.Stats
	res, err := repo.Commit(ctx, s, o, func(ctx context.Context, d *repo.Draft) (tree.Root, error) {
		edits, n, err := worktree.Edits(ctx, d, d.Base, so)
		stats = n
		if err != nil {
			return tree.Root{}, err
		}
		return d.Apply(ctx, edits)
	})
	p.done()
	if err != nil {
		return err
	}
	if err := errors.Join(so.Index.Save(), wc.setBase(res.ID)); err != nil {
		return err
	}
	what := fmt.Sprintf("%s files, %s (read %s of %s files)", count(res.Commit.Tree.Files), size(res.Commit.Tree.Bytes), size(stats.ReadBytes), count(stats.ReadFiles))
	return a.report(o, res, what)
}

// setBase notes which version the working copy holds.
func (w *workingCopy) setBase(id commit.ID) error {
	if id.IsZero() {
		return nil
	}
	w.config.Base = id.String()
	return worktree.SaveConfig(w.dir, w.config)
}

func cmdCheckout(a *app) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "checkout REF [DIR]",
		Short: "Write a version into a directory",
		Long: `Write a version into DIR, which must be empty or absent. Without DIR, bring the working copy to that version:
files that were changed and not committed are left alone and named, unless --force.`,
		Example: `  dvx checkout images@v1.0 ./images-v1
  dvx checkout images@staging`,
		Args: rangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.checkout(cmd.Context(), args, force) },
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "overwrite local changes")
	return cmd
}

func (a *app) checkout(ctx context.Context, args []string, force bool) error {
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	res, r, err := openRef(ctx, s, args[0])
	if err != nil {
		return err
	}
	p := a.progress("writing")
	defer p.done()
	if len(args) == 1 {
		return a.switchTo(ctx, s, r, res, force, p)
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
	if _, err := worktree.Checkout(ctx, r, root, args[1], worktree.CheckoutOptions{Progress: p.update}); err != nil {
		return err
	}
	p.done()
	return a.done(nil, "checked out", fmt.Sprintf("%s (%s) into %s", args[0], shortCommit(res.ID), args[1]))
}

// switchTo brings the working copy to a version.
func (a *app) switchTo(ctx context.Context, s repo.Store, to chunk.Reader, res repo.Resolved, force bool, p *progress) error {
	wc, err := findWorkingCopy(".")
	if errors.Is(err, fs.ErrNotExist) {
		return usagef("name a folder to write to, or work in a folder where dvx init ran")
	}
	if err != nil {
		return err
	}
	if res.Repo != wc.config.Repo {
		return usagef("the working copy is of %s; check %s out into a folder of its own", wc.config.Repo, res.Repo)
	}
	if res.Path != "" {
		return usagef("a working copy holds whole versions; fetch single paths with dvx get")
	}
	var from repo.Resolved
	if wc.config.Base != "" {
		if from, _, err = openRef(ctx, s, wc.config.Repo+"@"+wc.config.Base); err != nil {
			return err
		}
	}
	index, err := worktree.OpenIndex(wc.dir, s.Config().Chunker)
	if err != nil {
		return err
	}
	_, err = worktree.Update(ctx, to, from.Commit.Tree, res.Commit.Tree, wc.dir, worktree.CheckoutOptions{
		Force: force, Index: index, Progress: p.update,
	})
	if err != nil {
		return err
	}
	if res.Branch != "" && res.ID == res.Head {
		wc.config.Branch = res.Branch
	}
	if err := errors.Join(index.Save(), wc.setBase(res.ID)); err != nil {
		return err
	}
	p.done()
	return a.done(nil, "working copy is at", wc.ref()+" "+shortCommit(res.ID))
}
