package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// replay accepts again what the journal has, and publishes it. A result whose
// chunks are gone is left out: its datum runs again.
func (c *Controller) replay(ctx context.Context, root *repo.Root) error {
	snap, err := c.journalled(ctx, root)
	if err != nil {
		return fmt.Errorf("replay the journal: %w", err)
	}
	done := map[chunk.ID]bool{}
	c.replayed, c.replays = map[engine.JobID]bool{}, true
	err = c.o.Journal.Replay(ctx, func(e Entry) error {
		err := c.adopt(ctx, snap, e, done)
		if errors.Is(err, chunk.ErrNotFound) || errors.Is(err, chunk.ErrCorrupt) {
			c.o.Report(fmt.Errorf("result of datum %s is lost, it runs again: %w", e.Attempt.Identity, err))
			return nil
		}
		if err == nil {
			c.replayed[e.Attempt.Job] = true
			c.log.Add(history.Record{Attempt: &e.Attempt})
		}
		return err
	})
	c.replays = false
	if err != nil {
		return fmt.Errorf("replay the journal: %w", err)
	}
	if len(c.replayed) > 0 {
		_, err = c.swap(ctx, repo.Txn{}, nil)
		return err
	}
	return c.o.Journal.Drop(ctx, c.o.Journal.Mark())
}

// journalled opens the chunks that the root and the journal's entries name.
func (c *Controller) journalled(ctx context.Context, root *repo.Root) (*pack.Snapshot, error) {
	var keys []string
	known := map[string]bool{}
	for _, s := range root.Segments {
		known[s.Key] = true
		keys = append(keys, s.Key)
	}
	err := c.o.Journal.Replay(ctx, func(e Entry) error {
		for _, k := range e.Segments {
			if known[k] {
				continue
			}
			known[k] = true
			_, err := c.o.Store.Packs().Snapshot(ctx, []string{k})
			switch {
			case errors.Is(err, pack.ErrMissing) || errors.Is(err, chunk.ErrCorrupt):
				c.o.Report(fmt.Errorf("results of the last run are lost: %w", err))
			case err != nil:
				return err
			default:
				keys = append(keys, k)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return c.o.Store.Packs().Snapshot(ctx, keys)
}

// adopt takes the chunks of an entry into the session, and its record into the
// memo.
func (c *Controller) adopt(ctx context.Context, snap *pack.Snapshot, e Entry, done map[chunk.ID]bool) error {
	fresh := map[chunk.ID]bool{}
	take := func(kind chunk.Kind, id chunk.ID) error {
		if done[id] || fresh[id] {
			return nil
		}
		b, err := snap.Get(ctx, kind, id)
		if err != nil {
			return err
		}
		if _, err := c.session.Put(ctx, kind, b); err != nil {
			return err
		}
		fresh[id] = true
		return nil
	}
	visit := func(kind chunk.Kind, id chunk.ID, _ int64) error { return take(kind, id) }
	if err := chunk.VisitContent(ctx, snap, e.Attempt.Log, visit); err != nil {
		return err
	}
	if e.Record != nil {
		skip := func(id chunk.ID) bool { return done[id] }
		if err := tree.Visit(ctx, snap, e.Record.Output, skip, take); err != nil {
			return err
		}
	}
	maps.Copy(done, fresh)
	if e.Record == nil {
		return nil
	}
	_, err := c.memo.Add(ctx, *e.Record)
	if errors.Is(err, memo.ErrFull) {
		if _, err = c.swap(ctx, repo.Txn{}, nil); err == nil {
			_, err = c.memo.Add(ctx, *e.Record)
		}
	}
	if errors.Is(err, memo.ErrMismatch) {
		return nil
	}
	return err
}
