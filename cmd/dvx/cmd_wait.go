package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/rpc"
)

func cmdWait(a *app) *cobra.Command {
	var timeout time.Duration
	var run string
	cmd := &cobra.Command{
		Use:   "wait [REPO[@BRANCH]]",
		Short: "Wait until every pipeline that depends on a branch is up to date, or follow a run",
		Long: `Wait until every pipeline that leads to a branch or depends on it, through any number of others, is up to date;
without an argument, until all are. With --run, wait until all that comes of one commit is over, telling on standard error
what each stage comes to. It fails with exit code 1 if a job failed.`,
		Example: `  dvx commit -m "new images" && dvx wait images
  dvx wait images@staging --timeout 10m
  dvx wait --run images@main`,
		Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeoutCause(ctx, timeout, errors.New("not up to date after "+timeout.String()))
				defer cancel()
			}
			switch {
			case run == "":
				return impatient(ctx, a.wait(ctx, args))
			case len(args) > 0:
				return usagef("--run says what to wait for: leave out %s", args[0])
			}
			return impatient(ctx, a.waitRun(ctx, run))
		},
	}
	cmd.Flags().StringVar(&run, "run", "", "wait for this run only: the ID of one or of a job, a pipeline, or a commit, as dvx run show takes it")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "give up after this long (0: never)")
	return cmd
}

// impatient says that the time is over, if that is why something failed.
func impatient(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil && errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w; is a daemon running on this store? (dvx serve)", cause)
	}
	return err
}

func (a *app) wait(ctx context.Context, args []string) error {
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	jobs, ctx, err := a.jobs(ctx)
	if err != nil {
		return err
	}
	name, branch, err := waitFor(ctx, s, args)
	if err != nil {
		return err
	}
	settled, err := waitSettled(ctx, s, jobs, nil, name, branch, a.impatience())
	if err != nil {
		return err
	}
	if err := settled.Err(); err != nil {
		return withReason(ctx, jobs, settled, err)
	}
	return a.print(map[string]bool{"settled": true}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, "up to date")
		return err
	})
}

// withReason adds to err why the first of the failed jobs failed, as far as
// history tells.
func withReason(ctx context.Context, jobs rpc.Jobs, st engine.Settlement, err error) error {
	if len(st.Failed) == 0 {
		return err
	}
	j, jerr := jobs.Job(ctx, st.Failed[0].ID.String())
	if jerr != nil || j.Reason == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, j.Reason)
}

// patience is how long dvx wait waits before it says for what.
const patience = 3 * time.Second

// impatience returns what says, once and after a while, what is waited for.
func (a *app) impatience() func(engine.Settlement) {
	from, said := time.Now(), false
	return func(st engine.Settlement) {
		if said || time.Since(from) < patience {
			return
		}
		said = true
		head := st.Pending[0].Head
		text := fmt.Sprintf("waiting for %s@%s", head.Name, head.Branch)
		if n := len(st.Pending) - 1; n > 0 {
			text += fmt.Sprintf(" and %d more", n)
		}
		if a.client == nil {
			text += "; a daemon has to run them (dvx serve), or dvx run does it here"
		}
		a.hint(text)
	}
}

// waitFor reads REPO[@BRANCH], which must exist.
func waitFor(ctx context.Context, s repo.Store, args []string) (name, branch string, err error) {
	if len(args) == 0 {
		return "", "", nil
	}
	ref, err := repo.ParseRef(args[0])
	if err != nil {
		return "", "", err
	}
	v, err := s.View(ctx)
	if err != nil {
		return "", "", err
	}
	r, ok := v.Repos[ref.Repo]
	if !ok {
		return "", "", fmt.Errorf("%s: %w", ref.Repo, repo.ErrRepoNotFound)
	}
	branch = ref.Name
	if branch == "" {
		branch = r.Default
	}
	_, isBranch := r.Branches[branch]
	_, isPipeline := r.Specs[branch]
	if !isBranch && !isPipeline {
		return "", "", fmt.Errorf("%s@%s: %w", ref.Repo, branch, repo.ErrRefNotFound)
	}
	return ref.Repo, branch, nil
}

// waitSettled looks again whenever the root has moved, or after a while: a
// failed job is noted with a move of the root too, but the daemon may be slow.
// It calls waiting each time that something is still to be done. Those of the
// jobs again that failed are to be done once more.
func waitSettled(ctx context.Context, s repo.Store, jobs rpc.Jobs, again []history.Job, name, branch string, waiting func(engine.Settlement)) (engine.Settlement, error) {
	observer := pipeline.NewObserver(s)
	for {
		view, err := s.View(ctx)
		if err != nil {
			return engine.Settlement{}, err
		}
		snap, err := observer.ObserveView(ctx, view)
		if err != nil {
			return engine.Settlement{}, err
		}
		list, err := jobList(ctx, jobs)
		if err != nil {
			return engine.Settlement{}, err
		}
		ledger := engine.NewLedger(list)
		ledger.Again(again)
		if st := engine.Settle(snap, ledger, name, branch); st.Settled() {
			return st, nil
		} else {
			waiting(st)
		}
		wctx, cancel := context.WithTimeout(ctx, time.Second)
		_, err = s.Watch(wctx, view.Gen)
		cancel()
		if ctx.Err() != nil {
			return engine.Settlement{}, ctx.Err()
		}
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return engine.Settlement{}, err
		}
	}
}

// jobList returns all jobs, oldest first.
func jobList(ctx context.Context, jobs rpc.Jobs) ([]history.Job, error) {
	var list []history.Job
	for j, err := range jobs.Jobs(ctx, "") {
		if err != nil {
			return nil, err
		}
		list = append(list, j)
	}
	slices.Reverse(list)
	return list, nil
}
