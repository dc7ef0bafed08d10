package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/repo"
)

func cmdRetention(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retention",
		Short: "Say which versions of a branch keep their files",
		Long: `Say which versions of a branch keep their files. The next dvx gc gives up the files of the others: their messages stay in
the log, and to read them fails with exit code 4. Without a retention a branch keeps all.

Never given up are the newest version of a branch, versions with a tag, versions that another branch keeps (one without
a retention keeps all that it reaches), inputs of a pipeline's newest output, and what dvx undo or a reader may need: see
--keep-undo and --grace of dvx gc, and dvx gc --dry-run for what it would free.`,
		Example: `  dvx retention set images@main --last 10 --age 30d
  dvx gc --dry-run`,
		Args: cobra.NoArgs,
		RunE: showHelp,
	}
	show := &cobra.Command{
		Use: "show [REPO[@BRANCH]]", Short: "Show which versions keep their files",
		Example: "  dvx retention show images", Args: rangeArgs(0, 1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.retentionShow(cmd, args) },
	}
	var last int64
	var age ageFlag
	set := &cobra.Command{
		Use:   "set REPO@BRANCH",
		Short: "Keep the files of the last versions, of the younger ones, or of both",
		Long: `Keep the files of the last versions, or of those that were the newest within an age, or of both: what either keeps stays.
A version's age counts from when the next one took its place.`,
		Example: `  dvx retention set images@main --last 10
  dvx retention set images@main --last 10 --age 30d`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if last == 0 && age == 0 {
				return usagef("say how many versions keep their files (--last 10), or for how long (--age 30d)")
			}
			return a.setRetention(cmd, args[0], &repo.Retention{Last: last, Age: time.Duration(age).Milliseconds()})
		},
	}
	set.Flags().Int64Var(&last, "last", 0, "the newest that many versions")
	set.Flags().Var(&age, "age", "versions that were the newest within this time")
	unset := &cobra.Command{
		Use: "clear REPO@BRANCH", Short: "Keep the files of all versions again; what has expired stays so",
		Example: "  dvx retention clear images@main", Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.setRetention(cmd, args[0], nil) },
	}
	cmd.AddCommand(show, set, unset)
	return cmd
}

func (a *app) setRetention(cmd *cobra.Command, at string, keep *repo.Retention) error {
	name, branch, err := splitBranch(at)
	if err != nil {
		return err
	}
	what := "set"
	if keep == nil {
		what = "cleared"
	}
	return a.done(a.move(cmd.Context(), repo.SetRetention{Repo: name, Branch: branch, Keep: keep}), what, at)
}

// retentionInfo is a branch's retention as --json prints it.
type retentionInfo struct {
	Repo   string          `json:"repo"`
	Branch string          `json:"branch"`
	Keep   *repo.Retention `json:"keep"` // null: all versions
}

func (a *app) retentionShow(cmd *cobra.Command, args []string) error {
	name, branch := "", ""
	if len(args) > 0 {
		name, branch, _ = strings.Cut(args[0], "@")
	}
	s, ctx, err := a.open(cmd.Context())
	if err != nil {
		return err
	}
	v, err := s.View(ctx)
	if err != nil {
		return err
	}
	if _, ok := v.Repos[name]; name != "" && !ok {
		return fmt.Errorf("repo %s: %w", name, repo.ErrRepoNotFound)
	}
	if _, ok := v.Repos[name].Branches[branch]; branch != "" && !ok {
		return fmt.Errorf("branch %s: %w", args[0], repo.ErrRefNotFound)
	}
	infos := []retentionInfo{}
	for _, r := range slices.Sorted(maps.Keys(v.Repos)) {
		for _, b := range slices.Sorted(maps.Keys(v.Repos[r].Branches)) {
			keep := v.Repos[r].Branches[b].Keep
			if (name == "" && keep != nil || name == r) && (branch == "" || branch == b) {
				infos = append(infos, retentionInfo{r, b, keep})
			}
		}
	}
	return a.print(infos, func(w io.Writer) error {
		var rows [][]string
		for _, i := range infos {
			rows = append(rows, []string{i.Repo + "@" + i.Branch, keeps(i.Keep)})
		}
		return printTable(w, []string{"branch", "keeps"}, rows)
	})
}

// keeps says what a retention keeps.
func keeps(r *repo.Retention) string {
	if r == nil {
		return "all versions"
	}
	var parts []string
	if r.Last > 0 {
		parts = append(parts, "the last "+strconv.FormatInt(r.Last, 10))
	}
	if age := ageFlag(r.AgeTime()); age > 0 {
		parts = append(parts, "what was the newest within "+age.String())
	}
	return strings.Join(parts, ", and ")
}
