package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/pipeline/explain"
)

func cmdEvents(a *app) *cobra.Command {
	var q explain.EventQuery
	var since, until, of string
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Tell what happened to pipelines and jobs, oldest first",
		Long: `Tell what happened, oldest first: new versions of pipelines, jobs and the states they came to, with --datums each
attempt at a datum, and what the engine noted. It is read from the store, so it is there however often daemons were
replaced. With --as-of it ends at a time; dvx job list --as-of and dvx pipeline list --as-of show the states then. With
--json, one JSON object a line.`,
		Example: `  dvx events --since 24h
  dvx events --pipeline wordcount@main --datums
  dvx events --as-of 2026-11-20T09:00Z
  dvx events --follow --json`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			q.Pipeline, q.Branch, _ = strings.Cut(of, "@")
			return a.events(cmd.Context(), q, since, until)
		},
	}
	f := cmd.Flags()
	f.StringVar(&since, "since", "", "from this time on, or from so long ago: 2026-11-20T09:00Z, 2h30m")
	f.StringVar(&until, "as-of", "", "to this time, or to so long ago")
	f.StringVar(&of, "pipeline", "", "only of this PIPELINE[@BRANCH]")
	f.BoolVar(&q.Datums, "datums", false, "also the attempts at datums")
	f.BoolVarP(&q.Follow, "follow", "f", false, "go on with what happens, until interrupted")
	return cmd
}

func (a *app) events(ctx context.Context, q explain.EventQuery, since, until string) error {
	now := time.Now()
	for _, t := range []struct {
		text string
		to   *time.Time
	}{{since, &q.Since}, {until, &q.Until}} {
		if t.text == "" {
			continue
		}
		var err error
		if *t.to, err = parseWhen(t.text, now); err != nil {
			return err
		}
	}
	past, ctx, err := a.past(ctx)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	for e, err := range past.Events(ctx, q) {
		if err != nil {
			return err
		}
		if a.json {
			err = enc.Encode(e)
		} else {
			_, err = fmt.Fprintln(a.out, eventText(e))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// eventText says an event on one line.
func eventText(e explain.Event) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %-18s", when(e.Time), e.Kind)
	if e.Pipeline != "" {
		fmt.Fprintf(&b, "  %s@%s", e.Pipeline, e.Branch)
	}
	if !e.Job.IsZero() {
		fmt.Fprintf(&b, "  job %s", e.Job.Short())
	}
	if e.Datum != "" {
		fmt.Fprintf(&b, "  %s #%d", e.Datum, e.Attempt)
	}
	if e.By != "" {
		fmt.Fprintf(&b, "  by %s", e.By)
	}
	if e.Text != "" {
		fmt.Fprintf(&b, "  %s", e.Text)
	}
	return strings.TrimRight(strings.ReplaceAll(printable(b.String()), "\n", " "), " ")
}
