package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/daemon"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/repo"
)

func cmdRun(a *app) *cobra.Command {
	var slots int
	var o daemon.Options
	var verbose bool
	cmd := &cobra.Command{
		Use:     "run [REPO[@BRANCH]]",
		Aliases: []string{"repro"},
		Short:   "Run what the pipelines miss, without a daemon",
		Long: `Run what the pipelines miss, here and now, without a daemon, and end when all are up to date (or those that lead
to REPO@BRANCH or depend on it). The same engine, the same memo: what a daemon has run on this machine does not run again.
What failed before is tried again. It works on a store directly. It fails with exit code 1 if a job failed, or the file
of a URL input could not be had.`,
		Example: `  dvx commit -m "new images" && dvx run`,
		Args:    rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			level := slog.LevelError
			if verbose {
				level = slog.LevelDebug
			}
			log := slog.New(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level}))
			o.Log = log
			return a.runHere(cmd.Context(), args, slots, o)
		},
	}
	cmd.AddCommand(cmdRunSeeing(a)...)
	cmd.Flags().IntVar(&slots, "slots", runtime.NumCPU(), "programs that run at once")
	daemon.AddRunFlags(cmd.Flags(), &o)
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "log what the engine does")
	return cmd
}

func (a *app) runHere(ctx context.Context, args []string, slots int, o daemon.Options) (err error) {
	daemon.SpendMemory()
	if err := a.locate(); err != nil {
		return err
	}
	if a.server != "" {
		return usagef("dvx run works on a store directly; a daemon runs pipelines by itself: use dvx wait")
	}
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	name, branch, err := waitFor(ctx, s, args)
	if err != nil {
		return err
	}
	runner, release, err := a.runner(s, slots)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	jobs, ctx, err := a.jobs(ctx)
	if err != nil {
		return err
	}
	before, err := jobList(ctx, jobs)
	if err != nil {
		return err
	}
	o.Again = true
	c, err := daemon.NewController(a.direct, runner, &pipeline.MemoryJournal{}, o)
	if err != nil {
		return err
	}
	_, unfilled, err := c.Fill(ctx)
	if err != nil {
		return err
	}
	work, stop := context.WithCancel(ctx)
	defer stop()
	waiting, giveUp := context.WithCancelCause(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		giveUp(c.Run(work)) // whoever waits for an engine that has ended waits in vain
	}()
	settled, err := waitSettled(waiting, s, jobs, before, name, branch, func(engine.Settlement) {})
	cause := context.Cause(waiting)
	stop()
	<-ended
	if err != nil && cause != nil && ctx.Err() == nil {
		return fmt.Errorf("the engine stopped: %w", cause)
	}
	if err != nil {
		return err
	}
	if err := settled.Err(); err != nil {
		return errors.Join(withReason(ctx, jobs, settled, err), unfilledError(ctx, s, unfilled, name, branch))
	}
	if err := unfilledError(ctx, s, unfilled, name, branch); err != nil {
		return err
	}
	return a.print(map[string]bool{"settled": true}, func(w io.Writer) error {
		_, err := fmt.Fprintln(w, "up to date")
		return err
	})
}

// unfilledError says which inputs, of pipelines that lead to a branch or depend
// on it, could not be brought up to date. It is of no kind: that a file is not
// found elsewhere is a failure here.
func unfilledError(ctx context.Context, s repo.Store, unfilled []pipeline.Unfilled, name, branch string) error {
	if len(unfilled) == 0 {
		return nil
	}
	snap, err := pipeline.NewObserver(s).Observe(ctx)
	if err != nil {
		return err
	}
	var errs []error
	for _, u := range unfilled {
		if snap.Related(u.Pipeline, u.Branch, name, branch) {
			errs = append(errs, errors.New(u.Err.Error()))
		}
	}
	return errors.Join(errs...)
}
