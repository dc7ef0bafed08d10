package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
	"github.com/dvx-io/dvx/pkg/worktree"
)

func cmdCat(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "cat REF:/PATH…",
		Short:   "Write files of a version to standard output",
		Example: "  dvx cat images@main~1:/2026/a.csv",
		Args:    minArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, ctx, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			for _, expr := range args {
				_, e, r, err := openFile(ctx, s, expr)
				if err != nil {
					return err
				}
				if err := copyContent(ctx, a.out, r, e.Content); err != nil {
					return fmt.Errorf("%s: %w", expr, err)
				}
			}
			return nil
		},
	}
}

// openFile resolves a ref with the path of a file or link.
func openFile(ctx context.Context, s repo.Store, expr string) (repo.Resolved, tree.Entry, chunk.Reader, error) {
	res, e, r, err := openEntry(ctx, s, expr)
	if err == nil && e.Kind == tree.Dir {
		err = usagef("%s is a directory; list it with dvx ls, or fetch it with dvx get", expr)
	}
	return res, e, r, err
}

// openEntry resolves a ref with any path.
func openEntry(ctx context.Context, s repo.Store, expr string) (repo.Resolved, tree.Entry, chunk.Reader, error) {
	v, res, err := repo.LookRef(ctx, s, expr)
	if err != nil {
		return res, tree.Entry{}, nil, err
	}
	if res.ID.IsZero() && v.Open == nil {
		return res, tree.Entry{}, nil, fmt.Errorf("%s has no version yet: %w", expr, repo.ErrRefNotFound)
	}
	e, err := v.Tree().Lookup(ctx, res.Path)
	if err != nil {
		return res, e, v.Chunks, fmt.Errorf("%s: %w", expr, err)
	}
	return res, e, v.Chunks, nil
}

// copyContent writes a file's bytes to w, each verified before it is written.
func copyContent(ctx context.Context, w io.Writer, r chunk.Reader, c chunk.Content) error {
	if c.Size == 0 {
		return nil
	}
	f, err := chunk.OpenContent(ctx, r, c)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = f.WriteTo(w)
	return err
}

func cmdGet(a *app) *cobra.Command {
	var force, links bool
	cmd := &cobra.Command{
		Use:   "get REF:/PATH [FILE]",
		Short: "Copy a file or directory of a version to this disk",
		Long:  "Copy a file or directory of a version to this disk, without a working copy. FILE is the path's last name by default; - is standard output.",
		Example: `  dvx get images@main:/2026/a.csv
  dvx get images@v1.0:/2026 ./old-2026`,
		Args: rangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.get(cmd.Context(), args, force, links) },
	}
	cmd.Flags().BoolVarP(&force, "force", "f", false, "replace a file that exists")
	addAnyLinks(cmd, &links)
	return cmd
}

func (a *app) get(ctx context.Context, args []string, force, links bool) error {
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	res, e, r, err := openEntry(ctx, s, args[0])
	if err != nil {
		return err
	}
	to := path.Base("/" + res.Path)
	if len(args) > 1 {
		to = args[1]
	}
	if to == "/" {
		to = res.Repo
	}
	if to == "-" {
		if e.Kind == tree.Dir {
			return usagef("%s is a directory; name a folder to write it to", args[0])
		}
		return copyContent(ctx, a.out, r, e.Content)
	}
	if err := tree.CheckPortable(filepath.Base(to)); err != nil && len(args) < 2 {
		return fmt.Errorf("%w; name the file to write", err)
	}
	if e.Kind == tree.Dir {
		p := a.progress("writing")
		_, err := worktree.Checkout(ctx, r, e.Dir, to, worktree.CheckoutOptions{AnyLinks: links, Progress: p.update})
		p.done()
		if err != nil {
			return err
		}
		return a.done(nil, "wrote", to)
	}
	if err := writeFile(ctx, to, r, e, force); err != nil {
		return err
	}
	return a.done(nil, "wrote", to)
}

// writeFile writes one file whole, by way of a temporary one beside it.
func writeFile(ctx context.Context, to string, r chunk.Reader, e tree.Entry, force bool) error {
	if info, err := os.Lstat(to); err == nil && (!force || !info.Mode().IsRegular()) {
		return fmt.Errorf("%s: %w; replace a file with --force", to, fs.ErrExist)
	}
	f, err := os.CreateTemp(filepath.Dir(to), ".dvx-get-*")
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }()
	mode := fs.FileMode(0o644)
	if e.Exec {
		mode = 0o755
	}
	err = copyContent(ctx, f, r, e.Content)
	if err := errors.Join(err, f.Chmod(mode), f.Close()); err != nil {
		return fmt.Errorf("write %s: %w", to, err)
	}
	return os.Rename(f.Name(), to)
}
