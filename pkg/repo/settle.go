package repo

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
)

// ErrForgotten is the error for an operation about which nothing is remembered
// any more: neither that it was applied nor that it was not. Look at the names
// themselves; do not repeat it blindly.
var ErrForgotten = errors.New("operation is older than what the store remembers")

// OpMemory is for how long an operation is found: kept roots and the
// histories of branches are searched that far back. It is the retention of
// root copies.
const OpMemory = 30 * 24 * time.Hour

// Outcome is how an operation ended, for good.
type Outcome struct {
	Applied bool    // if not, it never will be
	Gen     uint64  // generation of the root that it made; zero if it is known by a commit only
	Moved   []Moved // the first MovedMax branches that it set
}

// Settler is a [Store] that can say how an operation ended.
type Settler interface {
	// Settle makes the outcome of an operation certain: it was applied, or it
	// was not and can't be any more. It moves the root by an operation that
	// changes nothing where that is needed to make it so. ErrForgotten if the
	// operation is too old, ErrUnknown if the store does not answer.
	Settle(ctx context.Context, op OpID) (Outcome, error)
}

// Settle asks s how an operation ended, see [Settler]; errors.ErrUnsupported
// if s can't say.
func Settle(ctx context.Context, s Store, op OpID) (Outcome, error) {
	t, ok := s.(Settler)
	if !ok {
		return Outcome{}, fmt.Errorf("outcome of operation %v: %w", op, errors.ErrUnsupported)
	}
	return t.Settle(ctx, op)
}

var _ Settler = (*Direct)(nil)

// Settle implements [Settler].
func (d *Direct) Settle(ctx context.Context, op OpID) (Outcome, error) {
	base, err := d.load(ctx)
	if err != nil {
		return Outcome{}, err
	}
	if rec, ok := base.root.FindOp(op); ok && rec.Gen < base.root.Gen {
		return outcomeOf(rec), nil
	}
	// The swap that nobody waits for may still arrive, or be there and not yet
	// durable. After another swap neither can be.
	res, applied, err := d.Poison(ctx, op)
	if err != nil {
		return Outcome{}, err
	}
	if applied {
		return Outcome{Applied: true, Gen: res.Gen, Moved: res.Moved}, nil
	}
	out, whole, err := d.recall(ctx, base.root, op)
	if err != nil || out.Applied {
		return out, err
	}
	if !whole || op.isUUIDv7() && d.o.Now().Sub(op.time()) > OpMemory {
		return Outcome{}, fmt.Errorf("operation %v: %w", op, ErrForgotten)
	}
	return Outcome{}, nil
}

func outcomeOf(rec OpRecord) Outcome { return Outcome{Applied: true, Gen: rec.Gen, Moved: rec.Moved} }

// recall looks for an operation that r does not remember: in the kept roots
// before it, then in the histories of all names. whole says that nothing that
// could tell was missing.
func (d *Direct) recall(ctx context.Context, r *Root, op OpID) (out Outcome, whole bool, err error) {
	since := op.time().Add(-opAge)
	if !op.isUUIDv7() {
		since = d.o.Now().Add(-OpMemory)
	}
	for at := r; ; {
		if rec, ok := at.FindOp(op); ok {
			return outcomeOf(rec), true, nil
		}
		if at.Gen == 1 || len(at.Ops) > 0 && at.Ops[0].Gen == 1 || madeBefore(at, since) {
			whole = true
			break
		}
		next := uint64(1)
		if len(at.Ops) > 0 {
			next = at.Ops[0].Gen
		}
		older, err := d.rootUpTo(ctx, at, next)
		if err != nil {
			return Outcome{}, false, err
		}
		if older == nil || older.Gen >= at.Gen {
			break
		}
		at = older
	}
	m, err := d.recallCommit(ctx, r, op, since)
	return Outcome{Applied: len(m) > 0, Moved: m}, whole, err
}

// madeBefore reports whether the oldest operation that r remembers was made
// before a time: one that was made later would be among its successors.
func madeBefore(r *Root, t time.Time) bool {
	for _, rec := range r.Ops {
		if rec.Op.isUUIDv7() {
			return rec.Op.time().Before(t)
		}
	}
	return false
}

// recallCommit looks for the commit that op made, in the histories of r's
// names down to a time.
func (d *Direct) recallCommit(ctx context.Context, r *Root, op OpID, since time.Time) ([]Moved, error) {
	l, err := d.load(ctx)
	if err != nil {
		return nil, err
	}
	snap, err := d.snapshot(ctx, l)
	if err != nil {
		return nil, err
	}
	seen := map[commit.ID]bool{}
	for name, rp := range r.Repos {
		for branch, b := range rp.Branches {
			id, err := findSince(ctx, snap, b.Commit, op, since, seen)
			if err != nil {
				return nil, fmt.Errorf("history of %s@%s: %w", name, branch, err)
			}
			if !id.IsZero() {
				return []Moved{{name, branch, id}}, nil
			}
		}
	}
	return nil, nil
}

// findSince returns the commit of op among the first parents from head down to
// a time, except those that were seen.
func findSince(ctx context.Context, r chunk.Reader, head commit.ID, op OpID, since time.Time, seen map[commit.ID]bool) (commit.ID, error) {
	want := op.String()
	for e, err := range commit.Log(ctx, r, head, commit.LogOptions{FirstParent: true}) {
		switch {
		case err != nil:
			return commit.ID{}, err
		case e.Commit.Op == want:
			return e.ID, nil
		case seen[e.ID] || e.Commit.Time.Before(since):
			return commit.ID{}, nil
		}
		seen[e.ID] = true
	}
	return commit.ID{}, nil
}
