package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"iter"

	"github.com/spf13/cobra"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
	"github.com/dvx-io/dvx/pkg/worktree"
)

// changeInfo is a changed path as --json prints it, one object a line.
type changeInfo struct {
	Change  string `json:"change"` // added, removed, modified
	Path    string `json:"path"`
	OldSize *int64 `json:"oldSize,omitempty"`
	NewSize *int64 `json:"newSize,omitempty"`
	OldID   string `json:"oldId,omitempty"` // content ID
	NewID   string `json:"newId,omitempty"` // none if status need not read the file
}

func cmdDiff(a *app) *cobra.Command {
	var flags scanFlags
	cmd := &cobra.Command{
		Use:   "diff [FROM [TO]]",
		Short: "List what changed from one version to another, or to the working copy",
		Long: `List what changed from one version to another: A added, D removed, M modified. The cost follows the change.
Without TO, what the working copy has other than FROM; without FROM too, other than the version it was made from.
A path in TO (images@main:/2026), or in FROM if it is alone, restricts the list. With --json, one JSON object a line.`,
		Example: `  dvx diff images@main~1 images@main
  dvx diff images@v1.0 images@main:/2026
  dvx diff
  dvx diff images@main`,
		Args: rangeArgs(0, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, ctx, err := a.open(cmd.Context())
			if err != nil {
				return err
			}
			if len(args) < 2 {
				return a.diffWorkingCopy(ctx, s, args, flags)
			}
			from, ra, err := openRef(ctx, s, args[0])
			if err != nil {
				return err
			}
			to, rb, err := openRef(ctx, s, args[1])
			if err != nil {
				return err
			}
			return a.printChanges(tree.Diff(ctx, ra, from.Commit.Tree, rb, to.Commit.Tree, tree.DiffOptions{Prefix: to.Path, Expand: true}))
		},
	}
	flags.add(cmd)
	return cmd
}

// diffWorkingCopy writes what the working copy has other than a version, that
// which it was made from if none is named.
func (a *app) diffWorkingCopy(ctx context.Context, s repo.Store, args []string, flags scanFlags) error {
	wc, err := findWorkingCopy(".")
	if err != nil {
		return err
	}
	var from repo.Resolved
	var r chunk.Reader
	if len(args) == 0 {
		var base commit.Entry
		base, r, err = wc.openBase(ctx, s)
		from.Commit = base.Commit
	} else {
		from, r, err = openRef(ctx, s, args[0])
	}
	if err != nil {
		return err
	}
	o, err := wc.scanOptions(s, nil, flags)
	if err != nil {
		return err
	}
	if from.Path != "" {
		o.Paths = []string{from.Path}
	}
	p := a.progress("looking at files")
	o.Progress = p.update
	report, err := worktree.Status(ctx, r, from.Commit.Tree, o)
	p.done()
	if err != nil {
		return err
	}
	return a.printChanges(func(yield func(tree.Change, error) bool) {
		for _, c := range report.Changes {
			if !yield(c, nil) {
				return
			}
		}
	})
}

// openRef resolves a ref and opens its chunks; an empty branch has none.
func openRef(ctx context.Context, s repo.Store, expr string) (repo.Resolved, chunk.Reader, error) {
	r, res, err := repo.OpenReader(ctx, s, expr)
	return res, r, err
}

// printChanges writes changes, one a line.
func (a *app) printChanges(changes iter.Seq2[tree.Change, error]) error {
	w := bufio.NewWriter(a.out)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for c, err := range changes {
		if err != nil {
			return err
		}
		if !a.json {
			if _, err := fmt.Fprintf(w, "%s %s\n", letters()[c.Kind], shownPath(c.Path)); err != nil {
				return err
			}
			continue
		}
		if err := enc.Encode(changeOf(c)); err != nil {
			return err
		}
	}
	return w.Flush()
}

func sizeAndID(e tree.Entry) (*int64, string) {
	if e.Kind == tree.Dir {
		return &e.Dir.Bytes, e.Dir.Content.String()
	}
	if e.Content.Size == 0 || e.Content.ID.IsZero() { // empty, or not read
		return &e.Content.Size, ""
	}
	return &e.Content.Size, e.Content.ID.String()
}

// letters are the kinds of change as git writes them.
func letters() map[tree.ChangeKind]string {
	return map[tree.ChangeKind]string{tree.Added: "A", tree.Removed: "D", tree.Modified: "M"}
}

// changeOf turns a change into what --json prints.
func changeOf(c tree.Change) changeInfo {
	info := changeInfo{Change: c.Kind.String(), Path: c.Path}
	if c.Kind != tree.Added {
		info.OldSize, info.OldID = sizeAndID(c.Old)
	}
	if c.Kind != tree.Removed {
		info.NewSize, info.NewID = sizeAndID(c.New)
	}
	return info
}
