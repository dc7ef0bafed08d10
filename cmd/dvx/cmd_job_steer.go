package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/rpc"
)

// jobSteering returns the verbs that change what an engine does.
func jobSteering(a *app) []*cobra.Command {
	var reason string
	var cascade bool
	cancel := &cobra.Command{
		Use:   "cancel JOB|PIPELINE",
		Short: "End a job that is under way",
		Long: `End a job that is under way: its programs are killed, and what was finished stays known. Who cancelled it and why is
recorded with the job. It is not started again by itself; dvx job rerun does that, or a new input. It needs a daemon
(--server).`,
		Example: "  dvx job cancel 3f9a01 --reason 'wrong model'\n  dvx job cancel wordcount --cascade",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.steer(cmd.Context(), args[0], "cancelled", func(ctx context.Context, s rpc.Steering, id history.JobID) error {
				return s.Cancel(ctx, id, reason, cascade)
			})
		},
	}
	cancel.Flags().StringVar(&reason, "reason", "", "why, for people")
	cancel.Flags().BoolVar(&cascade, "cascade", false, "also the jobs of pipelines that depend on it")
	return []*cobra.Command{cancel, cmdRetry(a, "rerun"), cmdRetry(a, "retry")}
}

// steer does something to a job and says so.
func (a *app) steer(ctx context.Context, id, done string, do func(context.Context, rpc.Steering, history.JobID) error) error {
	jobs, ctx, err := a.jobs(ctx)
	if err != nil {
		return err
	}
	s, ok := jobs.(rpc.Steering)
	if !ok {
		return fmt.Errorf("no engine to ask: name the daemon that runs the pipelines with --server: %w", fs.ErrInvalid)
	}
	j, err := findJob(ctx, jobs, id)
	if err != nil {
		return err
	}
	if err := do(ctx, s, j.ID); err != nil {
		return err
	}
	return a.print(map[string]string{"job": j.ID.String(), "done": done}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "job %s of %s@%s: %s\n", j.ID.Short(), j.Pipeline, j.Branch, done)
		return err
	})
}
