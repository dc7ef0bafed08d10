package repo

import (
	"context"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
)

// replaySearchMax is how many versions of a branch are searched for an
// operation that the root no longer remembers.
const replaySearchMax = 2000

// findReplay looks for an operation that the root may have forgotten: a branch
// that is not where it was expected may have been moved by this very
// operation, and commits carry theirs. It returns conflict if it was not.
func (d *Direct) findReplay(ctx context.Context, base *loaded, t Txn, conflict error) (Result, *loaded, error) {
	snap, err := d.snapshot(ctx, base)
	if err != nil {
		return Result{}, nil, err
	}
	for _, op := range t.Ops {
		m, ok := op.(MoveBranch)
		if !ok {
			continue
		}
		b := base.root.Repos[m.Repo].Branches[m.Branch]
		id, err := findOp(ctx, snap, b.Commit, m.Expect, t.Op)
		if err != nil {
			return Result{}, nil, err
		}
		if !id.IsZero() {
			return Result{Gen: b.Gen, Replay: true, Moved: []Moved{{m.Repo, m.Branch, id}}}, base, nil
		}
	}
	return Result{}, nil, conflict
}

// findOp returns the commit that op made among the first parents from head
// down to stop, not included, or the zero ID.
func findOp(ctx context.Context, r chunk.Reader, head, stop commit.ID, op OpID) (commit.ID, error) {
	if head.IsZero() {
		return commit.ID{}, nil
	}
	var oldest time.Time // a commit that follows stop is newer
	if !stop.IsZero() {
		if c, err := commit.Load(ctx, r, stop); err == nil {
			oldest = c.Time
		}
	}
	n, want := 0, op.String()
	for e, err := range commit.Log(ctx, r, head, commit.LogOptions{FirstParent: true}) {
		if err != nil {
			return commit.ID{}, err
		}
		if e.Commit.Op == want {
			return e.ID, nil
		}
		if n++; n >= replaySearchMax || !e.Commit.Time.After(oldest) {
			break
		}
	}
	return commit.ID{}, nil
}
