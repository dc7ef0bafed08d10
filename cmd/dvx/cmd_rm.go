package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

func cmdRm(a *app) *cobra.Command {
	var flags commitFlags
	var recursive bool
	cmd := &cobra.Command{
		Use:     "rm REPO@BRANCH:/PATH",
		Short:   "Commit the removal of a file or directory, without a working copy",
		Example: "  dvx rm images@main:/2026/a.png -m 'was a duplicate'",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.rm(cmd.Context(), args[0], recursive, flags)
		},
	}
	cmd.Flags().BoolVarP(&recursive, "recursive", "r", false, "also a directory with all below it")
	flags.add(cmd, putPolicies)
	return cmd
}

func (a *app) rm(ctx context.Context, at string, recursive bool, flags commitFlags) error {
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	name, branch, path, err := a.target(ctx, s, at)
	if err != nil {
		return err
	}
	if path == "" {
		return usagef("%s names the whole branch; name a path, as %s@%s:/PATH", at, name, branch)
	}
	o, err := flags.options(name, branch, "remove "+path)
	if err != nil {
		return err
	}
	res, err := repo.Commit(ctx, s, o, func(ctx context.Context, d *repo.Draft) (tree.Root, error) {
		e, err := tree.Open(d, d.Base).Lookup(ctx, path)
		if err != nil {
			return d.Base, fmt.Errorf("%s: %w", at, err)
		}
		edit := tree.Edit{Op: tree.Delete, Path: strings.TrimSuffix(path, "/")}
		if e.Kind == tree.Dir {
			if !recursive {
				return d.Base, usagef("%s is a directory; remove it with -r", at)
			}
			edit.Op = tree.DeleteDir
		}
		return d.Apply(ctx, []tree.Edit{edit})
	})
	if err != nil {
		return err
	}
	return a.report(o, res, "removed /"+path)
}
