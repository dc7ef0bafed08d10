package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/gc"
	"github.com/dvx-io/dvx/pkg/repo"
)

type purgeFlags struct {
	everywhere, yes bool
}

func cmdPurge(a *app) *cobra.Command {
	var f purgeFlags
	cmd := &cobra.Command{
		Use:   "purge REPO:/PATH...",
		Short: "Remove a path from every version",
		Long: `Remove files or directories from every version of a repo, for good: the versions are made anew without them, with new
IDs and else as they were, and all branches and tags move there. Memo records whose results have the contents are
dropped, and moves of branches before can't be undone any more. Without --yes only say what would be done.

The bytes are deleted by the next collection: dvx gc --yes --now does it at once, dvx gc --run once the grace is over.
They stay as long as another path, or another repo, has the same contents: these places are named, and --everywhere
removes the contents there too. Parts that a file has in common with another, as a copy with changes has, stay with that
other file. Working copies and mirrors have to be cleaned by those who own them.`,
		Example: `  dvx purge people:/2026/passports.csv
  dvx purge people:/2026/passports.csv --everywhere --yes && dvx gc --yes --now`,
		Args: minArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.purge(cmd.Context(), args, f) },
	}
	cmd.Flags().BoolVar(&f.everywhere, "everywhere", false, "remove the same contents at other paths and in other repos too")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "really do it")
	return cmd
}

// purgeArgs reads REPO:/PATH..., all of one repo.
func purgeArgs(args []string) (name string, paths []string, err error) {
	for _, arg := range args {
		in, path, ok := strings.Cut(arg, ":/")
		if !ok || path == "" || strings.Contains(in, "@") {
			return "", nil, usagef("%q: want REPO:/PATH; a path is removed from all branches", arg)
		}
		if name != "" && in != name {
			return "", nil, usagef("%q: want paths of one repo", arg)
		}
		name, paths = in, append(paths, path)
	}
	return name, paths, repo.CheckRepoName(name)
}

func (a *app) purge(ctx context.Context, args []string, f purgeFlags) error {
	name, paths, err := purgeArgs(args)
	if err != nil {
		return err
	}
	d, ctx, err := a.ownStore(ctx, "purge")
	if err != nil {
		return err
	}
	p := a.progress("purge")
	defer p.done()
	r, err := gc.Purge(ctx, d, gc.PurgeOptions{
		Now: time.Now, Repo: name, Paths: paths, Everywhere: f.everywhere, DryRun: !f.yes,
		Progress: func(n int64) { p.show(func() string { return count(n) + " versions made anew" }) },
	})
	p.done()
	if err != nil {
		return err
	}
	return a.print(r, func(w io.Writer) error { return printPurge(w, r) })
}

func printPurge(w io.Writer, r gc.PurgeReport) error {
	var b strings.Builder
	verb := "were"
	if r.DryRun {
		verb = "would be"
	}
	fmt.Fprintf(&b, "%s of %s; %s %s made anew, %s dropped\n",
		plural(r.Contents, "content"), size(r.Bytes), plural(int(r.Versions), "version"), verb, plural(int(r.Memo), "memo record"))
	for _, m := range r.Refs {
		fmt.Fprintf(&b, "%s@%s  %s -> %s\n", m.Repo, m.Ref, m.From.Short(), m.To.Short())
	}
	if len(r.Else) > 0 {
		fmt.Fprintf(&b, "the bytes stay, for they are elsewhere too (--everywhere removes them there):\n")
		for _, h := range r.Else {
			fmt.Fprintf(&b, "  %s@%s:/%s\n", h.Repo, h.Ref, shownPath(h.Path))
		}
	}
	if r.DryRun {
		b.WriteString("nothing was changed; --yes does it\n")
	} else {
		b.WriteString("the bytes go with the next collection: dvx gc --yes --now\n")
	}
	_, err := io.WriteString(w, printable(b.String()))
	return err
}
