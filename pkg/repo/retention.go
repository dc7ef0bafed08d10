package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// ErrExpired: collection has given the files of the version up, as the
// retention of its branch says; its place in the log is all that is left. It
// wraps fs.ErrNotExist.
var ErrExpired = fmt.Errorf("the files of this version have expired (dvx retention show tells what is kept): %w", fs.ErrNotExist)

// retentionFeature is set when a branch is first given a retention, and stays:
// from then on versions may be without their directories.
const retentionFeature = "retention"

// Retention says which versions of a branch keep their files: those that
// either field keeps, and the newest in any case. Collection gives up the files
// of the others; see package gc.
type Retention struct {
	Last int64 `json:"last,omitempty"` // the newest that many, following first parents; 0 keeps none by number
	Age  int64 `json:"age,omitempty"`  // those that another took the place of in the last so many milliseconds; 0 keeps none by age
}

// retentionMax bounds the fields of a Retention: a hundred years in
// milliseconds.
const retentionMax = 100 * 366 * 24 * 3600 * 1000

func (r *Retention) check() error {
	switch {
	case r == nil:
		return nil
	case r.Last < 0 || r.Last > retentionMax || r.Age < 0 || r.Age > retentionMax:
		return invalid("retention of %d versions and %d ms: want none negative, and no time above 100 years", r.Last, r.Age)
	case *r == Retention{}:
		return invalid("retention that keeps nothing: keep the last version, or clear the retention")
	}
	return nil
}

// AgeTime returns Age as a duration.
func (r *Retention) AgeTime() time.Duration { return time.Duration(r.Age) * time.Millisecond }

// SetRetention says which versions of a branch keep their files; nil keeps all.
// It needs the right to protect the branch.
type SetRetention struct {
	Repo, Branch string
	Keep         *Retention
}

func (SetRetention) op() {}

func (c *change) setRetention(op SetRetention) error {
	r, err := c.open(op.Repo)
	if err != nil {
		return err
	}
	b, ok := r.Branches[op.Branch]
	if !ok {
		return fmt.Errorf("branch %s@%.300s: %w", op.Repo, op.Branch, ErrRefNotFound)
	}
	if err := c.allowed(op.Repo, op.Branch, b); err != nil && c.env.Principal != auth.Owner {
		return err
	}
	if err := op.Keep.check(); err != nil {
		return err
	}
	b.Keep = op.Keep
	r.Branches[op.Branch] = b
	c.put(op.Repo, r)
	if op.Keep != nil {
		c.feature(retentionFeature)
	}
	return nil
}

// GoneRef names the chunk that says of a directory that it was given up.
func GoneRef(id tree.ID) chunk.Ref { return chunk.Ref{Kind: chunk.Gone, ID: chunk.Gone.Sum(id[:])} }

// expired returns ErrExpired in place of err, with which a node was not found,
// if the directory was given up.
func expired(ctx context.Context, has hasChunk, kind chunk.Kind, id chunk.ID, err error) error {
	if kind != chunk.Node || !errors.Is(err, chunk.ErrNotFound) {
		return err
	}
	ref := GoneRef(tree.ID(id))
	if gone, herr := has(ctx, ref.Kind, ref.ID); herr == nil && gone {
		return fmt.Errorf("directory %s: %w", id.Short(), ErrExpired)
	}
	return err
}

// hasChunk tells whether a chunk is indexed.
type hasChunk = func(context.Context, chunk.Kind, chunk.ID) (bool, error)

// expired reports whether a version's directory was given up. A version that a
// name is to point to must not be: that fails with ErrExpired.
func (c *closure) expired(ctx context.Context, v commit.Commit, named bool) (bool, error) {
	if !slices.Contains(c.root.Features, retentionFeature) {
		return false, nil
	}
	for _, t := range []tree.Root{v.Tree, v.Datums()} {
		if t.ID.IsZero() {
			continue
		}
		has, err := c.has(ctx, chunk.Node, chunk.ID(t.ID))
		if err != nil {
			return false, err
		}
		if has {
			continue
		}
		ref := GoneRef(t.ID)
		gone, err := c.base.Has(ctx, ref.Kind, ref.ID)
		if gone && named {
			err = ErrExpired
		}
		if gone || err != nil {
			return gone, err
		}
	}
	return false, nil
}
