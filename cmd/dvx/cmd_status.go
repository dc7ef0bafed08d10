package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/worktree"
)

func cmdStatus(a *app) *cobra.Command {
	var flags scanFlags
	cmd := &cobra.Command{
		Use:   "status [PATH…]",
		Short: "List what changed in the working copy",
		Long: `List what changed in the working copy since the version that it was made from: A new, D gone, M changed.
Nothing is staged: all of it is what dvx commit would commit. If the branch has newer versions it says so.
With --json, one object with the changes.`,
		Example: "  dvx status\n  dvx status 2026/",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.status(cmd.Context(), args, flags) },
	}
	flags.add(cmd)
	return cmd
}

// statusInfo is the status as --json prints it.
type statusInfo struct {
	Repo     string       `json:"repo"`
	Branch   string       `json:"branch"`
	Base     commit.ID    `json:"base"`               // version that the working copy was made from
	Commit   commit.ID    `json:"commit"`             // newest version of the branch
	Ahead    int          `json:"ahead"`              // versions that the branch has on top of base
	Diverged bool         `json:"diverged,omitempty"` // the branch does not descend from base
	Gone     bool         `json:"gone,omitempty"`     // the branch is not there
	Changes  []changeInfo `json:"changes"`
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
	info, err := wc.position(ctx, s)
	if err != nil {
		return err
	}
	o, err := wc.scanOptions(s, args, flags)
	if err != nil {
		return err
	}
	base, r, err := wc.openBase(ctx, s)
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
	// The index spares time only: status works where nothing can be written.
	_ = o.Index.Save()
	info.Changes = []changeInfo{}
	for _, c := range report.Changes {
		info.Changes = append(info.Changes, changeOf(c))
	}
	return a.print(info, func(w io.Writer) error {
		var b strings.Builder
		info.describe(&b)
		for _, c := range report.Changes {
			fmt.Fprintf(&b, "%s %s\n", letters()[c.Kind], shownPath(c.Path))
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

// describe writes where the working copy is.
func (i statusInfo) describe(b *strings.Builder) {
	ref := i.Repo + "@" + i.Branch
	fmt.Fprintf(b, "on %s at %s\n", ref, shortCommit(i.Base))
	switch {
	case i.Gone:
		fmt.Fprintf(b, "the branch is gone; make it again (dvx branch create %s --from %s@%.12s) or go to another (dvx checkout REF)\n", ref, i.Repo, i.Base)
	case i.Diverged:
		fmt.Fprintf(b, "the branch is at %s, which does not come after this; dvx checkout brings the working copy there\n", shortCommit(i.Commit))
	case i.Ahead > 0:
		fmt.Fprintf(b, "the branch is %s ahead, at %s; dvx checkout brings the working copy there\n", plural(i.Ahead, "version"), i.Commit.Short())
	}
}

// plural counts things in words.
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return count(int64(n)) + " " + what + "s"
}

// position compares the working copy's base with its branch.
func (w *workingCopy) position(ctx context.Context, s repo.Store) (statusInfo, error) {
	info := statusInfo{Repo: w.config.Repo, Branch: w.config.Branch}
	var err error
	if info.Base, err = w.base(); err != nil {
		return info, err
	}
	v, err := s.View(ctx)
	if err != nil {
		return info, err
	}
	r, ok := v.Repos[w.config.Repo]
	if !ok {
		return info, fmt.Errorf("%s, which this working copy is of: %w", w.config.Repo, repo.ErrRepoNotFound)
	}
	b, ok := r.Branches[w.config.Branch]
	info.Commit, info.Gone = b.Commit, !ok
	if info.Gone || info.Commit == info.Base {
		return info, nil
	}
	if info.Commit.IsZero() {
		info.Diverged = true
		return info, nil
	}
	chunks, err := s.Reader(ctx, repo.Scope{Repo: w.config.Repo, Branch: w.config.Branch, Commit: b.Commit})
	if err != nil {
		return info, err
	}
	info.Diverged = !info.Base.IsZero()
	for e, err := range commit.Log(ctx, chunks, b.Commit, commit.LogOptions{}) {
		if err != nil {
			return info, err
		}
		if e.ID == info.Base {
			info.Diverged = false
			break
		}
		info.Ahead++
	}
	return info, nil
}
