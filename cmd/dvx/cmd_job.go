package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/rpc"
)

func cmdJob(a *app) *cobra.Command {
	var limit uint
	cmd := &cobra.Command{Use: "job", Short: "List, inspect, cancel and rerun jobs", Args: cobra.NoArgs, RunE: showHelp}
	list := &cobra.Command{
		Use:     "list [PIPELINE]",
		Aliases: []string{"ls"},
		Short:   "List jobs, newest first",
		Long:    "List jobs, newest first: of one pipeline, or of all. With --json, one JSON object a line.",
		Example: "  dvx job list wordcount -n 5",
		Args:    rangeArgs(0, 1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.jobList(cmd.Context(), args, limit) },
	}
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

func (a *app) jobList(ctx context.Context, args []string, limit uint) error {
	jobs, ctx, err := a.jobs(ctx)
	if err != nil {
		return err
	}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	var rows [][]string
	n := uint(0)
	for j, err := range jobs.Jobs(ctx, name) {
		if err != nil {
			return err
		}
		if a.json {
			if err := enc.Encode(j); err != nil {
				return err
			}
		} else {
			rows = append(rows, jobRow(j))
		}
		if n++; n == limit {
			break
		}
	}
	if a.json {
		return nil
	}
	return printTable(a.out, []string{"job", "pipeline", "branch", "state", "datums", "ran", "skipped", "failed", "age", "took"}, rows)
}

func jobRow(j history.Job) []string {
	return []string{
		j.ID.Short(), j.Pipeline, j.Branch, string(j.State), count(j.Counts.Total), count(j.Counts.Ran), count(j.Counts.Hit),
		count(j.Counts.Failed), age(j.Created, time.Now()), took(j.Created, j.Ended, time.Now()),
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
		fmt.Fprintf(&b, "spec      %s\n", j.Spec.Short())
		for _, in := range j.Inputs {
			fmt.Fprintf(&b, "input     %s = %s@%s at %s\n", in.Name, in.Repo, in.Branch, in.Commit.Short())
		}
		fmt.Fprintf(&b, "datums    %s: %s ran, %s skipped, %s failed\n", count(j.Counts.Total), count(j.Counts.Ran), count(j.Counts.Hit), count(j.Counts.Failed))
		fmt.Fprintf(&b, "created   %s\ntook      %s\n", when(j.Created), took(j.Created, j.Ended, time.Now()))
		if !j.Output.IsZero() {
			fmt.Fprintf(&b, "output    %s@%s\n", j.Pipeline, j.Output.Short())
		}
		_, err := io.WriteString(w, b.String())
		return err
	})
}

func cmdDatum(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "datum", Short: "List the datums of a job, or those that an input would have", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(&cobra.Command{
		Use:     "list JOB|PIPELINE",
		Aliases: []string{"ls"},
		Short:   "List the datums of a job with their states",
		Long:    "List the datums of a job with their states: skipped ones had a result already. Of a pipeline it is the newest job. With --json, one JSON object a line.",
		Example: "  dvx datum list 3f9a01\n  dvx datum list wordcount",
		Args:    exactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.datumList(cmd.Context(), args[0]) },
	})
	cmd.AddCommand(cmdDatumPreview(a), cmdDatumRetry(a))
	return cmd
}

func (a *app) datumList(ctx context.Context, id string) error {
	jobs, ctx, err := a.jobs(ctx)
	if err != nil {
		return err
	}
	j, err := findJob(ctx, jobs, id)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(a.out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	var rows [][]string
	for d, err := range jobs.Datums(ctx, j.ID) {
		if err != nil {
			return err
		}
		if a.json {
			if err := enc.Encode(d); err != nil {
				return err
			}
			continue
		}
		ran := "-"
		if d.Attempts > 0 {
			ran = took(d.Last.Started, d.Last.Ended, time.Now())
		}
		rows = append(rows, []string{d.Identity, d.State, strconv.Itoa(d.Attempts), ran, d.Key.Short(), d.Reason})
	}
	if a.json {
		return w.Flush()
	}
	if err := printTable(w, []string{"datum", "state", "attempts", "took", "key", "reason"}, rows); err != nil {
		return err
	}
	return w.Flush()
}

func cmdLogs(a *app) *cobra.Command {
	var datum string
	cmd := &cobra.Command{
		Use:   "logs JOB|PIPELINE",
		Short: "Show what the user code of a job printed",
		Long: `Show what the user code of a job printed, datum by datum; of a pipeline's newest job if a pipeline is named.
A skipped datum shows the log of the run whose result it shares.`,
		Example: `  dvx logs wordcount
  dvx logs 3f9a01 --datum images:/2026/a.csv`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.logs(cmd.Context(), args[0], datum) },
	}
	cmd.Flags().StringVar(&datum, "datum", "", "only this datum, as dvx datum list names it")
	return cmd
}

func (a *app) logs(ctx context.Context, name, datum string) error {
	jobs, ctx, err := a.jobs(ctx)
	if err != nil {
		return err
	}
	job, err := findJob(ctx, jobs, name)
	if err != nil {
		return err
	}
	found := false
	for d, err := range jobs.Datums(ctx, job.ID) {
		if err != nil {
			return err
		}
		if datum != "" && d.Identity != datum {
			continue
		}
		found = true
		if err := a.datumLog(ctx, jobs, d); err != nil {
			return err
		}
	}
	if !found && datum != "" {
		return usagef("job %s has no datum %q; dvx datum list %s shows them", job.ID.Short(), datum, job.ID.Short())
	}
	return nil
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

// datumLog prints the log of one datum, each line with the datum's identity.
func (a *app) datumLog(ctx context.Context, jobs rpc.Jobs, d rpc.DatumState) error {
	r, err := jobs.Log(ctx, d)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadString('\n')
		if line != "" {
			line = strings.TrimSuffix(line, "\n")
			var werr error
			if a.json {
				werr = enc.Encode(map[string]string{"job": d.Job.String(), "datum": d.Identity, "line": line})
			} else {
				_, werr = fmt.Fprintf(a.out, "%s | %s\n", printable(d.Identity), printable(line))
			}
			if werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
