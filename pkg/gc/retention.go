package gc

import (
	"context"
	"fmt"
	"maps"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
)

// expirable returns the versions whose files no retention keeps: those that
// branches with a retention reach and do not keep, unless something else does.
// A branch with a retention keeps its newest version, the last so many by first
// parents, and what another version took the place of not longer ago than its
// age, or than the grace, for jobs and readers that are at work on it. Every
// other branch, spec and pin keeps all it reaches; a tag, a kept copy of a root
// and the newest version of a pipeline's output keep the version that they name
// and those that this was made from.
func (c *collector) expirable(ctx context.Context, root *repo.Root, copies map[commit.ID]bool) (map[commit.ID]bool, error) {
	x := expiry{r: c.m.r, gone: map[commit.ID]bool{}, kept: map[commit.ID]bool{}, whole: map[commit.ID]bool{}, now: c.now(), least: c.o.Grace}
	if !retains(root) {
		return nil, nil
	}
	for _, r := range root.Repos {
		for _, b := range r.Branches {
			if b.Commit.IsZero() {
				continue
			}
			err := x.inputs(ctx, b.Commit)
			if err == nil && b.Keep != nil {
				err = x.branch(ctx, b.Commit, b.Keep)
			} else if err == nil {
				err = x.all(ctx, b.Commit)
			}
			if err != nil {
				return nil, fmt.Errorf("retention: %w", err)
			}
		}
		for _, s := range r.Specs {
			if err := x.all(ctx, s.Commit); err != nil {
				return nil, fmt.Errorf("retention: %w", err)
			}
		}
		for _, t := range r.Tags {
			x.kept[t.Commit] = true
		}
	}
	for _, p := range root.Pins {
		if err := x.all(ctx, p.Commit); err != nil {
			return nil, fmt.Errorf("retention: %w", err)
		}
	}
	for id := range x.gone {
		if x.kept[id] || x.whole[id] || copies[id] {
			delete(x.gone, id)
		}
	}
	return x.gone, nil
}

// retains reports whether any branch has a retention.
func retains(root *repo.Root) bool {
	for _, r := range root.Repos {
		for _, b := range r.Branches {
			if b.Keep != nil {
				return true
			}
		}
	}
	return false
}

// expiry finds what expires.
type expiry struct {
	r     chunk.Reader
	gone  map[commit.ID]bool // what a branch with a retention does not keep
	kept  map[commit.ID]bool // what one does, or something else names
	whole map[commit.ID]bool // what keeps all it reaches, seen to
	now   time.Time
	least time.Duration // nothing expires before
}

// branch decides about what a branch with a retention reaches.
func (x *expiry) branch(ctx context.Context, head commit.ID, keep *repo.Retention) error {
	line, n := head, int64(0)
	replaced := map[commit.ID]time.Time{head: x.now}
	for e, err := range commit.Log(ctx, x.r, head, commit.LogOptions{}) {
		if err != nil {
			return err
		}
		age := x.now.Sub(replaced[e.ID])
		kept := e.ID == head || age < x.least || age < keep.AgeTime()
		delete(replaced, e.ID) // its children came before: nothing asks again
		if e.ID == line {
			kept = kept || n < keep.Last
			n++
			line = commit.ID{}
			if len(e.Commit.Parents) > 0 {
				line = e.Commit.Parents[0]
			}
		}
		if kept {
			x.kept[e.ID] = true
		} else {
			x.gone[e.ID] = true
		}
		for _, p := range e.Commit.Parents {
			if t := e.Commit.Time; t.After(replaced[p]) {
				replaced[p] = t
			}
		}
	}
	return nil
}

// all keeps a commit and all that it reaches.
func (x *expiry) all(ctx context.Context, from commit.ID) error {
	for todo := []commit.ID{from}; len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if x.whole[id] {
			continue
		}
		x.whole[id] = true
		v, err := commit.Load(ctx, x.r, id)
		if err != nil {
			return err
		}
		todo = append(todo, v.Parents...)
	}
	return nil
}

// inputs keeps the versions that a pipeline's newest output was made from: the
// next job compares its inputs with them.
func (x *expiry) inputs(ctx context.Context, head commit.ID) error {
	v, err := commit.Load(ctx, x.r, head)
	if err != nil || v.Prov == nil {
		return err
	}
	for _, in := range v.Prov.Inputs {
		x.kept[in.Commit] = true
	}
	return nil
}

// setExpired looks anew what expires, and returns the versions that were to and
// are not any more: a name was given to them meanwhile. What only expires since
// the first look is left to the next collection: it is marked.
func (c *collector) setExpired(ctx context.Context, root *repo.Root) (back []commit.ID, err error) {
	now, err := c.expirable(ctx, root, c.undone)
	if err != nil {
		return nil, err
	}
	if c.m.expired == nil {
		c.m.expired = map[commit.ID]bool{}
		maps.Copy(c.m.expired, now)
		return nil, nil
	}
	for id := range c.m.expired {
		if !now[id] {
			back = append(back, id)
		}
	}
	for _, id := range back {
		delete(c.m.expired, id)
	}
	return back, nil
}

// noteGone writes, for each directory that expires with this collection, that
// it did.
func (c *collector) noteGone(ctx context.Context) error {
	c.rep.Expired = 0
	for id := range c.m.expired {
		v, err := commit.Load(ctx, c.m.r, id)
		if err != nil {
			return err
		}
		fresh := false
		for _, t := range filesOf(&v) {
			at, _, ok := c.m.inv.Find(chunk.Node, (*chunk.ID)(&t.ID))
			if !ok || c.m.live.has(at) {
				continue // gone before, or something else has the same
			}
			fresh = true
			if c.o.DryRun || has(c.m.inv, repo.GoneRef(t.ID)) {
				continue
			}
			if err := c.startCopies(ctx); err != nil {
				return err
			}
			if _, err := c.copies.Put(ctx, chunk.Gone, t.ID[:]); err != nil {
				return fmt.Errorf("note what expires: %w", err)
			}
		}
		if fresh {
			c.rep.Expired++
		}
	}
	return nil
}
