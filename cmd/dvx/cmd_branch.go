package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
)

// branchInfo is a branch or tag as --json prints it.
type branchInfo struct {
	Repo    string    `json:"repo"`
	Name    string    `json:"name"`
	Commit  commit.ID `json:"commit"`
	Owner   string    `json:"owner,omitempty"`
	Fork    string    `json:"fork,omitempty"`
	Protect []string  `json:"protect,omitempty"`
}

func cmdBranch(a *app) *cobra.Command {
	var from string
	var yes bool
	cmd := &cobra.Command{
		Use:   "branch",
		Short: "Create, list, move, protect and delete branches",
		Example: `  dvx branch create images@staging --from images@main
  dvx branch list images`,
		Args: cobra.NoArgs,
		RunE: showHelp,
	}
	create := &cobra.Command{
		Use:     "create REPO@BRANCH",
		Short:   "Make a branch; it costs nothing",
		Example: "  dvx branch create images@staging --from images@main",
		Args:    exactArgs(1),
		RunE:    func(cmd *cobra.Command, args []string) error { return a.branchCreate(cmd, args[0], from) },
	}
	create.Flags().StringVar(&from, "from", "", "version to begin at (default: the repo's default branch)")
	list := &cobra.Command{
		Use: "list [REPO]", Aliases: []string{"ls"}, Short: "List the branches of a repo, or of the working copy's", Example: "  dvx branch list images", Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := repoOrHere(args)
			if err != nil {
				return err
			}
			return a.branchList(cmd, name)
		},
	}
	move := &cobra.Command{
		Use:     "reset REPO@BRANCH REF",
		Short:   "Set a branch to any version of its repo",
		Example: "  dvx branch reset images@main images@main~1 --yes",
		Args:    exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return usagef("this moves %s away from its present version; say --yes if you mean it", args[0])
			}
			return a.branchReset(cmd, args[0], args[1])
		},
	}
	move.Flags().BoolVar(&yes, "yes", false, "really do it")
	protect := &cobra.Command{
		Use:     "protect REPO@BRANCH [PRINCIPAL…]",
		Short:   "Let only the named principals move a branch; without any, lift the protection",
		Example: "  dvx branch protect sales@main owner",
		Args:    minArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, branch, err := splitBranch(args[0])
			if err != nil {
				return err
			}
			what := "protected"
			if len(args) == 1 {
				what = "unprotected"
			}
			return a.done(a.move(cmd.Context(), repo.Protect{Repo: name, Branch: branch, Principals: args[1:]}), what, args[0])
		},
	}
	unprotect := &cobra.Command{
		Use: "unprotect REPO@BRANCH", Short: "Let everybody with the right to write move a branch again",
		Example: "  dvx branch unprotect sales@main", Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, branch, err := splitBranch(args[0])
			if err != nil {
				return err
			}
			return a.done(a.move(cmd.Context(), repo.Protect{Repo: name, Branch: branch}), "unprotected", args[0])
		},
	}
	remove := &cobra.Command{
		Use: "delete REPO@BRANCH", Short: "Remove a branch", Example: "  dvx branch delete images@staging", Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.branchDelete(cmd, args[0]) },
	}
	cmd.AddCommand(create, list, move, protect, unprotect, cmdSealing(a), remove)
	return cmd
}

// splitBranch reads REPO@BRANCH.
func splitBranch(s string) (name, branch string, err error) {
	name, branch, ok := strings.Cut(s, "@")
	if !ok || branch == "" {
		return "", "", usagef("%q is not REPO@BRANCH", s)
	}
	return name, branch, nil
}

// done reports a change that has nothing else to say.
func (a *app) done(err error, what, name string) error {
	if err != nil {
		return err
	}
	return a.print(map[string]string{what: name}, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s: %s\n", what, name)
		return err
	})
}

func (a *app) branchCreate(cmd *cobra.Command, at, from string) error {
	name, branch, err := splitBranch(at)
	if err != nil {
		return err
	}
	if from == "" {
		from = name
	}
	s, ctx, err := a.open(cmd.Context())
	if err != nil {
		return err
	}
	res, err := repo.Resolve(ctx, s, from)
	if err != nil {
		return err
	}
	if res.Repo != name {
		return usagef("--from %s is another repo than %s", from, name)
	}
	fork := ""
	if res.ID == res.Head {
		fork = res.Branch
	}
	return a.done(a.move(ctx, repo.CreateBranch{Repo: name, Branch: branch, From: res.ID, Fork: fork}), "created", at)
}

func (a *app) branchList(cmd *cobra.Command, name string) error {
	s, ctx, err := a.open(cmd.Context())
	if err != nil {
		return err
	}
	v, err := s.View(ctx)
	if err != nil {
		return err
	}
	r, ok := v.Repos[name]
	if !ok {
		return fmt.Errorf("%s: %w", name, repo.ErrRepoNotFound)
	}
	infos := []branchInfo{}
	for _, b := range slices.Sorted(maps.Keys(r.Branches)) {
		x := r.Branches[b]
		infos = append(infos, branchInfo{Repo: name, Name: b, Commit: x.Commit, Owner: x.Owner, Fork: x.Fork, Protect: x.Protect})
	}
	return a.print(infos, func(w io.Writer) error {
		var rows [][]string
		for _, i := range infos {
			rows = append(rows, []string{i.Name, shortCommit(i.Commit), i.Fork, i.Owner, strings.Join(i.Protect, ",")})
		}
		return printTable(w, []string{"branch", "commit", "from", "owner", "protected for"}, rows)
	})
}

