package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/rpc"
)

func cmdPipeline(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pipeline",
		Short: "Create, change, list and delete pipelines",
		Long: `A pipeline runs a program on each datum of an input, and its outputs are a repo of the pipeline's name.
Its spec is a YAML or JSON file; the folder of the spec is the program's code, unless the spec says otherwise.`,
		Args: cobra.NoArgs,
		RunE: showHelp,
	}
	cmd.AddCommand(
		cmdRegister(a, "create", "Make pipelines from a spec file", true, false),
		cmdRegister(a, "update", "Change pipelines to what a spec file says", false, true),
		cmdRegister(a, "apply", "Make or change pipelines, whichever is needed", false, false),
		cmdPipelineCheck(a), cmdPipelineList(a), cmdPipelineInspect(a), cmdPipelineDelete(a))
	cmd.AddCommand(specVersions(a)...)
	return cmd
}

func cmdRegister(a *app, verb, short string, create, update bool) *cobra.Command {
	var file, branch, message string
	var params []string
	cmd := &cobra.Command{
		Use:     verb + " -f SPEC",
		Short:   short,
		Example: "  dvx pipeline " + verb + " -f wordcount.yaml --branch staging\n  dvx pipeline " + verb + " -f train.yaml --branch trial7 -p lr=0.3",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if file == "" {
				return usagef("name the spec file with -f")
			}
			return a.register(cmd.Context(), file, params, pipeline.Registration{
				Branch: branch, Message: message, Create: create, Update: update, Author: author(), Time: time.Now(),
			})
		},
	}
	cmd.Flags().StringVarP(&file, "file", "f", "", "spec file, YAML or JSON; it may hold several specs")
	cmd.Flags().StringVar(&branch, "branch", "main", "branch on which the pipeline lives: its outputs go there, and its inputs default to it")
	cmd.Flags().StringArrayVarP(&params, "param", "p", nil, "NAME=VALUE: another value for a parameter that the spec declares; repeatable")
	cmd.Flags().StringVarP(&message, "message", "m", "", "what changed and why")
	return cmd
}

// readSpecs parses a spec file whose specs inherit defaults.
func readSpecs(file string, d spec.Defaults) ([]spec.Spec, []byte, error) {
	source, err := os.ReadFile(file)
	if err != nil {
		return nil, nil, err
	}
	specs, err := d.ParseAll(file, source)
	return specs, source, err
}

// registered is what --json tells of a registered pipeline.
type registered struct {
	Pipeline  string `json:"pipeline"`
	Branch    string `json:"branch"`
	Spec      string `json:"spec"`
	Unchanged bool   `json:"unchanged"`
	Owner     string `json:"owner,omitempty"` // on whose rights it runs, if that has changed
}

func (a *app) register(ctx context.Context, file string, params []string, g pipeline.Registration) error {
	s, ctx, err := a.open(ctx)
	if err != nil {
		return err
	}
	d, err := storeDefaults(ctx, s)
	if err != nil {
		return err
	}
	specs, source, err := readSpecs(file, d)
	if err == nil {
		specs, err = withParams(specs, params)
	}
	if err != nil {
		return err
	}
	out := []registered{}
	for _, one := range specs {
		g.Spec, g.Source, g.Code = one, source, codeOf(s, file, one)
		if g.Op, err = opID(""); err != nil {
			return err
		}
		id, unchanged, err := pipeline.Register(ctx, s, g)
		if err != nil {
			return err
		}
		out = append(out, registered{Pipeline: one.Pipeline, Branch: g.Branch, Spec: id.String(), Unchanged: unchanged})
	}
	return a.print(out, func(w io.Writer) error {
		for _, r := range out {
			verb := "registered"
			if r.Unchanged {
				verb = "unchanged"
			}
			if _, err := fmt.Fprintf(w, "%s@%s: %s, spec %.12s\n", r.Pipeline, r.Branch, verb, r.Spec); err != nil {
				return err
			}
		}
		return nil
	})
}

func cmdPipelineCheck(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "check SPEC…",
		Short:   "Say whether spec files are sound, without a store",
		Example: "  dvx pipeline check *.yaml",
		Args:    minArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			var names []string
			for _, file := range args {
				specs, _, err := readSpecs(file, spec.Defaults{})
				if err != nil {
					return err
				}
				for _, s := range specs {
					names = append(names, s.Pipeline)
				}
			}
			return a.print(names, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "sound: %s\n", strings.Join(names, ", "))
				return err
			})
		},
	}
}

// pipelineInfo is a pipeline as --json prints it.
type pipelineInfo struct {
	rpc.PipelineState
	Source json.RawMessage `json:"source,omitempty"`
}

func cmdPipelineList(a *app) *cobra.Command {
	var asOf string
	cmd := &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the pipelines of the store",
		Example: "  dvx pipeline list\n  dvx pipeline list --as-of 2026-11-20T09:00Z", Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if asOf != "" {
				return a.pipelinesAt(cmd.Context(), asOf)
			}
			list, err := a.pipelines(cmd.Context())
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, p := range list {
					rows = append(rows, []string{p.Pipeline, p.Branch, p.Spec.Short(), p.State, shortJob(p.Job), shortCommit(p.Output), p.Problem})
				}
				return printTable(w, []string{"pipeline", "branch", "spec", "state", "job", "output", "problem"}, rows)
			})
		},
	}
	cmd.Flags().StringVar(&asOf, "as-of", "", "as they were at this time, or so long ago: 2026-11-20, 2026-11-20T09:00Z, 2h30m")
	return cmd
}

