package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
	"github.com/dvx-io/dvx/pkg/worktree"
)

// change is what a working copy has that the version it was made from has not.
// It is made on top of the branch's newest version: where that is another one,
// the two changes since base are merged, so that neither undoes the other.
type change struct {
	base  commit.ID
	ref   string // the branch
	scan  worktree.Options
	keep  bool // of paths that both changed, keep those of the working copy
	stats worktree.Stats

	made bool
	mine tree.Root // base with the change
	from tree.Root // of base
}

// make is the function that [repo.Commit] calls, perhaps more than once.
func (c *change) make(ctx context.Context, d *repo.Draft) (tree.Root, error) {
	if !c.base.IsZero() {
		b, err := commit.Load(ctx, d, c.base)
		if err != nil {
			return tree.Root{}, err
		}
		c.from = b.Tree
	}
	onBase := *d
	onBase.Base = c.from
	stats, err := worktree.EachEdit(ctx, d, c.from, c.scan, func(edits iter.Seq2[tree.Edit, error]) (err error) {
		c.mine, err = onBase.ApplySorted(ctx, edits)
		return err
	})
	if err != nil {
		return tree.Root{}, err
	}
	c.made, c.stats = true, stats
	if d.Base.ID == c.from.ID {
		return c.mine, nil
	}
	root, conflicts, err := tree.Merge(ctx, d, c.from, c.mine, d.Base)
	if err != nil {
		return tree.Root{}, err
	}
	if len(conflicts) > 0 && !c.keep {
		return tree.Root{}, &divergedError{ref: c.ref, head: d.Parent, paths: pathsOf(conflicts)}
	}
	return root, nil
}

func pathsOf(conflicts []tree.Conflict) []string {
	var paths []string
	for _, c := range conflicts {
		paths = append(paths, c.Path)
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// divergedError says that the branch and the working copy changed the same
// paths in different ways. Nothing was changed.
type divergedError struct {
	ref   string
	head  commit.ID
	paths []string
}

// pathsShown bounds the paths that an error lists.
const pathsShown = 20

// Error lists the paths, one a line, and the ways out.
func (e *divergedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "the working copy and %s (at %s) both changed %s:\n", e.ref, e.head.Short(), plural(len(e.paths), "path"))
	for _, p := range e.paths[:min(len(e.paths), pathsShown)] {
		b.WriteString("  " + shownPath(p) + "\n")
	}
	if n := len(e.paths) - pathsShown; n > 0 {
		fmt.Fprintf(&b, "  and %s more\n", count(int64(n)))
	}
	fmt.Fprintf(&b, "keep yours with --on-conflict mine, take one of theirs with dvx get -f %s:/PATH PATH, or all with dvx checkout -f", e.ref)
	return b.String()
}

// settle brings the working copy to the version that was committed, and
// reports whether it is there. What others changed since base is written; a
// file that has been changed again meanwhile stays as it is, and then so does
// the whole working copy: its base is still what it was made from.
func (w *workingCopy) settle(ctx context.Context, s repo.Store, c *change, res repo.CommitResult) (there bool, err error) {
	switch {
	case !c.made: // an earlier attempt of the same operation made the commit
		return true, nil
	case c.mine.Content == res.Commit.Tree.Content:
		return true, w.setBase(res.ID)
	case res.Unchanged: // it has nothing of its own, but lacks what others did
		return false, nil
	}
	if _, _, err := w.openBase(ctx, s); err != nil {
		return false, err
	}
	_, r, err := openRef(ctx, s, w.config.Repo+"@"+res.ID.String())
	if err != nil {
		return false, err
	}
	_, err = worktree.Update(ctx, r, c.from, res.Commit.Tree, w.dir, worktree.CheckoutOptions{Index: c.scan.Index, Params: c.scan.Params})
	if problems := (*worktree.ProblemsError)(nil); errors.As(err, &problems) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return true, w.setBase(res.ID)
}
