package gc

import (
	"context"
	"slices"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/repo"
)

// markAll marks all that is live in root.
func (c *collector) markAll(ctx context.Context, root *repo.Root) error {
	snap, err := c.d.Packs().Snapshot(ctx, segmentKeys(root))
	if err != nil {
		return err
	}
	inv, err := snap.Inventory(ctx, nil)
	if err != nil {
		return err
	}
	c.base, c.known = root, len(inv.Packs)
	c.m = &marker{
		inv: inv, r: snap, workers: c.o.Workers,
		report: func(n int64) { c.o.Progress(Progress{Phase: "mark", Chunks: n}) },
		found:  func(p int) { c.noteLive(p) },
	}
	if err := c.readRootCopies(ctx, root); err != nil {
		return err
	}
	if _, err := c.setExpired(ctx, root); err != nil {
		return err
	}
	if err := c.m.mark(ctx, reached(root), false); err != nil {
		return err
	}
	if !c.o.rules.ignoreMemo {
		if err := c.markAttached(ctx, root.Memo, root.History); err != nil {
			return err
		}
	}
	if err := c.markRootCopies(ctx); err != nil {
		return err
	}
	return c.markKept(ctx, 0)
}

func segmentKeys(root *repo.Root) []string {
	keys := make([]string, len(root.Segments))
	for i, s := range root.Segments {
		keys[i] = s.Key
	}
	return keys
}

// noteLive notices that a chunk in a pack that was to go became live.
func (c *collector) noteLive(p int) {
	if c.plan != nil && p < len(c.plan.gone) && c.plan.gone[p] {
		c.stale.Store(true)
	}
}

// lenient returns batches whose chunks are marked as far as they are there.
func (c *collector) lenient(ctx context.Context) *batches {
	return &batches{mark: func(tasks []task) error { return c.m.mark(ctx, tasks, true) }}
}

// markAttached marks what memo and history segments name.
func (c *collector) markAttached(ctx context.Context, memos, histories []string) error {
	b := c.lenient(ctx)
	for _, key := range memos {
		if err := eachRecord(ctx, c.d.Objects(), key, func(r memo.Record) error { return b.add(memoRefs(r)...) }); err != nil {
			return err
		}
	}
	for _, key := range histories {
		err := eachAttempt(ctx, c.d.Objects(), key, func(a history.Attempt) error {
			if log, ok := a.Log.Ref(); ok {
				return b.add(log)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return b.flush()
}

// readRootCopies reads what the copies of roots name that are kept for undo.
func (c *collector) readRootCopies(ctx context.Context, root *repo.Root) error {
	copies, err := c.rootCopies(ctx, root)
	if err != nil {
		return err
	}
	var keys []string
	byKey, undo := map[string]rootCopy{}, map[string]bool{}
	for _, all := range [][]rootCopy{copies.undo, copies.held} {
		for _, r := range all {
			keys, byKey[r.key] = append(keys, r.key), r
		}
	}
	for _, r := range copies.undo {
		undo[r.key] = true
	}
	c.undone = map[commit.ID]bool{}
	decode := retains(root)
	return readMany(ctx, c.d.Objects(), keys, c.o.Workers, repo.RootSizeMax, func(key string, b []byte) error {
		switch {
		case byKey[key].onlyOpen(b):
			c.openRoots[key] = true
		case undo[key]:
			return c.noteUndo(b, decode)
		}
		return nil
	})
}

// noteUndo notes what a copy of a root names. With retention it must be no more
// than that, for it does not expire.
func (c *collector) noteUndo(b []byte, decode bool) error {
	if !decode {
		commitsIn(b, func(id commit.ID) { c.undone[id] = true })
		return nil
	}
	r, err := repo.DecodeRoot(b)
	if err != nil {
		return err
	}
	for _, id := range named(r) {
		c.undone[id] = true
	}
	return nil
}

// markRootCopies marks what they name.
func (c *collector) markRootCopies(ctx context.Context) error {
	b := c.lenient(ctx)
	for id := range c.undone {
		if err := b.add(commitRef(id)); err != nil {
			return err
		}
	}
	return b.flush()
}

// markKept marks all chunks in packs that stay whatever is in them, among the
// entries numbered from on: what is indexed must be whole.
func (c *collector) markKept(ctx context.Context, from int) error {
	kept := make([]bool, len(c.m.inv.Packs))
	for n := range kept {
		_, start, err := pack.ParseKey(c.m.inv.Packs[n].Key)
		if err != nil {
			return err
		}
		kept[n] = n >= c.known || start >= c.floor && !c.o.rules.dropAnyPack
	}
	if !slices.Contains(kept, true) {
		return nil
	}
	b := c.lenient(ctx)
	err := c.m.inv.Each(from, func(at, n int, e *pack.Entry) error {
		if !kept[n] {
			return nil
		}
		if e.Kind == chunk.Data {
			c.m.live.set(at)
			return nil
		}
		return b.add(chunk.Ref{Kind: e.Kind, ID: e.ID})
	})
	if err != nil {
		return err
	}
	return b.flush()
}

// follow moves the marks to a newer root: only what is new in it is marked.
func (c *collector) follow(ctx context.Context, root *repo.Root) error {
	if root.Gen == c.base.Gen {
		return nil
	}
	if root.Floor != c.base.Floor || !slices.Equal(root.Graveyard, c.base.Graveyard) {
		return errOvertaken
	}
	snap, err := c.d.Packs().Snapshot(ctx, segmentKeys(root))
	if err != nil {
		return err
	}
	before := c.m.inv
	inv, err := snap.Inventory(ctx, before)
	if err != nil {
		return err
	}
	old := c.base
	c.base, c.m.inv, c.m.r = root, inv, snap
	if err := c.transfer(before); err != nil || c.o.rules.noRemark {
		return err
	}
	if err := c.markBack(ctx, root); err != nil {
		return err
	}
	if err := c.m.mark(ctx, reached(root), false); err != nil {
		return err
	}
	if err := c.markAttached(ctx, added(old.Memo, root.Memo), added(old.History, root.History)); err != nil {
		return err
	}
	return c.markKept(ctx, before.Len())
}

// markBack marks the directories of versions that were to expire and have got
// a name meanwhile.
func (c *collector) markBack(ctx context.Context, root *repo.Root) error {
	back, err := c.setExpired(ctx, root)
	if err != nil || len(back) == 0 || c.o.rules.noBack {
		return err
	}
	var tasks []task
	for _, id := range back {
		v, err := commit.Load(ctx, c.m.r, id)
		if err != nil {
			return err
		}
		for _, t := range filesOf(&v) {
			if !gone(c.m.inv, t) {
				tasks = append(tasks, task{Ref: nodeRef(t)})
			}
		}
	}
	return c.m.mark(ctx, tasks, false)
}

// added returns the keys of after that are not in before.
func added(before, after []string) []string {
	return slices.DeleteFunc(slices.Clone(after), func(key string) bool { return slices.Contains(before, key) })
}

// transfer gives the entries of new segments that were merged from old ones
// the marks that they had there.
func (c *collector) transfer(before *pack.Inventory) error {
	c.m.live.grow(c.m.inv.Len())
	return c.m.inv.Each(before.Len(), func(at, _ int, e *pack.Entry) error {
		was, _, ok := before.Find(e.Kind, &e.ID)
		if !ok {
			return nil
		}
		if c.m.live.has(was) {
			c.m.live.set(at)
		}
		return nil
	})
}
