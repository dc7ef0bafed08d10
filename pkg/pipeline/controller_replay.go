package pipeline

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// replay accepts again what the journal has, and publishes it. A result whose
// chunks are gone is left out: its datum runs again.
func (c *Controller) replay(ctx context.Context, root *repo.Root) error {
	mark := c.o.Journal.Mark()
	named := map[string]bool{}
	var base []string
	for _, s := range root.Segments {
		named[s.Key] = true
		base = append(base, s.Key)
	}
	done := map[chunk.ID]bool{}
	replayed := 0
	err := c.o.Journal.Replay(ctx, func(e Entry) error {
		keys := base
		for _, k := range e.Segments {
			if !named[k] {
				keys = append(keys[:len(keys):len(keys)], k)
			}
		}
		err := c.adopt(ctx, keys, e, done)
		if errors.Is(err, pack.ErrMissing) || errors.Is(err, chunk.ErrNotFound) || errors.Is(err, chunk.ErrCorrupt) {
			c.o.Report(fmt.Errorf("result of datum %s is lost, it runs again: %w", e.Attempt.Identity, err))
			return nil
		}
		if err == nil {
			replayed++
			c.log.Add(history.Record{Attempt: &e.Attempt})
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("replay the journal: %w", err)
	}
	if replayed == 0 {
		return c.o.Journal.Drop(ctx, mark)
	}
	_, err = c.swap(ctx, repo.Txn{}, nil)
	return err
}

// adopt takes the chunks of an entry into the session, and its record into the
// memo.
func (c *Controller) adopt(ctx context.Context, segments []string, e Entry, done map[chunk.ID]bool) error {
	snap, err := c.o.Store.Packs().Snapshot(ctx, segments)
	if err != nil {
		return err
	}
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
	_, err = c.memo.Add(ctx, *e.Record)
	if errors.Is(err, memo.ErrMismatch) {
		return nil
	}
	return err
}
