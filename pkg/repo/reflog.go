package repo

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
)

// RefMove is one change of where a branch points.
type RefMove struct {
	Repo, Branch string
	Gen          uint64    // of the root that it made
	Op           OpID      // the operation
	Time         time.Time // when the operation ID was made; zero if it does not tell
	From, To     commit.ID // zero: the branch was empty or not there
	Made         bool      // the branch was not there before
	Removed      bool      // it is not there afterwards
}

// Historian is a [Store] that remembers where its branches were.
type Historian interface {
	// Reflog yields the moves of a branch, newest first, from the kept copies of
	// roots: as far back as retention lets it. The branch need not be there any
	// more. It stops at the first error, which it yields.
	Reflog(ctx context.Context, repo, branch string) iter.Seq2[RefMove, error]
}

// Reflog asks s where a branch was, see [Historian]; it yields
// errors.ErrUnsupported if s does not know.
func Reflog(ctx context.Context, s Store, repo, branch string) iter.Seq2[RefMove, error] {
	h, ok := s.(Historian)
	if !ok {
		return func(yield func(RefMove, error) bool) {
			yield(RefMove{}, fmt.Errorf("moves of %s@%s: %w", repo, branch, errors.ErrUnsupported))
		}
	}
	return h.Reflog(ctx, repo, branch)
}

var _ Historian = (*Direct)(nil)

// reflogGapMax is how many roots are read one by one in search of a branch
// that was removed.
const reflogGapMax = 4096

// Reflog implements [Historian].
func (d *Direct) Reflog(ctx context.Context, repo, branch string) iter.Seq2[RefMove, error] {
	return func(yield func(RefMove, error) bool) {
		l, err := d.load(ctx)
		if err != nil {
			yield(RefMove{}, err)
			return
		}
		for at := l.root; at != nil; {
			m, earlier, err := d.lastMove(ctx, at, repo, branch)
			if err != nil {
				yield(RefMove{}, fmt.Errorf("moves of %s@%s: %w", repo, branch, err))
				return
			}
			if m.Gen == 0 || !yield(m, nil) {
				return
			}
			at = earlier
		}
	}
}

// lastMove returns the last move of a branch up to the root at, and the root
// before it. Gen is zero if none is remembered.
func (d *Direct) lastMove(ctx context.Context, at *Root, repo, branch string) (m RefMove, earlier *Root, err error) {
	b, there := at.Repos[repo].Branches[branch]
	if !there {
		return d.lastRemoval(ctx, at, repo, branch)
	}
	made, err := d.rootUpTo(ctx, at, b.Gen)
	if err != nil || made == nil || made.Gen != b.Gen {
		return RefMove{}, nil, err
	}
	m = RefMove{Repo: repo, Branch: branch, Gen: made.Gen, Op: made.Op, Time: opTime(made.Op), To: b.Commit}
	if made.Gen == 1 {
		m.Made = true
		return m, nil, nil
	}
	if earlier, err = d.before(ctx, made); err != nil || earlier == nil {
		return RefMove{}, nil, err
	}
	was, there := earlier.Repos[repo].Branches[branch]
	m.From, m.Made = was.Commit, !there
	return m, earlier, nil
}

// lastRemoval looks for the root that removed a branch.
func (d *Direct) lastRemoval(ctx context.Context, at *Root, repo, branch string) (RefMove, *Root, error) {
	for range reflogGapMax {
		earlier, err := d.before(ctx, at)
		if err != nil || earlier == nil {
			return RefMove{}, nil, err
		}
		if was, there := earlier.Repos[repo].Branches[branch]; there {
			m := RefMove{
				Repo: repo, Branch: branch, Gen: at.Gen, Op: at.Op, Time: opTime(at.Op),
				From: was.Commit, Removed: true,
			}
			return m, earlier, nil
		}
		at = earlier
	}
	return RefMove{}, nil, nil
}

func opTime(op OpID) time.Time {
	if !op.isUUIDv7() {
		return time.Time{}
	}
	return op.time().UTC()
}

// UndoOptions say which move of a branch to take back.
type UndoOptions struct {
	Repo, Branch string
	Op           OpID   // of the move that is made
	Gen          uint64 // of the move to go back before; zero for the last one
}

// Undo sets a branch to where it was before a move, by a new move: nothing of
// the past is changed, and an Undo can be undone. A branch that the move made
// is removed, and one that it removed is made again. It returns the move that
// was taken back; ErrRefNotFound if none of the branch is remembered, or not
// that one, ErrConflict if the branch is moved meanwhile.
func Undo(ctx context.Context, s Store, o UndoOptions) (RefMove, error) {
	v, err := SealFirst(ctx, s, o.Op, o.Repo, o.Branch)
	if err != nil {
		return RefMove{}, err
	}
	last, err := findMove(ctx, s, o)
	if err != nil {
		return RefMove{}, fmt.Errorf("undo %s@%s: %w", o.Repo, o.Branch, err)
	}
	now, there := v.Repos[o.Repo].Branches[o.Branch]
	var op Op
	switch {
	case !there && last.Made:
		return RefMove{}, fmt.Errorf("undo %s@%s: it was not there before either: %w", o.Repo, o.Branch, ErrRefNotFound)
	case !there:
		op = CreateBranch{Repo: o.Repo, Branch: o.Branch, From: last.From}
	case last.Made:
		op = DeleteBranch{Repo: o.Repo, Branch: o.Branch, Expect: now.Commit}
	case last.From.IsZero():
		return RefMove{}, fmt.Errorf("undo %s@%s: it was empty before, and can't be made so: %w", o.Repo, o.Branch, ErrRefNotFound)
	default:
		op = MoveBranch{Repo: o.Repo, Branch: o.Branch, Expect: now.Commit, To: last.From, Force: true}
	}
	_, err = s.Move(ctx, Txn{Op: o.Op, Ops: []Op{op}})
	return last, err
}

// findMove returns the move that is to be taken back.
func findMove(ctx context.Context, s Store, o UndoOptions) (RefMove, error) {
	for m, err := range Reflog(ctx, s, o.Repo, o.Branch) {
		if err != nil {
			return RefMove{}, err
		}
		if o.Gen == 0 || m.Gen == o.Gen {
			return m, nil
		}
		if m.Gen < o.Gen {
			break
		}
	}
	if o.Gen != 0 {
		return RefMove{}, fmt.Errorf("no move of it at generation %d is remembered: %w", o.Gen, ErrRefNotFound)
	}
	return RefMove{}, fmt.Errorf("no move of it is remembered: %w", ErrRefNotFound)
}
