package gc

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// TombstoneSuffix is what the name of a lost file or directory ends in after
// repair: a file in its place that says what was lost.
const TombstoneSuffix = ".dvx-lost"

// Repaired is a branch without what was lost.
type Repaired struct {
	Repo   string    `json:"repo"`
	From   string    `json:"from"` // the damaged branch
	Branch string    `json:"branch"`
	Commit commit.ID `json:"commit,omitzero"`
	Lost   []string  `json:"lost"` // paths
}

// Repair makes, for each branch whose newest version has lost paths, a branch
// repair/<time>/<branch> with that version in which a file NAME.dvx-lost stands
// for each of them. The damaged branches stay as they are. With dryRun it only
// says which paths are lost.
func Repair(ctx context.Context, d *repo.Direct, o CheckOptions, dryRun bool) ([]Repaired, error) {
	if err := o.applyDefaults(); err != nil {
		return nil, err
	}
	c := &checker{objects: d.Objects(), o: o, d: d}
	c.f = &findings{rep: &c.rep, tell: o.Tell}
	if err := c.levels(ctx); err != nil {
		return nil, fmt.Errorf("repair: %w", err)
	}
	all := []Repaired{}
	if len(c.bad.refs) == 0 {
		return all, nil
	}
	stamp := o.Now().UTC().Format("20060102T150405Z")
	for _, name := range slices.Sorted(maps.Keys(c.root.Repos)) {
		branches := c.root.Repos[name].Branches
		for _, branch := range slices.Sorted(maps.Keys(branches)) {
			if branches[branch].Commit.IsZero() {
				continue
			}
			r := Repaired{Repo: name, From: branch, Branch: "repair/" + stamp + "/" + branch}
			if err := c.repair(ctx, &r, branches[branch].Commit, dryRun); err != nil {
				return all, fmt.Errorf("repair %s@%s: %w", name, branch, err)
			}
			if len(r.Lost) > 0 {
				all = append(all, r)
			}
		}
	}
	return all, nil
}

func (c *checker) repair(ctx context.Context, r *Repaired, head commit.ID, dryRun bool) error {
	v, err := commit.Load(ctx, c.snap, head)
	if err != nil {
		return nil //nolint:nilerr // of a version that is lost itself nothing can be kept; fsck has said so
	}
	lost, err := locate(ctx, c.snap, &c.bad, v.Tree)
	if err != nil || len(lost) == 0 {
		return err
	}
	for _, l := range lost {
		r.Lost = append(r.Lost, l.path)
	}
	if dryRun || slices.Contains(r.Lost, "") {
		return nil // without its top directory nothing is left of a version
	}
	s, err := c.d.Session(ctx, repo.Scope{Repo: r.Repo, Branch: r.Branch})
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	op, err := c.d.NewOp()
	if err != nil {
		return err
	}
	next := commit.Commit{
		Author: "dvx repair", Time: commit.Stamp(c.o.Now()), Op: op.String(),
		Message: fmt.Sprintf("%s@%s with %d lost paths", r.Repo, r.From, len(lost)), Labels: map[string]string{"repairs": head.String()},
	}
	if next.Tree, err = c.withoutLost(ctx, s, v.Tree, lost); err != nil {
		return err
	}
	if r.Commit, err = commit.Save(ctx, s, next); err != nil {
		return err
	}
	_, err = s.Publish(ctx, repo.Txn{Op: op, Ops: []repo.Op{repo.MoveBranch{Repo: r.Repo, Branch: r.Branch, To: r.Commit}}})
	return err
}

// withoutLost returns a directory in which tombstones stand for what was lost.
func (c *checker) withoutLost(ctx context.Context, s repo.Session, root tree.Root, lost []lostPath) (tree.Root, error) {
	var edits []tree.Edit
	for _, l := range lost {
		text := fmt.Sprintf("%s was lost: %d bytes; %s; found %s\n", l.path, l.size, l.why, c.o.Now().UTC().Format(time.RFC3339))
		content, err := chunk.WriteContent(ctx, s, c.d.Config().Chunker, strings.NewReader(text))
		if err != nil {
			return tree.Root{}, err
		}
		path, isDir := strings.CutSuffix(l.path, "/")
		remove := tree.Delete
		if isDir {
			remove = tree.DeleteDir
		}
		edits = append(edits, tree.Edit{Op: remove, Path: path},
			tree.Edit{Op: tree.Put, Path: path + TombstoneSuffix, Entry: tree.Entry{Kind: tree.File, Content: content}})
	}
	return tree.Apply(ctx, s, root, edits)
}
