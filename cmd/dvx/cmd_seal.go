package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

func cmdSeal(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "seal REPO@BRANCH",
		Short: "Make what was written to a branch's open commit its next version",
		Long: `Make what S3 clients and dvx put --open have written to a branch its next version, which pipelines see. A branch
without such writes stays as it is. A daemon seals by itself: two seconds after the last write, or a minute after the
first, or when a file _SUCCESS is written. Commits, resets and deletions of the branch seal it first.`,
		Example: "  dvx seal images@main",
		Args:    exactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.seal(cmd.Context(), args[0]) },
	}
}

// sealInfo is what seal prints with --json.
type sealInfo struct {
	Repo   string    `json:"repo"`
	Branch string    `json:"branch"`
	Commit commit.ID `json:"commit"` // zero if the branch is empty
	Sealed int64     `json:"sealed"` // writes
}

func (a *app) seal(ctx context.Context, at string) error {
	name, branch, err := splitBranch(at)
	if err != nil {
		return err
	}
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	before, err := s.View(ctx)
	if err != nil {
		return err
	}
	writes := before.Open[repo.OpenKey(name, branch)].Writes
	if err := a.move(ctx, repo.Seal{Repo: name, Branch: branch}); err != nil {
		return err
	}
	after, err := s.View(ctx)
	if err != nil {
		return err
	}
	info := sealInfo{Repo: name, Branch: branch, Commit: after.Repos[name].Branches[branch].Commit, Sealed: writes}
	return a.print(info, func(w io.Writer) error {
		if writes == 0 {
			_, err := fmt.Fprintf(w, "%s: nothing to seal, it is at %s\n", at, shortCommit(info.Commit))
			return err
		}
		_, err := fmt.Fprintf(w, "%s: %s sealed as %s\n", at, plural(int(writes), "write"), shortCommit(info.Commit))
		return err
	})
}

// putOpen writes one file to the open commit of a branch.
func (p *putter) putOpen(ctx context.Context, name, branch string, exec bool, in io.Reader) error {
	var err error
	if d, ok := p.store.(*repo.Direct); ok {
		err = p.putDirect(ctx, d, repo.OpenWrite{Repo: name, Branch: branch}, exec, in)
	} else {
		err = p.app.client.PutOpen(ctx, p.ref+":/"+p.path, in)
	}
	if err != nil {
		return err
	}
	return p.app.done(nil, "written", p.ref+":/"+p.path)
}

func (p *putter) putDirect(ctx context.Context, d *repo.Direct, o repo.OpenWrite, exec bool, in io.Reader) (err error) {
	w := repo.NewWriter(ctx, d, repo.WriterOptions{Manual: true})
	defer func() {
		if cerr := w.Close(); err == nil {
			err = cerr
		}
	}()
	u, err := w.Upload(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = u.Close() }()
	content, err := u.Content(ctx, in)
	if err != nil {
		return err
	}
	if p.flags.commit.op != "" {
		if o.Op, err = opID(p.flags.commit.op); err != nil {
			return err
		}
	}
	o.Edits = []repo.OpenEdit{{Path: p.path, Entry: &tree.Entry{Kind: tree.File, Exec: exec, Content: content}}}
	_, err = u.Write(ctx, o)
	return err
}

func cmdSealing(a *app) *cobra.Command {
	var idle, age time.Duration
	var s repo.Sealing
	cmd := &cobra.Command{
		Use:   "sealing REPO@BRANCH",
		Short: "Say when a branch's open writes become a version by themselves",
		Long: `Say when what was written to a branch's open commit becomes a version by itself; what is not said is left to the
daemon. Without any flag all of it is. It holds for all daemons of the store.`,
		Example: `  dvx branch sealing images@main --idle 10s --age 5m
  dvx branch sealing images@main --marker DONE`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, branch, err := splitBranch(args[0])
			if err != nil {
				return err
			}
			s.Idle, s.Age = idle.Milliseconds(), age.Milliseconds()
			op := repo.SetSealing{Repo: name, Branch: branch, Sealing: &s}
			if s == (repo.Sealing{}) {
				op.Sealing = nil
			}
			return a.done(a.move(cmd.Context(), op), "set", args[0])
		},
	}
	f := cmd.Flags()
	f.DurationVar(&idle, "idle", 0, "after this long without a write (default of daemons: 2s)")
	f.DurationVar(&age, "age", 0, "this long after the first write (default of daemons: 1m)")
	f.Int64Var(&s.Writes, "writes", 0, "after this many writes (default of daemons: 100,000)")
	f.StringVar(&s.Marker, "marker", "", "when a file of this name is written (default of daemons: _SUCCESS); - for none")
	return cmd
}
