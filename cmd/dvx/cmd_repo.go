package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/repo"
)

func cmdRepo(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "repo", Short: "Create, list and delete repos", Args: cobra.NoArgs, RunE: showHelp}
	cmd.AddCommand(cmdRepoCreate(a), cmdRepoList(a), cmdRepoDelete(a))
	return cmd
}

func cmdRepoCreate(a *app) *cobra.Command {
	var branch, description string
	cmd := &cobra.Command{
		Use:     "create REPO",
		Short:   "Make a repo with an empty branch",
		Example: "  dvx repo create images --description 'what the cameras saw'",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := a.move(cmd.Context(), repo.CreateRepo{Repo: args[0], Branch: branch, Description: description}); err != nil {
				return err
			}
			return a.print(map[string]string{"repo": args[0]}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "created %s\n", args[0])
				return err
			})
		},
	}
	cmd.Flags().StringVar(&branch, "branch", "main", "its first branch, the default one")
	cmd.Flags().StringVar(&description, "description", "", "what it holds")
	return cmd
}

// repoInfo is a repo as --json prints it.
type repoInfo struct {
	Name        string    `json:"name"`
	Created     time.Time `json:"created"`
	Description string    `json:"description,omitempty"`
	Default     string    `json:"default"`
	Branches    []string  `json:"branches"`
	Tags        []string  `json:"tags"`
	Pipeline    bool      `json:"pipeline"` // a pipeline writes it
}

func cmdRepoList(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the repos of the store",
		Example: "  dvx repo list --json",
		Args:    exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, ctx, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			v, err := s.View(ctx)
			if err != nil {
				return err
			}
			infos := []repoInfo{}
			for _, name := range slices.Sorted(maps.Keys(v.Repos)) {
				r := v.Repos[name]
				infos = append(infos, repoInfo{
					Name: name, Created: r.Created, Description: r.Description, Default: r.Default,
					Branches: slices.Sorted(maps.Keys(r.Branches)), Tags: slices.Sorted(maps.Keys(r.Tags)), Pipeline: len(r.Specs) > 0,
				})
			}
			return a.print(infos, func(w io.Writer) error {
				var rows [][]string
				for _, i := range infos {
					kind := ""
					if i.Pipeline {
						kind = "pipeline"
					}
					rows = append(rows, []string{i.Name, strconv.Itoa(len(i.Branches)), strconv.Itoa(len(i.Tags)), when(i.Created), kind, i.Description})
				}
				return printTable(w, []string{"repo", "branches", "tags", "created", "kind", "description"}, rows)
			})
		},
	}
}

func cmdRepoDelete(a *app) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:     "delete REPO",
		Short:   "Remove a repo with all its branches and tags",
		Example: "  dvx repo delete scratch --yes",
		Args:    exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return usagef("this removes every version of %s; say --yes if you mean it", args[0])
			}
			if err := a.move(cmd.Context(), repo.DeleteRepo{Repo: args[0]}); err != nil {
				return err
			}
			return a.print(map[string]string{"deleted": args[0]}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "deleted %s\n", args[0])
				return err
			})
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "really do it")
	return cmd
}
