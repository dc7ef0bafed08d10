package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// commitInfo is a commit as --json prints it: its canonical JSON and its ID.
type commitInfo struct {
	ID      commit.ID     `json:"id"`
	Commit  commit.Commit `json:"commit"`
	Expired bool          `json:"expired,omitempty"` // retention has given its files up
}

func cmdLog(a *app) *cobra.Command {
	var limit uint
	var oneline bool
	cmd := &cobra.Command{
		Use:   "log [REF[:/PATH]]",
		Short: "Show the versions of a branch, newest first",
		Long: `Show the versions of a branch, newest first; with a path only those that changed what is there. With --json, one
JSON object a line.`,
		Example: `  dvx log images@main:/2026/a.png
  dvx log images@main -n 10
  dvx log --oneline`,
		Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.log(cmd, args, limit, oneline) },
	}
	cmd.Flags().UintVarP(&limit, "max-count", "n", 0, "stop after this many versions (0: show all)")
	cmd.Flags().BoolVar(&oneline, "oneline", false, "one line a version")
	return cmd
}

// refOrHere returns the ref that was named, or that of the working copy.
func refOrHere(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	wc, err := findWorkingCopy(".")
	if err != nil {
		return "", usagef("name a version, as images@main, or work in a folder where dvx init ran")
	}
	return wc.ref(), nil
}

// repoOrHere returns the repo that was named, or that of the working copy.
func repoOrHere(args []string) (string, error) {
	if len(args) > 0 {
		return args[0], nil
	}
	wc, err := findWorkingCopy(".")
	if err != nil {
		return "", usagef("name a repo, or work in a folder where dvx init ran")
	}
	return wc.config.Repo, nil
}

func (a *app) log(cmd *cobra.Command, args []string, limit uint, oneline bool) error {
	expr, err := refOrHere(args)
	if err != nil {
		return err
	}
	s, ctx, err := a.open(cmd.Context())
	if err != nil {
		return err
	}
	res, err := repo.Resolve(ctx, s, expr)
	if err != nil || res.ID.IsZero() {
		return err
	}
	r, err := s.Reader(ctx, res.Scope())
	if err != nil {
		return err
	}
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	v, err := s.View(ctx)
	if err != nil {
		return err
	}
	n := uint(0)
	for e, err := range commit.Log(ctx, r, res.ID, commit.LogOptions{}) {
		if err != nil {
			return err
		}
		if changed, err := changedAt(ctx, r, e.Commit, res.Path); err != nil {
			return err
		} else if !changed {
			continue
		}
		gone := false
		if v.Expires {
			if gone, err = isExpired(ctx, r, e.Commit); err != nil {
				return err
			}
		}
		switch {
		case a.json:
			err = enc.Encode(commitInfo{e.ID, e.Commit, gone})
		case oneline:
			_, err = fmt.Fprintf(a.out, "%s %s %s%s\n", e.ID.Short(), when(e.Commit.Time), printable(firstLine(e.Commit.Message)), expiredNote(gone))
		default:
			err = printCommit(a.out, commitInfo{e.ID, e.Commit, gone})
		}
		if err != nil {
			return err
		}
		if n++; n == limit {
			return nil
		}
	}
	return nil
}

// changedAt reports whether a commit has something else at a path than its
// first parent. The empty path means everything, and then each commit counts,
// as does one that has expired: nobody knows any more.
func changedAt(ctx context.Context, r chunk.Reader, c commit.Commit, path string) (bool, error) {
	if path == "" {
		return true, nil
	}
	now, err := entryAt(ctx, r, c, path)
	if errors.Is(err, repo.ErrExpired) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	var old tree.Entry
	if len(c.Parents) > 0 {
		parent, err := commit.Load(ctx, r, c.Parents[0])
		if err != nil {
			return false, err
		}
		if old, err = entryAt(ctx, r, parent, path); err != nil && !errors.Is(err, repo.ErrExpired) {
			return false, err
		}
	}
	return now.Kind != old.Kind || now.Exec != old.Exec || now.Content != old.Content || now.Dir.Content != old.Dir.Content, nil
}

// entryAt returns what a commit has at a path, the zero Entry if nothing.
func entryAt(ctx context.Context, r chunk.Reader, c commit.Commit, path string) (tree.Entry, error) {
	e, err := tree.Open(r, c.Tree).Lookup(ctx, path)
	if errors.Is(err, tree.ErrNotFound) {
		return tree.Entry{}, nil
	}
	return e, err
}

// isExpired reports whether retention has given a version's files up.
func isExpired(ctx context.Context, r chunk.Reader, c commit.Commit) (bool, error) {
	if c.Tree.ID.IsZero() {
		return false, nil
	}
	_, err := r.Get(ctx, chunk.Node, chunk.ID(c.Tree.ID))
	if errors.Is(err, repo.ErrExpired) {
		return true, nil
	}
	return false, err
}

func expiredNote(gone bool) string {
	if gone {
		return " (expired)"
	}
	return ""
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// printCommit writes a commit as git log does.
func printCommit(w io.Writer, i commitInfo) error {
	c := i.Commit
	var b strings.Builder
	fmt.Fprintf(&b, "commit %s%s\n", i.ID, expiredNote(i.Expired))
	if len(c.Parents) > 1 {
		b.WriteString("merge ")
		for _, p := range c.Parents {
			b.WriteString(" " + p.Short())
		}
		b.WriteString("\n")
	}
	fmt.Fprintf(&b, "author %s\ndate   %s\n", printable(c.Author), when(c.Time))
	fmt.Fprintf(&b, "tree   %s files, %s\n", count(c.Tree.Files), size(c.Tree.Bytes))
	if p := c.Prov; p != nil {
		fmt.Fprintf(&b, "made by pipeline %s@%s, job %.12s, from", p.Pipeline, p.Branch, p.Job)
		for _, in := range p.Inputs {
			fmt.Fprintf(&b, " %s@%s", in.Repo, in.Commit.Short())
		}
		b.WriteString("\n")
	}
	for line := range strings.Lines("\n" + strings.TrimRight(c.Message, "\n")) {
		b.WriteString("    " + printable(strings.TrimRight(line, "\n")) + "\n")
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func cmdShow(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "show [REF]",
		Short:   "Show one version: who made it, from what, and what changed",
		Example: "  dvx show images@main~1",
		Args:    rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			expr, err := refOrHere(args)
			if err != nil {
				return err
			}
			s, ctx, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			res, err := repo.Resolve(ctx, s, expr)
			if err != nil {
				return err
			}
			if res.ID.IsZero() {
				return fmt.Errorf("%s has no version yet: %w", expr, repo.ErrRefNotFound)
			}
			r, err := s.Reader(ctx, res.Scope())
			if err != nil {
				return err
			}
			gone, err := isExpired(ctx, r, res.Commit)
			if err != nil {
				return err
			}
			info := commitInfo{res.ID, res.Commit, gone}
			if a.json {
				return a.print(info, nil)
			}
			if err := printCommit(a.out, info); err != nil || gone {
				return err
			}
			var parent commit.Commit
			if len(res.Commit.Parents) > 0 {
				if parent, err = commit.Load(ctx, r, res.Commit.Parents[0]); err != nil {
					return err
				}
			}
			if gone, err = isExpired(ctx, r, parent); err != nil {
				return err
			} else if gone {
				_, err = fmt.Fprintln(a.out, "the files of the version before have expired: there is nothing to compare with")
				return err
			}
			return a.printChanges(tree.Diff(ctx, r, parent.Tree, r, res.Commit.Tree, tree.DiffOptions{Expand: true}))
		},
	}
}
