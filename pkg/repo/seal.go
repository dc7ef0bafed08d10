package repo

import (
	"context"
	"errors"
	"fmt"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// sealTriesMax is how often a seal begins anew because of others: each time
// somebody else has sealed the branch.
const sealTriesMax = 10

// seal makes the writes of a branch's open commit its next version. A branch
// that has none is left as it is: the Result is zero then.
func (d *Direct) seal(ctx context.Context, op OpID, repo, branch string) (Result, error) {
	for n := 1; ; n++ {
		res, err := d.trySeal(ctx, op, repo, branch)
		if (errors.Is(err, ErrConflict) || errors.Is(err, ErrDoomed)) && n < sealTriesMax {
			continue
		}
		if err != nil {
			return Result{}, fmt.Errorf("seal %s@%s: %w", repo, branch, err)
		}
		return res, nil
	}
}

func (d *Direct) trySeal(ctx context.Context, op OpID, repo, branch string) (Result, error) {
	l, err := d.load(ctx)
	if err != nil {
		return Result{}, err
	}
	if rec, ok := l.root.FindOp(op); ok {
		return Result{Gen: rec.Gen, Replay: true, Moved: rec.Moved}, nil
	}
	if _, err := (&change{root: l.root}).branch(repo, branch); err != nil {
		return Result{}, err
	}
	o, ok := l.root.Open[OpenKey(repo, branch)]
	if !ok {
		return Result{Gen: l.root.Gen}, nil
	}
	s, err := d.Session(ctx, Scope{Repo: repo, Branch: branch})
	if err != nil {
		return Result{}, err
	}
	defer func() { _ = s.Close() }()
	to, from, err := d.makeSealed(ctx, s, op, &o)
	if err != nil {
		return Result{}, err
	}
	// The writes were allowed when they were made: sealing is nobody's move.
	return s.Publish(auth.With(ctx, auth.Owner), Txn{Op: op, Ops: []Op{sealOpen{
		Repo: repo, Branch: branch, Base: o.Base, Gen: o.Gen, Writes: o.Writes, Tree: &from, To: to,
	}}})
}

// makeSealed stores the commit that an open commit becomes: its base, if the
// writes have changed nothing. from is the directory below the batches.
func (d *Direct) makeSealed(ctx context.Context, s Session, op OpID, o *OpenCommit) (to commit.ID, from tree.Root, err error) {
	if from, err = o.below(ctx, s); err != nil {
		return to, from, err
	}
	writes, err := loadOverlay(ctx, s, o.Batches)
	if err != nil {
		return to, from, err
	}
	root, err := tree.Apply(ctx, s, from, writes.edits)
	if err != nil {
		return to, from, err
	}
	if from.ID == (tree.ID{}) { // sealOpen names it
		if from, err = tree.Empty(ctx, s); err != nil {
			return to, from, err
		}
	}
	parents := parentsOf(o.Base, nil)
	base, at, err := loadParents(ctx, s, o.Base, parents, d.o.Now())
	if err != nil {
		return to, from, err
	}
	if base.Tree.ID == root.ID || o.Base.IsZero() && root.Files == 0 && root.ID == from.ID {
		return o.Base, from, nil
	}
	author := o.By
	if author == "" {
		author = auth.Owner.Name
	}
	v, err := commit.Index(ctx, s, commit.Commit{
		Tree: root, Parents: parents, Author: author, Time: at, Message: fmt.Sprintf("sealed writes: %d", o.Writes), Op: op.String(),
	})
	if err != nil {
		return to, from, err
	}
	to, err = commit.Save(ctx, s, v)
	return to, from, err
}

// sealFor seals the branches that a transaction can't change before.
func (d *Direct) sealFor(ctx context.Context, t Txn) error {
	l, err := d.load(ctx)
	if err != nil {
		return err
	}
	for key := range l.root.Open {
		repo, branch := splitOpenKey(key)
		if !t.changes(repo, branch) {
			continue
		}
		op, err := d.NewOp()
		if err != nil {
			return err
		}
		if _, err := d.seal(ctx, op, repo, branch); err != nil {
			return err
		}
	}
	return nil
}

// changes reports whether the transaction moves or removes a branch.
func (t *Txn) changes(repo, branch string) bool {
	for _, op := range t.Ops {
		switch op := op.(type) {
		case MoveBranch:
			if op.Repo == repo && op.Branch == branch {
				return true
			}
		case DeleteBranch:
			if op.Repo == repo && op.Branch == branch {
				return true
			}
		case DeleteRepo:
			if op.Repo == repo {
				return true
			}
		}
	}
	return false
}

// SealFirst makes the writes of a branch that are not sealed yet its next
// version, if there are any, and returns the names as they are then: what who
// means to move a branch begins with. op is the operation that follows.
func SealFirst(ctx context.Context, s Store, op OpID, repo, branch string) (*View, error) {
	v, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	if _, open := v.Open[OpenKey(repo, branch)]; !open {
		return v, nil
	}
	if _, err := s.Move(ctx, Txn{Op: sealOp(op), Ops: []Op{Seal{Repo: repo, Branch: branch}}}); err != nil {
		return nil, err
	}
	return s.View(ctx)
}

// sealOp returns the operation ID of the seal that comes before an operation.
func sealOp(op OpID) OpID {
	h := beforeHash.sum(op[:])
	return OpID(h[:len(op)])
}
