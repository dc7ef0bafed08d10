package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/daemon"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/rpc"
)

func cmdCache(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "cache", Short: "Look after the results that are remembered", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(&cobra.Command{
		Use: "stats", Short: "Count the results that are remembered, and how often they were of use",
		Long: `Count the results that are remembered, by trust scope (whose programs gave them: the host and user of local
processes), and of all jobs so far how many datums ran and how many had a result already.`,
		Example: "  dvx cache stats --json", Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return a.cacheStats(cmd.Context()) },
	}, cmdCacheVerify(a))
	return cmd
}

// cacheStats is what dvx cache stats tells.
func (a *app) cacheStats(ctx context.Context) error {
	c, ctx, release, err := a.cache(ctx, false)
	if err != nil {
		return err
	}
	st, err := c.Stats(ctx)
	if err = errors.Join(err, release()); err != nil {
		return err
	}
	jobs, ctx, err := a.jobs(ctx)
	if err != nil {
		return err
	}
	var ran, hits int64
	for j, err := range jobs.Jobs(ctx, "") {
		if err != nil {
			return err
		}
		ran, hits = ran+j.Counts.Ran, hits+j.Counts.Hit
	}
	out := map[string]any{"results": st, "ran": ran, "skipped": hits}
	return a.print(out, func(w io.Writer) error {
		var b strings.Builder
		fmt.Fprintf(&b, "results   %s in %s (%s), %s not yet published\n", count(st.Records), plural(st.Segments, "segment"), size(st.Bytes), count(int64(st.Pending)))
		for _, scope := range slices.Sorted(maps.Keys(st.Scopes)) {
			name := scope
			if name == "" {
				name = "everybody"
			}
			fmt.Fprintf(&b, "  %s of %s\n", count(st.Scopes[scope]), printable(name))
		}
		fmt.Fprintf(&b, "jobs      %s datums ran, %s were skipped\n", count(ran), count(hits))
		_, err := io.WriteString(w, b.String())
		return err
	})
}

// cache returns what looks after the results: through the daemon with --server,
// else here, able to run programs if asked for. release ends it.
func (a *app) cache(ctx context.Context, runs bool) (c rpc.Cache, _ context.Context, release func() error, err error) {
	release = func() error { return nil }
	s, ctx, err := a.open(ctx)
	if err != nil {
		return nil, ctx, release, err
	}
	if a.client != nil {
		return a.client.Cache(), ctx, release, nil
	}
	if !runs {
		return daemon.NewVerifier(a.direct, nil), ctx, release, nil
	}
	r, release, err := a.runner(s, runtime.NumCPU())
	if err != nil {
		return nil, ctx, release, err
	}
	return daemon.NewVerifier(a.direct, r), ctx, release, nil
}

// verifyFlags are the flags of dvx cache verify.
type verifyFlags struct {
	sample string
	seed   uint64
}

func cmdCacheVerify(a *app) *cobra.Command {
	f := verifyFlags{sample: "20"}
	cmd := &cobra.Command{
		Use:   "verify [PIPELINE[@BRANCH]]",
		Short: "Do remembered work again and compare: is it reproducible?",
		Long: `Do the work of some datums of the newest outputs once more and compare with what is remembered. No result of it is kept.
A datum whose output differs is named with the files that do: its program is not reproducible (it prints the time, say,
or depends on order); one that fails now is named too. Work whose key is another one by now is left out. How it went
is noted in the history: dvx events tells it.

Exit code 1 if a result could not be had again. With --json, one JSON object a line.`,
		Example: `  dvx cache verify
  dvx cache verify wordcount --sample 5%
  dvx cache verify --sample 100 --seed 7`,
		Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			q := pipeline.VerifyQuery{Seed: f.seed}
			if !cmd.Flags().Changed("seed") {
				q.Seed = uint64(rand.Uint32())
			}
			if len(args) > 0 {
				q.Pipeline, q.Branch = splitPipeline(args[0])
			}
			if err := setSample(&q, f.sample); err != nil {
				return err
			}
			return a.cacheVerify(cmd.Context(), q)
		},
	}
	cmd.Flags().StringVar(&f.sample, "sample", f.sample, "how many datums: a number, or a part of all as in 5%")
	cmd.Flags().Uint64Var(&f.seed, "seed", 0, "which datums are chosen (default: at random)")
	return cmd
}

// setSample reads how many datums are wanted.
func setSample(q *pipeline.VerifyQuery, text string) error {
	part, percent := strings.CutSuffix(text, "%")
	var err error
	if percent {
		q.Percent, err = strconv.ParseFloat(part, 64)
	} else {
		q.Datums, err = strconv.Atoi(part)
	}
	if err != nil || q.Datums < 0 || q.Percent < 0 || q.Percent > 100 || q.Datums == 0 && q.Percent == 0 || q.Percent != q.Percent {
		return usagef("--sample %q: want a number above 0, or a percentage up to 100%%", text)
	}
	return nil
}

func (a *app) cacheVerify(ctx context.Context, q pipeline.VerifyQuery) (err error) {
	c, ctx, release, err := a.cache(ctx, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	p := a.progress("verified")
	defer p.done()
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	all, bad := int64(0), int64(0)
	for v, err := range c.Verify(ctx, q) {
		if err != nil {
			return err
		}
		all++
		p.show(func() string { return count(all) + " datums" })
		if v.State != pipeline.SameResult {
			bad++
		}
		switch {
		case a.json:
			err = enc.Encode(v)
		case v.State != pipeline.SameResult:
			_, err = fmt.Fprintf(a.out, "%s@%s  %s  %s: %s\n", v.Pipeline, v.Branch, printable(v.Datum), v.State, printable(strings.Join(v.Details, ", ")))
		}
		if err != nil {
			return err
		}
	}
	p.done()
	if bad > 0 {
		return fmt.Errorf("%s of %s datums did not give what is remembered; choose the same again with --seed %d", count(bad), count(all), q.Seed)
	}
	if a.json {
		return nil
	}
	_, err = fmt.Fprintf(a.out, "%s datums gave what is remembered\n", count(all))
	return err
}
