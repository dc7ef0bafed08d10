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
	"github.com/dvx-io/dvx/pkg/worktree"
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

// putPolicies are the values of --on-conflict for a change without a working
// copy.
const putPolicies = "rebase, make the change on the new version; rebase-disjoint, only if other paths changed; " +
	"fail; overwrite, put this version as a whole on top, undoing what others did"

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
	case "fail", "expect-parent":
		o.Policy = repo.ExpectParent
	case "rebase-disjoint":
		o.Policy = repo.RebaseDisjoint
	case "rebase":
		o.Policy = repo.Rebase
	case "overwrite":
		o.Policy = repo.Overwrite
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

// putFlags say what put stores.
type putFlags struct {
	commit      commitFlags
	open        bool
	recursive   bool
	nonportable bool
	skipSpecial bool
}

func cmdPut(a *app) *cobra.Command {
	var flags putFlags
	cmd := &cobra.Command{
		Use:   "put FILE REPO@BRANCH:/PATH",
		Short: "Commit a file or directory without a working copy",
		Long: `Commit one file, as one version, without a working copy. FILE - is standard input. A path that ends in / is a
directory to put FILE into.

With -r, FILE is a directory: what is in it and not ignored (.dvxignore) is put below PATH, as one version. Files
that are there and not in the directory stay.

With --open the file is written to the branch's open commit, as S3 clients do: it is durable and visible to readers of
the branch at once, and becomes a version, with all else that was written, when the branch is sealed (dvx seal, or a
daemon after a pause). Pipelines do not see it before.`,
		Example: `  dvx put a.png images@main:/2026/a.png
  dvx put -r ./scans images@main:/2026/scans
  curl -s localhost/report | dvx put - reports@main:/today.json -m "today's report"`,
		Args: exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error { return a.put(cmd.Context(), args[0], args[1], flags) },
	}
	cmd.Flags().BoolVarP(&flags.recursive, "recursive", "r", false, "put a directory with all below it")
	cmd.Flags().BoolVar(&flags.nonportable, "allow-nonportable", false, "accept names that some systems can't hold")
	cmd.Flags().BoolVar(&flags.skipSpecial, "skip-special", false, "leave out devices, sockets and pipes")
	cmd.Flags().BoolVar(&flags.open, "open", false, "write to the branch's open commit, and make no version yet")
	flags.commit.add(cmd, putPolicies)
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

func (a *app) put(ctx context.Context, file, to string, flags putFlags) error {
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	name, branch, path, err := a.target(ctx, s, to)
	if err != nil {
		return err
	}
	p := putter{app: a, store: s, flags: flags, ref: name + "@" + branch, path: strings.Trim(path, "/")}
	if flags.recursive && flags.open {
		return usagef("--open takes one file; put a directory as a version, without it")
	}
	if flags.recursive {
		return p.dir(ctx, name, branch, file)
	}
	in, base, exec, err := a.openInput(file)
	if err != nil {
		return err
	}
	defer in.Close()
	if path == "" || strings.HasSuffix(to, "/") {
		if base == "" {
			return usagef("standard input has no name: give the whole path, as %s:/NAME", p.ref)
		}
		p.path = strings.Trim(p.path+"/"+base, "/")
	}
	if err := p.checkPath(); err != nil {
		return err
	}
	if flags.open {
		if err := p.checkHead(ctx, tree.File); err != nil {
			return err
		}
		return p.putOpen(ctx, name, branch, exec, in)
	}
	o, err := flags.commit.options(name, branch, "put "+p.path)
	if err != nil {
		return err
	}
	o.Check = p.checkDraft(tree.File)
	res, err := repo.PutFile(ctx, s, o, p.path, tree.Entry{Kind: tree.File, Exec: exec}, in)
	if err != nil {
		return p.plain(err)
	}
	return a.report(o, res, "/"+p.path)
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
		err = usagef("%s is no regular file; put a directory with -r", file)
	}
	if err != nil {
		_ = f.Close()
		return nil, "", false, err
	}
	return worktree.SparseFile{File: f}, info.Name(), info.Mode()&0o100 != 0, nil
}
