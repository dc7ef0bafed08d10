package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/cmd/internal/daemon"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/explain"
	"github.com/dvx-io/dvx/pkg/pipeline/local"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/rpc"
	"github.com/dvx-io/dvx/pkg/tree"
)

// explainer answers questions about the pipelines: through the daemon with
// --server, else as dvx run would see them here. release ends it.
func (a *app) explainer(ctx context.Context) (e rpc.Explain, here *explain.Explainer, release func() error, err error) {
	release = func() error { return nil }
	s, _, err := a.open(ctx)
	if err != nil {
		return nil, nil, release, err
	}
	if a.client != nil {
		return a.client.Explain(), nil, release, nil
	}
	runner, release, err := a.runner(s, 1)
	if err != nil {
		return nil, nil, release, err
	}
	here = daemon.NewExplainer(a.direct, pipeline.OpenJobs(a.direct, local.Scope()), runner, nil)
	return here, here, release, nil
}

// runner returns what runs programs here, in a folder that release removes.
func (a *app) runner(s repo.Store, slots int) (r *local.Runner, release func() error, err error) {
	release = func() error { return nil }
	dir, err := os.MkdirTemp("", "dvx-run-")
	if err != nil {
		return nil, release, err
	}
	if r, err = local.New(local.Options{Dir: dir, Slots: slots, Params: s.Config().Chunker, Now: time.Now, InMemory: true}); err != nil {
		return nil, release, errors.Join(err, os.RemoveAll(dir))
	}
	return r, func() error { return errors.Join(r.Close(), daemon.RemoveWork(dir)) }, nil
}

func cmdPlan(a *app) *cobra.Command {
	var file, branch string
	cmd := &cobra.Command{
		Use:   "plan [PIPELINE[@BRANCH]]",
		Short: "Say what would run, and why, without running it",
		Long: `Say for each pipeline what would run now and why: how many datums are as they were, have a result already (a hit),
or would run, and what differs. With -f it says what would run if that spec were registered (on a store directly).
With --json, a list of forecasts; each names up to 100 datums that would run or are gone.`,
		Example: `  dvx plan
  dvx plan wordcount@staging
  dvx plan -f wordcount.yaml`,
		Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, on := "", ""
			if len(args) > 0 {
				name, on = splitPipeline(args[0])
			}
			list, err := a.plan(cmd.Context(), name, on, file, branch)
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error { return printPlan(w, list) })
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "a spec file: what would run with it")
	cmd.Flags().StringVar(&branch, "branch", "main", "with -f: the branch of the pipeline")
	return cmd
}