// shortJob names a job in a table.
func shortJob(id history.JobID) string {
	if id.IsZero() {
		return "-"
	}
	return id.Short()
}

func (a *app) pipelinesAt(ctx context.Context, asOf string) error {
	at, err := parseWhen(asOf, time.Now())
	if err != nil {
		return err
	}
	past, ctx, err := a.past(ctx)
	if err != nil {
		return err
	}
	list, err := past.PipelinesAt(ctx, at)
	if err != nil {
		return err
	}
	return a.print(list, func(w io.Writer) error {
		var rows [][]string
		for _, p := range list {
			state := p.State
			if p.Paused != "" {
				state += ", paused by " + p.Paused
			}
			rows = append(rows, []string{p.Pipeline, p.Branch, p.Spec.Short(), state, shortJob(p.Job), shortCommit(p.Output)})
		}
		return printTable(w, []string{"pipeline", "branch", "spec", "state", "job", "output"}, rows)
	})
}

func (a *app) pipelines(ctx context.Context) ([]pipelineInfo, error) {
	jobs, ctx, err := a.jobs(ctx)
	if err != nil {
		return nil, err
	}
	states, err := jobs.Pipelines(ctx)
	if err != nil {
		return nil, err
	}
	list := make([]pipelineInfo, 0, len(states))
	for _, st := range states {
		list = append(list, pipelineInfo{PipelineState: st, Source: st.Source})
	}
	return list, nil
}

// splitPipeline reads PIPELINE[@BRANCH].
func splitPipeline(s string) (name, branch string) {
	name, branch, _ = strings.Cut(s, "@")
	if branch == "" {
		branch = "main"
	}
	return name, branch
}

func cmdPipelineInspect(a *app) *cobra.Command {
	effective := false
	cmd := &cobra.Command{
		Use: "inspect PIPELINE[@BRANCH]", Short: "Show a pipeline with its spec", Args: exactArgs(1),
		Example: "  dvx pipeline inspect wordcount@staging\n  dvx pipeline inspect wordcount --effective >wordcount.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			name, branch := splitPipeline(args[0])
			list, err := a.pipelines(cmd.Context())
			if err != nil {
				return err
			}
			for _, p := range list {
				if p.Pipeline == name && p.Branch == branch && effective {
					_, err := fmt.Fprintf(a.out, "%s\n", prettySpec(p.Source))
					return err
				}
				if p.Pipeline == name && p.Branch == branch {
					return a.print(p, func(w io.Writer) error { return printPipeline(w, p) })
				}
			}
			return fmt.Errorf("no pipeline %s on branch %s: %w", name, branch, os.ErrNotExist)
		},
	}
	cmd.Flags().BoolVar(&effective, "effective", false, "only the spec, as it is in force: with what it inherited from the store's defaults")
	return cmd
}

// prettySpec lays out a spec for people; nil if there is none.
func prettySpec(source []byte) []byte {
	var out bytes.Buffer
	if json.Indent(&out, source, "", "  ") != nil {
		return nil
	}
	return out.Bytes()
}

func printPipeline(w io.Writer, p pipelineInfo) error {
	var b strings.Builder
	fmt.Fprintf(&b, "pipeline  %s@%s\nspec      %s\nstate     %s\n", p.Pipeline, p.Branch, p.Spec, p.State)
	if p.Problem != "" {
		fmt.Fprintf(&b, "problem   %s\n", printable(p.Problem))
	}
	for _, in := range p.Inputs {
		fmt.Fprintf(&b, "input     %s = %s@%s at %s\n", in.Name, in.Repo, in.Branch, shortCommit(in.Commit))
	}
	if !p.Job.IsZero() {
		fmt.Fprintf(&b, "job       %s\n", p.Job)
	}
	if !p.Output.IsZero() {
		fmt.Fprintf(&b, "output    %s\n", p.Output)
	}
	if pretty := prettySpec(p.Source); pretty != nil {
		fmt.Fprintf(&b, "\n%s\n", pretty)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func cmdPipelineDelete(a *app) *cobra.Command {
	var outputs bool
	cmd := &cobra.Command{
		Use: "delete PIPELINE[@BRANCH]", Short: "Remove a pipeline; its outputs stay unless asked otherwise", Args: exactArgs(1),
		Example: "  dvx pipeline delete wordcount@staging --outputs",
		RunE: func(cmd *cobra.Command, args []string) error {
			name, branch := splitPipeline(args[0])
			s, ctx, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			op, err := opID("")
			if err != nil {
				return err
			}
			return a.done(pipeline.Unregister(ctx, s, name, branch, outputs, op), "deleted pipeline", name+"@"+branch)
		},
	}
	cmd.Flags().BoolVar(&outputs, "outputs", false, "remove the branch with its outputs too")
	return cmd
}
