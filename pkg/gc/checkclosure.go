package gc

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/tree"
)

// badChunks are the chunks that are absent or can't be read.
type badChunks struct {
	mu   sync.Mutex
	refs map[chunk.Ref]bool
}

func (b *badChunks) add(r chunk.Ref) (fresh bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fresh = !b.refs[r]
	if b.refs == nil {
		b.refs = map[chunk.Ref]bool{}
	}
	b.refs[r] = true
	return fresh
}

func (b *badChunks) has(r chunk.Ref) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refs[r]
}

// reader reads metadata through what of the index is sound.
func (c *checker) reader() chunk.Reader { return retrying{c.snap, c.f} }

// checkClosure marks as a collection does, and goes on where something is
// wrong. Then it holds every version against its parent.
func (c *checker) checkClosure(ctx context.Context) error {
	from, severity := "", Damage
	c.m = &marker{
		inv: c.inv, r: c.reader(), workers: c.o.Workers, found: func(int) {},
		report: func(n int64) { c.o.Progress(Progress{Phase: "mark", Chunks: n}) },
		problem: func(t task, err error) {
			if !c.bad.add(t.Ref) {
				return
			}
			x := Finding{Severity: severity, Kind: BadChunk, Chunk: refText(t.Ref), Detail: from + err.Error()}
			switch {
			case errors.Is(err, errAbsent):
				x.Kind = MissingChunk
			case severity == Damage:
				x.Severity = severityOf(err)
			}
			c.f.add(x)
		},
	}
	if err := c.m.mark(ctx, reached(c.root), false); err != nil {
		return err
	}
	c.rep.Reached = c.m.marked
	if err := c.checkKept(ctx); err != nil {
		return err
	}
	if err := c.checkVersions(ctx); err != nil {
		return err
	}
	from = "a memo record needs it: "
	for _, key := range c.root.Memo {
		if err := c.checkMemo(ctx, key); err != nil {
			return err
		}
	}
	from, severity = "a log of the history: ", Notice
	for _, key := range c.root.History {
		if err := c.checkHistory(ctx, key); err != nil {
			return err
		}
	}
	c.rep.Reached = c.m.marked
	from = "no version needs it, but writers may build on what points to it: "
	return c.checkRest(ctx)
}

// checkKept looks whether the versions that have names have not expired.
func (c *checker) checkKept(ctx context.Context) error {
	for _, p := range places(c.root) {
		v, err := commit.Load(ctx, c.reader(), p.commit)
		if err != nil {
			continue // found before
		}
		for _, t := range filesOf(&v) {
			if gone(c.inv, t) {
				c.f.add(Finding{
					Severity: Damage, Kind: MissingChunk, Repo: p.repo, Ref: p.ref, Commit: p.commit,
					Chunk: refText(nodeRef(t)), Detail: "retention gave it up, and the version has a name",
				})
			}
		}
	}
	return ctx.Err()
}

func refText(r chunk.Ref) string { return r.Kind.String() + " " + r.ID.String() }

// checkRest looks below the metadata that nothing reaches.
func (c *checker) checkRest(ctx context.Context) error {
	b := &batches{mark: func(tasks []task) error { return c.m.mark(ctx, tasks, true) }}
	err := c.inv.Each(0, func(at, _ int, e *pack.Entry) error {
		if !e.Kind.Meta() || c.m.live.has(at) {
			return nil
		}
		return b.add(chunk.Ref{Kind: e.Kind, ID: e.ID})
	})
	if err != nil {
		return err
	}
	return b.flush()
}

// checkMemo verifies a memo segment, and that all its records name is there.
func (c *checker) checkMemo(ctx context.Context, key string) error {
	b := &batches{mark: func(tasks []task) error { return c.m.mark(ctx, tasks, true) }}
	err := c.f.again(ctx, key, func() error {
		return eachRecord(ctx, c.objects, key, func(r memo.Record) error { return b.add(memoRefs(r)...) })
	})
	if err != nil && ctx.Err() == nil {
		c.f.add(Finding{Severity: severityOf(err), Kind: BadMemo, Object: key, Detail: err.Error()})
	}
	return b.flush()
}

func (c *checker) checkHistory(ctx context.Context, key string) error {
	b := &batches{mark: func(tasks []task) error { return c.m.mark(ctx, tasks, true) }}
	err := c.f.again(ctx, key, func() error {
		return eachAttempt(ctx, c.objects, key, func(a history.Attempt) error {
			if log, ok := a.Log.Ref(); ok {
				return b.add(log)
			}
			return nil
		})
	})
	if err != nil && ctx.Err() == nil {
		c.f.add(Finding{Severity: severityOf(err), Kind: BadHistory, Object: key, Detail: err.Error()})
	}
	return b.flush()
}

// checkVersions holds every version that names reach against its parents: its
// time, and that its directories are what their entries make.
func (c *checker) checkVersions(ctx context.Context) error {
	ids := make(chan commit.ID)
	var all sync.WaitGroup
	for range c.o.Workers {
		all.Go(func() {
			for id := range ids {
				c.checkVersion(ctx, id)
			}
		})
	}
	err := c.inv.Each(0, func(at, _ int, e *pack.Entry) error {
		if e.Kind != chunk.Commit || !c.m.live.has(at) {
			return nil
		}
		c.rep.Versions++
		ids <- commit.ID(e.ID)
		return ctx.Err()
	})
	close(ids)
	all.Wait()
	c.rep.Expired = c.expired.Load()
	return err
}

func (c *checker) checkVersion(ctx context.Context, id commit.ID) {
	r := c.reader()
	v, err := commit.Load(ctx, r, id)
	if err != nil {
		return // found before
	}
	say := func(kind string, err error) {
		if err != nil && ctx.Err() == nil {
			c.f.add(Finding{Severity: severityOf(err), Kind: kind, Commit: id, Detail: err.Error()})
		}
	}
	say(BadVersion, commit.CheckParents(ctx, r, v))
	var parent commit.Commit
	if len(v.Parents) > 0 {
		parent, _ = commit.Load(ctx, r, v.Parents[0]) // if it fails, it was found before
	}
	if gone(c.inv, v.Tree) {
		c.expired.Add(1)
	}
	for _, p := range [][2]tree.Root{{parent.Tree, v.Tree}, {parent.Datums(), v.Datums()}, {parent.Marks(), v.Marks()}} {
		before, now := p[0], p[1]
		if gone(c.inv, before) {
			before = tree.Root{}
		}
		if now.ID.IsZero() || gone(c.inv, now) {
			continue
		}
		if err := tree.VerifyChange(ctx, r, before, now); err != nil {
			say(BadTree, fmt.Errorf("directory %v: %w", chunk.ID(now.ID).Short(), err))
		}
	}
}
