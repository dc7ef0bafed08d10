package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/rpc"
)

// cmdRetry returns job rerun and job retry, which are the same.
func cmdRetry(a *app, name string) *cobra.Command {
	var datums []string
	cmd := &cobra.Command{
		Use:   name + " JOB|PIPELINE",
		Short: "Try the datums of a job again that have no result",
		Long: `Evaluate a job that is over once more. Datums with a result are not run again, so after a failure only the failed ones
are; with --datum only those that are named, and the others stay as they are. The job must be of the newest inputs of its
pipeline. It needs a daemon (--server).`,
		Example: "  dvx job " + name + " wordcount\n  dvx job " + name + " 3f9a01 --datum images:/2026/a.png",
		Args:    exactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.retry(cmd.Context(), args[0], datums) },
	}
	cmd.Flags().StringArrayVar(&datums, "datum", nil, "only this datum, as dvx datum list names it; repeatable")
	return cmd
}

func cmdDatumRetry(a *app) *cobra.Command {
	var failed bool
	cmd := &cobra.Command{
		Use:   "retry JOB|PIPELINE [DATUM...]",
		Short: "Try failed datums of a job again, and no others",
		Long: `Try failed datums of a job that is over again: those that are named, or with --failed all. Nothing else runs, and the
output is published as one if all is well then. The job must be of the newest inputs of its pipeline. It needs a daemon
(--server).`,
		Example: "  dvx datum retry wordcount docs:/a.txt docs:/b.txt\n  dvx datum retry 3f9a01 --failed",
		Args:    minArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if failed == (len(args) > 1) {
				return usagef("name the datums, or say --failed for all that failed")
			}
			return a.retry(cmd.Context(), args[0], args[1:])
		},
	}
	cmd.Flags().BoolVar(&failed, "failed", false, "all that failed")
	return cmd
}

func cmdDatumCancel(a *app) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "cancel JOB|PIPELINE DATUM...",
		Short: "End datums of a job that is under way, and nothing else of it",
		Long: `End datums of a job that wait or run: their programs are killed, and who did it and why is recorded with them. For the
job they are datums that failed: it goes on with the others, and fails in the end unless the spec's max_failed allows it.
dvx datum retry tries them again. It needs a daemon (--server).`,
		Example: "  dvx datum cancel wordcount docs:/huge.txt --reason 'not this one'",
		Args:    minArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.steer(cmd.Context(), args[0], plural(len(args)-1, "datum")+" cancelled", func(ctx context.Context, s rpc.Steering, id history.JobID) error {
				return s.CancelDatums(ctx, id, args[1:], reason)
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for people")
	return cmd
}

// retry has datums of a job tried again; none named: all without a result.
func (a *app) retry(ctx context.Context, job string, datums []string) error {
	return a.steer(ctx, job, "started again", func(ctx context.Context, s rpc.Steering, id history.JobID) error {
		return s.Rerun(ctx, id, datums)
	})
}
