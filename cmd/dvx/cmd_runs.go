package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/daemon"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/explain"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/local"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/rpc"
)

// past returns what happened in the store: through the daemon with --server,
// else as far as it is published.
func (a *app) past(ctx context.Context) (rpc.Past, context.Context, error) {
	_, ctx, err := a.open(ctx)
	if err != nil {
		return nil, ctx, err
	}
	if a.client != nil {
		return a.client.Past(), ctx, nil
	}
	return daemon.NewExplainer(a.direct, pipeline.OpenJobs(a.direct, local.Scope()), nil, nil), ctx, nil
}

// parseWhen reads a time, or how long ago it was.
func parseWhen(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	t, err := repo.ParseAt(s)
	if err != nil {
		return t, usagef("%q is no time: want one as 2026-11-20T09:00Z, or how long ago it was, as 2h30m", s)
	}
	return t, nil
}

// cmdRunSeeing returns the verbs of dvx run that only look.
func cmdRunSeeing(a *app) []*cobra.Command {
	var limit uint
	list := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the runs, newest first",
		Long: `List the runs, newest first. A run is all that came of one commit by a user, through the whole graph of pipelines: its
jobs have one run ID. With --json, one JSON object a line.`,
		Example: "  dvx run list -n 5",
		Args:    exactArgs(0),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.runList(cmd.Context(), limit) },
	}
	list.Flags().UintVarP(&limit, "max-count", "n", 0, "stop after this many (0: list all)")
	show := &cobra.Command{
		Use: "show RUN|JOB|PIPELINE|REF", Aliases: []string{"inspect"}, Short: "Show a run: all its stages with their jobs, states, counts and times",
		Long: `Show all that came of one commit: each stage of the graph with its job, state, datums and times, upstream first, what
waits for others included. Name it by the first 6 or more digits of its ID or of a job's, by a pipeline, whose newest run
it is, or by the commit itself.`,
		Example: "  dvx run show images@main\n  dvx run show 3f9a01 --json",
		Args:    exactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.runShow(cmd.Context(), args[0]) },
	}
	return []*cobra.Command{list, show}
}

func (a *app) runList(ctx context.Context, limit uint) error {
	past, ctx, err := a.past(ctx)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	var rows [][]string
	n := uint(0)
	for r, err := range past.Runs(ctx) {
		if err != nil {
			return err
		}
		if a.json {
			err = enc.Encode(r)
		} else {
			rows = append(rows, runRow(r))
		}
		if err != nil {
			return err
		}
		if n++; n == limit {
			break
		}
	}
	if a.json {
		return nil
	}
	return printTable(a.out, []string{"run", "origin", "state", "stages", "datums", "ran", "skipped", "failed", "recovered", "age", "took"}, rows)
}

func runRow(r explain.Run) []string {
	now := time.Now()
	return []string{
		fmt.Sprintf("%.12s", r.ID), originText(r), r.State, count(int64(len(r.Stages))), count(r.Counts.Total), count(r.Counts.Ran),
		count(r.Counts.Hit), count(r.Counts.Failed), count(r.Counts.Recovered), age(r.Created, now), took(r.Created, r.Ended, now),
	}
}

// originText names the commits that a run begins with.
func originText(r explain.Run) string {
	var all []string
	for _, o := range r.Origins {
		all = append(all, o.Repo+"@"+cmp.Or(o.Branch, "?")+" "+o.Commit.Short())
	}
	return strings.Join(all, ", ")
}

func (a *app) runShow(ctx context.Context, name string) error {
	past, ctx, err := a.past(ctx)
	if err != nil {
		return err
	}
	r, err := past.Run(ctx, name)
	if err != nil {
		return err
	}
	return a.print(r, func(w io.Writer) error { return printRun(w, r) })
}

func printRun(w io.Writer, r explain.Run) error {
	now := time.Now()
	var b strings.Builder
	fmt.Fprintf(&b, "run       %s\norigin    %s\nstate     %s\ncreated   %s\ntook      %s\n", r.ID, cmp.Or(originText(r), "-"), r.State, when(r.Created), took(r.Created, r.Ended, now))
	var states []string
	for _, state := range slices.Sorted(maps.Keys(r.Datums)) {
		states = append(states, count(r.Datums[state])+" "+state)
	}
	fmt.Fprintf(&b, "datums    %s\n\n", cmp.Or(strings.Join(states, ", "), "none"))
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	var rows [][]string
	for _, s := range r.Stages {
		out := "-"
		if !s.Output.IsZero() {
			out = s.Output.Short()
		}
		rows = append(rows, []string{
			s.Pipeline + "@" + s.Branch, shortJob(s.Job), s.State, count(s.Counts.Total), count(s.Counts.Ran), count(s.Counts.Hit), count(s.Counts.Failed), count(s.Counts.Recovered),
			took(s.Created, s.Ended, now), out, s.Reason,
		})
	}
	return printTable(w, []string{"stage", "job", "state", "datums", "ran", "skipped", "failed", "recovered", "took", "output", "reason"}, rows)
}

// waitRun follows a run until it is over, and fails if a stage of it has.
func (a *app) waitRun(ctx context.Context, name string) error {
	past, ctx, err := a.past(ctx)
	if err != nil {
		return err
	}
	var last explain.Run
	shown := map[string]string{}
	for r, err := range past.Watch(ctx, name) {
		if err != nil {
			return err
		}
		last = r
		a.tellStages(r, shown)
	}
	for _, s := range last.Stages {
		if state := history.State(s.State); last.State != string(history.Done) && (state == history.Failed || state == history.Killed || s.State == explain.StageUnrunnable) {
			text := fmt.Sprintf("run %.12s %s: %s@%s is %s", last.ID, last.State, s.Pipeline, s.Branch, s.State)
			if s.Reason != "" {
				text += ": " + s.Reason
			}
			if !s.Job.IsZero() {
				text += "; see dvx logs " + s.Job.Short()
			}
			return fmt.Errorf("%s", text)
		}
	}
	return a.print(last, func(w io.Writer) error { return printRun(w, last) })
}

// tellStages says on standard error which stages have come to another state.
func (a *app) tellStages(r explain.Run, shown map[string]string) {
	for _, s := range r.Stages {
		key := s.Pipeline + "@" + s.Branch + " " + s.Job.String()
		if shown[key] == s.State || a.json {
			continue
		}
		shown[key] = s.State
		a.say(fmt.Sprintf("%s@%s: %s", s.Pipeline, s.Branch, s.State))
	}
}
