package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/pipeline/explain"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

func cmdDatum(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "datum", Short: "List, inspect, cancel and retry the datums of a job, or those that an input would have", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(cmdDatumList(a), cmdDatumInspect(a), cmdDatumPreview(a), cmdDatumRetry(a), cmdDatumCancel(a))
	return cmd
}

// datumStates are the states that dvx datum list shows, in the order in which a
// datum may come to them.
func datumStates() []string {
	return []string{
		"skipped", "planned", "running", "reported", "accepted", "retry-wait",
		"succeeded", "failed", "timed-out", "crashed", "cancelled", "recovered",
	}
}

func cmdDatumList(a *app) *cobra.Command {
	var states []string
	var limit uint
	cmd := &cobra.Command{
		Use:     "list JOB|PIPELINE",
		Aliases: []string{"ls"},
		Short:   "List the datums of a job with their states",
		Long: `List the datums of a job with their states: skipped ones had a result already. Of a pipeline it is the newest job. With
--state only those in one of some states: ` + strings.Join(datumStates(), ", ") + `.
With --json, one JSON object a line.`,
		Example: "  dvx datum list 3f9a01\n  dvx datum list wordcount --state failed,timed-out",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, s := range states {
				if !slices.Contains(datumStates(), s) {
					return usagef("--state %.40q: want one of %s", s, strings.Join(datumStates(), ", "))
				}
			}
			return a.datumList(cmd.Context(), args[0], states, limit)
		},
	}
	cmd.Flags().StringSliceVar(&states, "state", nil, "only datums in one of these states, with commas between them; repeatable")
	cmd.Flags().UintVarP(&limit, "max-count", "n", 0, "stop after this many (0: list all)")
	return cmd
}

func (a *app) datumList(ctx context.Context, id string, states []string, limit uint) error {
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
	n := uint(0)
	for d, err := range jobs.Datums(ctx, j.ID) {
		if err != nil {
			return err
		}
		if len(states) > 0 && !slices.Contains(states, d.State) {
			continue
		}
		if n++; limit > 0 && n > limit {
			break
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

func cmdDatumInspect(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "inspect JOB|PIPELINE DATUM",
		Short: "Show all that is known of a datum: inputs, attempts with their figures, and why it ran",
		Long: `Show all that is known of a datum of a job, or of a pipeline's newest one: what it sees of its inputs, its memo key,
each attempt with where its time went and what it used, and why it ran. A skipped datum has no attempts: the run whose
result it shares is shown.`,
		Example: "  dvx datum inspect wordcount texts:/a.txt\n  dvx datum inspect 3f9a01 texts:/a.txt --json",
		Args:    exactArgs(2),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.datumInspect(cmd.Context(), args[0], args[1]) },
	}
}

func (a *app) datumInspect(ctx context.Context, name, identity string) (err error) {
	e, _, release, err := a.explainer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	jobs, ctx, err := a.jobs(ctx)
	if err != nil {
		return err
	}
	job, err := findJob(ctx, jobs, name)
	if err != nil {
		return err
	}
	d, err := e.Detail(ctx, job, identity)
	if err != nil {
		return err
	}
	return a.print(d, func(w io.Writer) error { return printDetail(w, d) })
}

func printDetail(w io.Writer, d explain.Detail) error {
	var b strings.Builder
	fmt.Fprintf(&b, "datum     %s\njob       %s of %s@%s\nkey       %s\nstate     %s\n", printable(d.Identity), d.Job.Short(), d.Pipeline, d.Branch, d.Key, d.State)
	if d.Reason != "" {
		fmt.Fprintf(&b, "reason    %s\n", printable(d.Reason))
	}
	for _, in := range d.Inputs {
		fmt.Fprintf(&b, "input     %s = %s@%s at %s, %s\n", in.Name, in.Repo, in.Branch, in.Commit.Short(), size(in.Bytes))
		for _, p := range in.Paths {
			fmt.Fprintf(&b, "            %s\n", shownPath(p))
		}
	}
	tries := d.Tries
	if len(tries) == 0 && !d.Last.Started.IsZero() {
		tries = []history.Attempt{d.Last}
		b.WriteString("skipped: the run whose result it shares was\n")
	}
	for _, t := range tries {
		printAttempt(&b, t)
	}
	if _, err := io.WriteString(w, b.String()+"\nwhy it ran or not\n"); err != nil {
		return err
	}
	return printAnswer(w, d.Why)
}

func printAttempt(b *strings.Builder, t history.Attempt) {
	name := "attempt   "
	if t.Attempt > 0 {
		name = fmt.Sprintf("attempt %d ", t.Attempt)
	}
	fmt.Fprintf(b, "%s%s, exit status %d, at %s, took %s\n", name, t.Outcome, t.Exit, when(t.Started), took(t.Started, t.Ended, t.Ended))
	if t.Reason != "" {
		fmt.Fprintf(b, "            %s\n", printable(t.Reason))
	}
	if t.By != "" {
		fmt.Fprintf(b, "            stopped by %s\n", printable(t.By))
	}
	if s := t.Stats; s != (history.Stats{}) {
		fmt.Fprintf(b, "            queued %s, fetched %s in %s, ran %s, stored %s in %s\n",
			short(s.Queue), size(s.BytesIn), short(s.Fetch), short(s.Run), size(s.BytesOut), short(s.Store))
		fmt.Fprintf(b, "            CPU %s, at most %s of memory\n", short(s.CPU), size(s.RSSMax))
	}
}

// short prints a duration with as many digits as matter.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < time.Second:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}
