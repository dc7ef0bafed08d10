package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/repo"
)

func cmdEnv(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Make, compare, promote and delete environments",
		Long: `An environment is a branch on which pipelines live. It has versions and outputs of its own, reads what it does not
have from the environment that it was made from, and can't touch that. Nothing runs in it that has run elsewhere.`,
		Args: cobra.NoArgs, RunE: showHelp,
	}
	cmd.AddCommand(envCreate(a), envList(a), envDiff(a), envPromote(a), envDelete(a))
	return cmd
}

// environment returns what works on an environment.
func environment(name, other string) pipeline.Environment {
	return pipeline.Environment{Name: name, From: other, Author: author(), Time: time.Now(), NewOp: func() (repo.OpID, error) { return opID("") }}
}

// steps prints what became of an environment's members.
func (a *app) steps(env string, steps []pipeline.EnvStep) error {
	return a.print(steps, func(w io.Writer) error {
		for _, s := range steps {
			if _, err := fmt.Fprintf(w, "%s@%s: %s\n", s.Name, env, s.Done); err != nil {
				return err
			}
		}
		return nil
	})
}

func envCreate(a *app) *cobra.Command {
	from := "main"
	cmd := &cobra.Command{
		Use:   "create ENV [PIPELINE|REPO…]",
		Short: "Make an environment of some pipelines, or of all",
		Long: `Make an environment of the named pipelines, and of all between them, so that joins see one version of each source; of
all if none is named. A repo that is named gets a branch of its own, to be written to. What is not named is read from
the environment that this is made from.`,
		Example: "  dvx env create staging\n  dvx env create try-1 thumbs\n  dvx pipeline apply -f thumbs.yaml --branch try-1",
		Args:    minArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, ctx, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			e := environment(args[0], from)
			e.Names = args[1:]
			steps, err := e.Create(ctx, s)
			if err != nil {
				return err
			}
			return a.steps(args[0], steps)
		},
	}
	cmd.Flags().StringVar(&from, "from", from, "the environment that it begins as")
	return cmd
}

// envInfo is an environment as --json prints it.
type envInfo struct {
	Name      string   `json:"name"`
	From      string   `json:"from,omitempty"`
	Pipelines []string `json:"pipelines"`
}

func envList(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Aliases: []string{"ls"}, Short: "List the environments with their pipelines", Example: "  dvx env list", Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, ctx, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			view, err := s.View(ctx)
			if err != nil {
				return err
			}
			list := environments(view)
			return a.print(list, func(w io.Writer) error {
				var rows [][]string
				for _, e := range list {
					rows = append(rows, []string{e.Name, cmp.Or(e.From, "-"), strings.Join(e.Pipelines, ", ")})
				}
				return printTable(w, []string{"environment", "from", "pipelines"}, rows)
			})
		},
	}
}

// environments returns the branches on which pipelines live, by name.
func environments(view *repo.View) []envInfo {
	found := map[string]*envInfo{}
	for name, r := range view.Repos {
		for branch := range r.Specs {
			e := found[branch]
			if e == nil {
				e = &envInfo{Name: branch}
				found[branch] = e
			}
			e.Pipelines = append(e.Pipelines, name)
			e.From = cmp.Or(r.Branches[branch].Fork, e.From)
		}
	}
	list := []envInfo{}
	for _, e := range found {
		slices.Sort(e.Pipelines)
		list = append(list, *e)
	}
	slices.SortFunc(list, func(x, y envInfo) int { return strings.Compare(x.Name, y.Name) })
	return list
}

func envDiff(a *app) *cobra.Command {
	from := "main"
	cmd := &cobra.Command{
		Use: "diff ENV", Short: "Show how an environment's pipelines differ from those of another", Example: "  dvx env diff staging", Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, ctx, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			list, err := environment(args[0], from).Diff(ctx, s)
			if err != nil {
				return err
			}
			return a.print(list, func(w io.Writer) error { return printEnvDiff(w, list) })
		},
	}
	cmd.Flags().StringVar(&from, "from", from, "the other environment")
	return cmd
}

func printEnvDiff(w io.Writer, list []pipeline.EnvDiff) error {
	var b strings.Builder
	for _, d := range list {
		fmt.Fprintf(&b, "%s\n", d.Pipeline)
		if d.Only != "" {
			fmt.Fprintf(&b, "  is in %s only\n", d.Only)
		}
		for _, c := range d.Changes {
			fmt.Fprintf(&b, "  %s\n", printable(c.String()))
		}
		if d.Code {
			b.WriteString("  the code differs\n")
		}
	}
	if len(list) == 0 {
		b.WriteString("no difference\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func envPromote(a *app) *cobra.Command {
	to := "main"
	cmd := &cobra.Command{
		Use: "promote ENV", Short: "Make an environment's versions those of another: what ran there does not run again",
		Long: `Make an environment's versions of its pipelines those of another, by fast-forward: if the other has gone further
meanwhile, nothing is changed, exit code 5.`,
		Example: "  dvx env promote staging\n  dvx env promote try-1 --to staging", Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, ctx, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			steps, err := environment(args[0], to).Promote(ctx, s)
			if err != nil {
				return err
			}
			return a.steps(to, steps)
		},
	}
	cmd.Flags().StringVar(&to, "to", to, "the environment that takes them")
	return cmd
}

func envDelete(a *app) *cobra.Command {
	var keep, yes bool
	cmd := &cobra.Command{
		Use: "delete ENV", Short: "Remove an environment's pipelines and their output branches", Example: "  dvx env delete try-1 --yes", Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return usagef("this removes all pipelines on branch %s; say --yes if you mean it", args[0])
			}
			s, ctx, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			steps, err := environment(args[0], "").Delete(ctx, s, keep)
			if err != nil {
				return err
			}
			return a.steps(args[0], steps)
		},
	}
	cmd.Flags().BoolVar(&keep, "keep-outputs", false, "leave the output branches")
	cmd.Flags().BoolVar(&yes, "yes", false, "really do it")
	return cmd
}