func shortCommit(id commit.ID) string {
	if id.IsZero() {
		return "(empty)"
	}
	return id.Short()
}

func (a *app) branchReset(cmd *cobra.Command, at, to string) error {
	name, branch, err := splitBranch(at)
	if err != nil {
		return err
	}
	s, ctx, err := a.open(cmd.Context())
	if err != nil {
		return err
	}
	res, err := repo.Resolve(ctx, s, to)
	if err != nil {
		return err
	}
	if res.Repo != name {
		return usagef("%s is another repo than %s", to, name)
	}
	b, err := a.sealedBranch(ctx, s, name, branch)
	if err != nil {
		return err
	}
	err = a.move(ctx, repo.MoveBranch{Repo: name, Branch: branch, Expect: b.Commit, To: res.ID, Force: true})
	return a.done(err, "reset", at+" to "+res.ID.Short())
}

// sealedBranch returns a branch that is to be moved, once what was written to it
// is a version that can be gone back to.
func (a *app) sealedBranch(ctx context.Context, s repo.Store, name, branch string) (repo.Branch, error) {
	op, err := opID("")
	if err != nil {
		return repo.Branch{}, err
	}
	v, err := repo.SealFirst(ctx, s, op, name, branch)
	if err != nil {
		return repo.Branch{}, err
	}
	b, ok := v.Repos[name].Branches[branch]
	if !ok {
		err = fmt.Errorf("%s@%s: %w", name, branch, repo.ErrRefNotFound)
	}
	return b, err
}

func (a *app) branchDelete(cmd *cobra.Command, at string) error {
	name, branch, err := splitBranch(at)
	if err != nil {
		return err
	}
	s, ctx, err := a.open(cmd.Context())
	if err != nil {
		return err
	}
	b, err := a.sealedBranch(ctx, s, name, branch)
	if err != nil {
		return err
	}
	return a.done(a.move(ctx, repo.DeleteBranch{Repo: name, Branch: branch, Expect: b.Commit}), "deleted", at)
}

func cmdTag(a *app) *cobra.Command {
	cmd := &cobra.Command{Use: "tag", Short: "Create, list and delete tags", Args: cobra.NoArgs, RunE: showHelp}
	create := &cobra.Command{
		Use:     "create REPO@TAG REF",
		Short:   "Name a version for good",
		Example: "  dvx tag create images@v1.0 images@main",
		Args:    exactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, tag, err := splitBranch(args[0])
			if err != nil {
				return err
			}
			s, ctx, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			res, err := repo.Resolve(ctx, s, args[1])
			if err != nil {
				return err
			}
			if res.Repo != name || res.ID.IsZero() {
				return usagef("%s is no version of %s", args[1], name)
			}
			return a.done(a.move(ctx, repo.CreateTag{Repo: name, Tag: tag, Commit: res.ID}), "tagged", args[0])
		},
	}
	list := &cobra.Command{
		Use: "list [REPO]", Aliases: []string{"ls"}, Short: "List the tags of a repo, or of the working copy's", Example: "  dvx tag list images", Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, err := repoOrHere(args)
			if err != nil {
				return err
			}
			return a.tagList(cmd, name)
		},
	}
	remove := &cobra.Command{
		Use: "delete REPO@TAG", Short: "Remove a tag", Example: "  dvx tag delete images@v1.0", Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, tag, err := splitBranch(args[0])
			if err != nil {
				return err
			}
			return a.done(a.move(cmd.Context(), repo.DeleteTag{Repo: name, Tag: tag}), "deleted", args[0])
		},
	}
	cmd.AddCommand(create, list, remove)
	return cmd
}

func (a *app) tagList(cmd *cobra.Command, name string) error {
	s, ctx, err := a.open(cmd.Context())
	if err != nil {
		return err
	}
	v, err := s.View(ctx)
	if err != nil {
		return err
	}
	r, ok := v.Repos[name]
	if !ok {
		return fmt.Errorf("%s: %w", name, repo.ErrRepoNotFound)
	}
	infos := []branchInfo{}
	for _, t := range slices.Sorted(maps.Keys(r.Tags)) {
		infos = append(infos, branchInfo{Repo: name, Name: t, Commit: r.Tags[t].Commit, Owner: r.Tags[t].Owner})
	}
	return a.print(infos, func(w io.Writer) error {
		var rows [][]string
		for _, i := range infos {
			rows = append(rows, []string{i.Name, shortCommit(i.Commit), i.Owner})
		}
		return printTable(w, []string{"tag", "commit", "owner"}, rows)
	})
}
