package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/rpc"
)

func cmdJob(a *app) *cobra.Command {
	var limit uint
	var asOf string
	cmd := &cobra.Command{Use: "job", Short: "List, inspect, cancel and rerun jobs", Args: cobra.NoArgs, RunE: showHelp}
	list := &cobra.Command{
		Use:     "list [PIPELINE]",
		Aliases: []string{"ls"},
		Short:   "List jobs, newest first",
		Long: `List jobs, newest first: of one pipeline, or of all. With --as-of, as they were then: which there were, and in which
state. With --json, one JSON object a line.`,
		Example: "  dvx job list wordcount -n 5\n  dvx job list --as-of 2026-11-20T09:00Z\n  dvx job list --as-of 2h",
		Args:    rangeArgs(0, 1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.jobList(cmd.Context(), args, asOf, limit) },
	}
	list.Flags().StringVar(&asOf, "as-of", "", "as they were at this time, or so long ago: 2026-11-20, 2026-11-20T09:00Z, 2h30m")
	list.Flags().UintVarP(&limit, "max-count", "n", 0, "stop after this many (0: list all)")
	inspect := &cobra.Command{
		Use:     "inspect JOB|PIPELINE",
		Short:   "Show one job, by the first 6 or more digits of its ID, or the newest of a pipeline",
		Example: "  dvx job inspect 3f9a01\n  dvx job inspect wordcount",
		Args:    exactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.jobInspect(cmd.Context(), args[0]) },
	}
	cmd.AddCommand(list, inspect)
	cmd.AddCommand(jobSteering(a)...)
	return cmd
}

// jobsOf returns the jobs of a pipeline, or of all, as they are or as they were.
func (a *app) jobsOf(ctx context.Context, name, asOf string) (iter.Seq2[history.Job, error], time.Time, error) {
	now := time.Now()
	if asOf == "" {
		jobs, ctx, err := a.jobs(ctx)
		if err != nil {
			return nil, now, err
		}
		return jobs.Jobs(ctx, name), now, nil
	}
	then, err := parseWhen(asOf, now)
	if err != nil {
		return nil, now, err
	}
	past, ctx, err := a.past(ctx)
	if err != nil {
		return nil, now, err
	}
	return past.JobsAt(ctx, name, then), then, nil
}

func (a *app) jobList(ctx context.Context, args []string, asOf string, limit uint) error {
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	jobs, now, err := a.jobsOf(ctx, name, asOf)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	var rows [][]string
	n := uint(0)
	for j, err := range jobs {
		if err != nil {
			return err
		}
		if a.json {
			if err := enc.Encode(j); err != nil {
				return err
			}
		} else {
			rows = append(rows, jobRow(j, now))
		}
		if n++; n == limit {
			break
		}
	}
	if a.json {
		return nil
	}
	return printTable(a.out, []string{"job", "pipeline", "branch", "state", "datums", "ran", "skipped", "failed", "recovered", "age", "took"}, rows)
}

func jobRow(j history.Job, now time.Time) []string {
	return []string{
		j.ID.Short(), j.Pipeline, j.Branch, string(j.State), count(j.Counts.Total), count(j.Counts.Ran), count(j.Counts.Hit),
		count(j.Counts.Failed), count(j.Counts.Recovered), age(j.Created, now), took(j.Created, j.Ended, now),
	}
}

func (a *app) jobInspect(ctx context.Context, id string) error {
	jobs, ctx, err := a.jobs(ctx)
	if err != nil {
		return err
	}
	j, err := findJob(ctx, jobs, id)
	if err != nil {
		return err
	}
	return a.print(j, func(w io.Writer) error {
		var b strings.Builder
		fmt.Fprintf(&b, "job       %s\npipeline  %s@%s\nstate     %s\n", j.ID, j.Pipeline, j.Branch, j.State)
		if j.Reason != "" {
			fmt.Fprintf(&b, "reason    %s\n", printable(j.Reason))
		}
		if j.By != "" {
			fmt.Fprintf(&b, "by        %s\n", printable(j.By))
		}
		if j.Run != "" {
			fmt.Fprintf(&b, "run       %.12s\n", j.Run)
		}
		fmt.Fprintf(&b, "spec      %s\n", j.Spec.Short())
		for _, in := range j.Inputs {
			fmt.Fprintf(&b, "input     %s = %s@%s at %s\n", in.Name, in.Repo, in.Branch, in.Commit.Short())
		}
		fmt.Fprintf(&b, "datums    %s: %s ran, %s skipped, %s failed, %s recovered\n",
			count(j.Counts.Total), count(j.Counts.Ran), count(j.Counts.Hit), count(j.Counts.Failed), count(j.Counts.Recovered))
		fmt.Fprintf(&b, "created   %s\ntook      %s\n", when(j.Created), took(j.Created, j.Ended, time.Now()))
		if !j.Output.IsZero() {
			fmt.Fprintf(&b, "output    %s@%s\n", j.Pipeline, j.Output.Short())
		}
		_, err := io.WriteString(w, b.String())
		return err
	})
}

// findJob finds a job by its ID, or the newest one of a pipeline.
func findJob(ctx context.Context, jobs rpc.Jobs, name string) (history.Job, error) {
	for j, err := range jobs.Jobs(ctx, name) {
		return j, err
	}
	j, err := jobs.Job(ctx, name)
	if errors.Is(err, fs.ErrInvalid) {
		return j, usagef("%q is neither a pipeline that has jobs nor the first 6 or more digits of a job's ID", name)
	}
	return j, err
}
