package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// commitFlags are shared by the commands that make a commit.
type commitFlags struct {
	message string
	op      string
	policy  string
}

func (f *commitFlags) add(cmd *cobra.Command, policies string) {
	cmd.Flags().StringVarP(&f.message, "message", "m", "", "what changed and why")
	cmd.Flags().StringVar(&f.op, "op-id", "", "operation ID (a UUID): repeating it never commits twice, and tells how the first try ended")
	cmd.Flags().StringVar(&f.policy, "on-conflict", "rebase", "if the branch moved meanwhile: "+policies)
}

// options turns the flags into options for a commit to name@branch.
func (f *commitFlags) options(name, branch, message string) (repo.CommitOptions, error) {
	op, err := opID(f.op)
	if err != nil {
		return repo.CommitOptions{}, err
	}
	o := repo.CommitOptions{Repo: name, Branch: branch, Author: author(), Message: f.message, Op: op, Time: time.Now()}
	if o.Message == "" {
		o.Message = message
	}
	switch f.policy {
	case "fail":
		o.Policy = repo.ExpectParent
	case "rebase":
		o.Policy = repo.Rebase
	default:
		return o, usagef("--on-conflict %q: it is none of those that --help lists", f.policy)
	}
	return o, nil
}

// commitResult is a commit as put, rm and commit report it with --json.
type commitResult struct {
	Repo      string    `json:"repo"`
	Branch    string    `json:"branch"`
	Commit    commit.ID `json:"commit"`
	Unchanged bool      `json:"unchanged"` // there was nothing to commit; commit is the present head
	Op        string    `json:"op"`
}

// report tells how a commit ended.
func (a *app) report(o repo.CommitOptions, res repo.CommitResult, what string) error {
	out := commitResult{Repo: o.Repo, Branch: o.Branch, Commit: res.ID, Unchanged: res.Unchanged, Op: o.Op.String()}
	return a.print(out, func(w io.Writer) error {
		if res.Unchanged {
			_, err := fmt.Fprintf(w, "%s@%s: nothing to commit, it is at %s\n", o.Repo, o.Branch, shortCommit(res.ID))
			return err
		}
		_, err := fmt.Fprintf(w, "%s@%s: %s %s\n", o.Repo, o.Branch, res.ID.Short(), what)
		return err
	})
}

func cmdPut(a *app) *cobra.Command {
	var flags commitFlags
	cmd := &cobra.Command{
		Use:   "put FILE REPO@BRANCH:/PATH",
		Short: "Commit one file without a working copy",
		Long:  "Commit one file, as one version, without a working copy. FILE - is standard input. A path that ends in / is a directory to put FILE into.",
		Example: `  dvx put a.png images@main:/2026/a.png
  curl -s localhost/report | dvx put - reports@main:/today.json -m "today's report"`,
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.put(cmd.Context(), args[0], args[1], flags) },
	}
	flags.add(cmd, "rebase, make the change on the new version; fail")
	return cmd
}

// target reads REPO[@BRANCH]:/PATH as a place to write to.
func (a *app) target(ctx context.Context, s repo.Store, expr string) (name, branch, path string, err error) {
	ref, err := repo.ParseRef(expr)
	if err != nil {
		return "", "", "", err
	}
	v, err := s.View(ctx)
	if err != nil {
		return "", "", "", err
	}
	r, ok := v.Repos[ref.Repo]
	if !ok {
		return "", "", "", fmt.Errorf("%s: %w; make it with dvx repo create", ref.Repo, repo.ErrRepoNotFound)
	}
	branch = ref.Name
	if branch == "" {
		branch = r.Default
	}
	if _, ok := r.Branches[branch]; !ok || len(ref.Steps) > 0 || !ref.At.IsZero() {
		return "", "", "", fmt.Errorf("%s: only branches can be written to, and %s has none of this name: %w", expr, ref.Repo, repo.ErrRefNotFound)
	}
	return ref.Repo, branch, ref.Path, nil
}

func (a *app) put(ctx context.Context, file, to string, flags commitFlags) error {
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	name, branch, path, err := a.target(ctx, s, to)
	if err != nil {
		return err
	}
	in, base, exec, err := a.openInput(file)
	if err != nil {
		return err
	}
	defer in.Close()
	if path == "" || strings.HasSuffix(to, "/") {
		if base == "" {
			return usagef("standard input has no name: give the whole path, as %s@%s:/NAME", name, branch)
		}
		path = strings.Trim(path+"/"+base, "/")
	}
	if err := tree.CheckPath(path); err != nil {
		return err
	}
	o, err := flags.options(name, branch, "put "+path)
	if err != nil {
		return err
	}
	res, err := repo.PutFile(ctx, s, o, path, tree.Entry{Kind: tree.File, Exec: exec}, in)
	if err != nil {
		return err
	}
	return a.report(o, res, "/"+path)
}

// openInput opens a file to be stored, - being standard input.
func (a *app) openInput(file string) (in io.ReadCloser, base string, exec bool, err error) {
	if file == "-" {
		return io.NopCloser(a.in), "", false, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, "", false, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = usagef("%s is no regular file; commit directories with dvx commit", file)
	}
	if err != nil {
		_ = f.Close()
		return nil, "", false, err
	}
	return f, info.Name(), info.Mode()&0o100 != 0, nil
}

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
	flags.add(cmd, "rebase, make the change on the new version; fail")
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
