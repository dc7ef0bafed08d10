package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/repo"
)

// addCompletion lets shells complete the names of repos, branches, tags and
// pipelines for the commands that take them.
func (a *app) addCompletion(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		a.addCompletion(sub)
	}
	_, takes, _ := strings.Cut(cmd.Use, " ")
	pipelines := strings.Contains(takes, "PIPELINE")
	if !pipelines && !strings.Contains(takes, "REPO") && !strings.Contains(takes, "REF") && !strings.Contains(takes, "FROM") {
		return
	}
	words := strings.Fields(takes)
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		at := min(len(args), len(words)-1)
		if w := words[at]; strings.HasPrefix(w, "FILE") || strings.Contains(w, "DIR]") && at > 0 {
			return nil, cobra.ShellCompDirectiveDefault
		}
		return a.complete(cmd.Context(), begun, pipelines)
	}
}

// complete returns the names in the store that begin as begun does.
func (a *app) complete(ctx context.Context, begun string, pipelines bool) ([]string, cobra.ShellCompDirective) {
	s, ctx, err := a.open(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	v, err := s.View(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	return completions(v, begun, pipelines)
}

// completions returns the names that begin as begun does: repos, and after an @
// what a repo has.
func completions(v *repo.View, begun string, pipelines bool) ([]string, cobra.ShellCompDirective) {
	var all []string
	directive := cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	name, _, at := strings.Cut(begun, "@")
	if r, ok := v.Repos[name]; at && ok {
		for _, ref := range slices.Concat(slices.Collect(maps.Keys(r.Branches)), slices.Collect(maps.Keys(r.Tags))) {
			all = append(all, name+"@"+ref)
		}
	} else {
		for name, r := range v.Repos {
			if !pipelines || len(r.Specs) > 0 {
				all = append(all, name)
			}
		}
	}
	all = slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, begun) })
	slices.Sort(all)
	return all, directive
}
