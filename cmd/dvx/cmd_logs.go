package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/rpc"
)

// logFlags are the flags of dvx logs.
type logFlags struct {
	rpc.LogQuery
	all bool
}

func cmdLogs(a *app) *cobra.Command {
	var f logFlags
	cmd := &cobra.Command{
		Use:   "logs JOB|PIPELINE",
		Short: "Show what the user code of a job printed",
		Long: `Show what the user code of a job printed, datum by datum and attempt by attempt, failed ones too; of a pipeline's
newest job if a pipeline is named, of all its jobs with --all. A second attempt is marked as "DATUM #2". A skipped datum
shows the log of the run whose result it shares. Through a daemon (--server) what running programs have printed so far
is there too, and with --follow it goes on, line by line, until the job is over. (What Pods run shows up when an attempt
has ended.)`,
		Example: `  dvx logs wordcount
  dvx logs wordcount --follow
  dvx logs wordcount --all --grep 'out of memory'
  dvx logs 3f9a01 --datum images:/2026/a.csv --attempt 2`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.logs(cmd.Context(), args[0], f) },
	}
	cmd.Flags().StringVar(&f.Datum, "datum", "", "only this datum, as dvx datum list names it")
	cmd.Flags().IntVar(&f.Attempt, "attempt", 0, "only the attempt of this number (0: all)")
	cmd.Flags().StringVar(&f.Grep, "grep", "", "only lines that match this regular expression")
	cmd.Flags().BoolVarP(&f.Follow, "follow", "f", false, "go on until the job is over")
	cmd.Flags().BoolVar(&f.all, "all", false, "of all jobs of the pipeline, newest first")
	return cmd
}

func (a *app) logs(ctx context.Context, name string, f logFlags) error {
	if f.all && f.Follow {
		return usagef("--all and --follow can't go together: a job is followed")
	}
	jobs, ctx, err := a.jobs(ctx)
	if err != nil {
		return err
	}
	job, err := findJob(ctx, jobs, name)
	if err != nil {
		return err
	}
	wanted := []history.Job{job}
	if f.all {
		wanted = nil
		for j, err := range jobs.Jobs(ctx, name) {
			if err != nil {
				return err
			}
			wanted = append(wanted, j)
		}
	}
	for _, j := range wanted {
		f.Job = j.ID
		if err := a.jobLog(ctx, jobs, j, f); err != nil {
			return err
		}
	}
	return nil
}

// jobLog prints the log of a job, each line with the datum's identity.
func (a *app) jobLog(ctx context.Context, jobs rpc.Jobs, j history.Job, f logFlags) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	for p, err := range jobs.Logs(ctx, f.LogQuery) {
		if f.Datum != "" && errors.Is(err, fs.ErrNotExist) {
			return usagef("job %s has no datum %q; dvx datum list %s shows them", j.ID.Short(), f.Datum, j.ID.Short())
		}
		if err != nil {
			return err
		}
		for line := range bytes.Lines(p.Data) {
			line = bytes.TrimSuffix(line, []byte("\n"))
			if a.json {
				err = enc.Encode(logLine{Job: j.ID, Datum: p.Datum, Attempt: p.Attempt, Line: string(line)})
			} else {
				err = a.logLine(j, p, f.all, string(line))
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// logLine is a line of a log as --json prints it.
type logLine struct {
	Job     history.JobID `json:"job"`
	Datum   string        `json:"datum"`
	Attempt int           `json:"attempt,omitempty"`
	Line    string        `json:"line"`
}

func (a *app) logLine(j history.Job, p rpc.LogPiece, withJob bool, line string) error {
	head := p.Datum
	if p.Attempt > 1 {
		head += fmt.Sprintf(" #%d", p.Attempt)
	}
	if withJob {
		head = j.ID.Short() + " " + head
	}
	_, err := fmt.Fprintf(a.out, "%s | %s\n", printable(head), printable(line))
	return err
}