func (a *app) plan(ctx context.Context, name, branch, file, on string) (list []explain.Forecast, err error) {
	e, here, release, err := a.explainer(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	if file == "" {
		_, ctx, err := a.open(ctx)
		if err != nil {
			return nil, err
		}
		return e.Plan(ctx, explain.PlanQuery{Pipeline: name, Branch: branch})
	}
	if here == nil {
		return nil, usagef("dvx plan -f works on a store directly: give --store")
	}
	return a.planDrafts(ctx, here, file, on)
}

// planDrafts plans the specs of a file. Their code goes to a session that is
// never published.
func (a *app) planDrafts(ctx context.Context, x *explain.Explainer, file, branch string) ([]explain.Forecast, error) {
	s, ctx, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	d, err := storeDefaults(ctx, s)
	if err != nil {
		return nil, err
	}
	specs, _, err := readSpecs(file, d)
	if err != nil {
		return nil, err
	}
	var out []explain.Forecast
	for _, one := range specs {
		f, err := a.planDraft(ctx, x, s, file, branch, one)
		if err != nil {
			return nil, err
		}
		out = append(out, f...)
	}
	return out, nil
}

func (a *app) planDraft(ctx context.Context, x *explain.Explainer, s repo.Store, file, branch string, one spec.Spec) ([]explain.Forecast, error) {
	sess, err := s.Session(ctx, repo.Scope{Repo: one.Pipeline, Branch: branch})
	if err != nil {
		return nil, err
	}
	defer func() { _ = sess.Close() }()
	code := tree.Root{}
	if store := codeOf(s, file, one); store != nil {
		if code, err = store(ctx, sess); err != nil {
			return nil, err
		}
	}
	d := &explain.Draft{Branch: branch, Version: engine.Version{Spec: one, Code: code}, Reader: sess}
	return x.PlanDraft(ctx, explain.PlanQuery{Pipeline: one.Pipeline, Branch: branch}, d)
}

func printPlan(w io.Writer, list []explain.Forecast) error {
	var rows [][]string
	for _, f := range list {
		rows = append(rows, []string{
			f.Pipeline, f.Branch, f.State, count(f.Total), count(f.Unchanged), count(f.Hits), count(f.Runs), count(f.Removed),
		})
	}
	head := []string{"pipeline", "branch", "state", "datums", "unchanged", "hits", "runs", "gone"}
	if err := printTable(w, head, rows); err != nil {
		return err
	}
	var b strings.Builder
	for _, f := range list {
		if len(f.Because)+len(f.Datums)+len(f.After) == 0 && f.Problem == "" {
			continue
		}
		fmt.Fprintf(&b, "\n%s@%s\n", f.Pipeline, f.Branch)
		if f.Problem != "" {
			fmt.Fprintf(&b, "  %s\n", printable(f.Problem))
		}
		for _, up := range f.After {
			fmt.Fprintf(&b, "  after %s, whose output may change what runs\n", up)
		}
		for _, line := range f.Because {
			fmt.Fprintf(&b, "  %s\n", printable(line))
		}
		for i, d := range f.Datums {
			if i == datumsShown {
				fmt.Fprintf(&b, "    and %s more\n", count(f.Runs+f.Removed-datumsShown))
				break
			}
			why := strings.Join(d.Why, ", ")
			if d.Gone {
				why = "gone: its files are withdrawn"
			}
			fmt.Fprintf(&b, "    %s  %s\n", printable(d.Identity), printable(why))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// datumsShown is how many datums of a pipeline are shown to people.
const datumsShown = 10

func cmdWhy(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "why JOB|PIPELINE [DATUM]",
		Short: "Say why the datums of a job ran, were skipped or failed",
		Long: `Say for each datum of a job, or for one, why it ran: the component of its memo key that differs from that of the
result it replaced, down to the image, executable, environment variable, parameter, or file. Of a pipeline it is the
newest job. With --json, one JSON object a line.`,
		Example: `  dvx why wordcount
  dvx why 3f9a01 texts:/b.txt`,
		Args: rangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			datum := ""
			if len(args) > 1 {
				datum = args[1]
			}
			return a.why(cmd.Context(), args[0], datum)
		},
	}
}

func (a *app) why(ctx context.Context, name, datum string) (err error) {
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
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	found := false
	for answer, err := range e.Why(ctx, job, datum) {
		if err != nil {
			return err
		}
		found = true
		if a.json {
			err = enc.Encode(answer)
		} else {
			err = printAnswer(a.out, answer)
		}
		if err != nil {
			return err
		}
	}
	if !found && datum != "" {
		return usagef("job %s has no datum %q; dvx datum list %s shows them", job.ID.Short(), datum, job.ID.Short())
	}
	return nil
}

func printAnswer(w io.Writer, x explain.Answer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s", printable(x.Identity), x.State)
	if x.Reason != "" {
		fmt.Fprintf(&b, " (%s)", printable(x.Reason))
	}
	switch {
	case x.New:
		b.WriteString(": new datum")
	case len(x.Causes) == 0:
		b.WriteString(": nothing differs from the result before")
	}
	b.WriteString("\n")
	for _, c := range x.Causes {
		fmt.Fprintf(&b, "  %s\n", printable(c.String()))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func cmdLineage(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "lineage REPO@VERSION[:PATH]",
		Short: "Show what a version or file was made of, and what was made of it",
		Long: `Show what a version, or a path in one, was made of: inputs, datum, code, parameters, user; and what was made of it,
through all pipelines, in both directions. At most 1,000 versions and paths each way.`,
		Example: `  dvx lineage wordcount@main
  dvx lineage wordcount@main:/b.txt --json`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.lineage(cmd.Context(), args[0]) },
	}
}

func (a *app) lineage(ctx context.Context, expr string) (err error) {
	e, _, release, err := a.explainer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	_, ctx, err = a.open(ctx)
	if err != nil {
		return err
	}
	n, err := e.Lineage(ctx, expr)
	if err != nil {
		return err
	}
	return a.print(n, func(w io.Writer) error {
		var b strings.Builder
		printNode(&b, n, "")
		printNodes(&b, "from", n.From, func(n *explain.Node) []*explain.Node { return n.From }, "  ")
		printNodes(&b, "to", n.To, func(n *explain.Node) []*explain.Node { return n.To }, "  ")
		if n.Cut {
			b.WriteString("there is more than the limit allows\n")
		}
		_, err := io.WriteString(w, b.String())
		return err
	})
}

func printNodes(b *strings.Builder, word string, list []*explain.Node, next func(*explain.Node) []*explain.Node, indent string) {
	for _, n := range list {
		printNode(b, n, indent+word+" ")
		printNodes(b, word, next(n), next, indent+"  ")
	}
}

func printNode(b *strings.Builder, n *explain.Node, before string) {
	fmt.Fprintf(b, "%s%s@%s", before, n.Repo, n.Commit.Short())
	if n.Path != "" {
		fmt.Fprintf(b, ":/%s", printable(n.Path))
	}
	if n.Pipeline == "" {
		fmt.Fprintf(b, "  by %s: %s\n", printable(n.Author), printable(n.Message))
		return
	}
	fmt.Fprintf(b, "  pipeline %s@%s, spec %s", n.Pipeline, n.Branch, n.Spec.Short())
	if n.Datum != "" {
		fmt.Fprintf(b, ", datum %s", printable(n.Datum))
	}
	if n.Code != "" {
		fmt.Fprintf(b, ", code %.12s", n.Code)
	}
	if len(n.Parameters) > 0 {
		fmt.Fprintf(b, ", %s", plural(len(n.Parameters), "parameter"))
	}
	if n.Principal != "" {
		fmt.Fprintf(b, ", as %s", printable(n.Principal))
	}
	b.WriteString("\n")
}

func cmdDatumPreview(a *app) *cobra.Command {
	var file, branch string
	var limit uint
	cmd := &cobra.Command{
		Use:   "preview INPUT|-f SPEC",
		Short: "List the datums that an input would have",
		Long: `List the datums that an input would have, with no pipeline there to read it. The input is written as in a spec, or
taken from a spec file with -f. With --json, one JSON object a line.`,
		Example: `  dvx datum preview '{repo: images, glob: "/*/*"}'
  dvx datum preview -f pipeline.yaml --branch staging`,
		Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := readInput(file, args)
			if err != nil {
				return err
			}
			return a.preview(cmd.Context(), in, branch, limit)
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "a file with an input, or a spec of which only the input counts")
	cmd.Flags().StringVar(&branch, "branch", "main", "branch of inputs that name none")
	cmd.Flags().UintVarP(&limit, "max-count", "n", 0, "stop after this many (0: list all)")
	return cmd
}

// readInput reads an input from the command line or a file.
func readInput(file string, args []string) (spec.Input, error) {
	switch {
	case file == "" && len(args) == 1:
		return spec.ParseInput("", []byte(args[0]))
	case file == "" || len(args) > 0:
		return spec.Input{}, usagef("give an input, as in '{repo: images, glob: /*}', or a file with -f")
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return spec.Input{}, err
	}
	return spec.ParseInput(file, b)
}

func (a *app) preview(ctx context.Context, in spec.Input, branch string, limit uint) (err error) {
	e, _, release, err := a.explainer(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	_, ctx, err = a.open(ctx)
	if err != nil {
		return err
	}
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	n := uint(0)
	for d, err := range e.Preview(ctx, in, branch) {
		if err != nil {
			return err
		}
		if a.json {
			err = enc.Encode(d)
		} else {
			var paths []string
			for _, part := range d.Inputs {
				paths = append(paths, part.Name+": "+strings.Join(part.Paths, " "))
			}
			_, err = fmt.Fprintf(a.out, "%s\n  %s\n", printable(d.Identity), printable(strings.Join(paths, "; ")))
		}
		if err != nil {
			return err
		}
		if n++; n == limit {
			break
		}
	}
	if n == 0 && !a.json {
		_, err = fmt.Fprintln(a.out, "no datums")
	}
	return err
}
