package pipeline

import (
	"context"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/datum"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
)

// blockDatums is how many datums are looked up in the memo together: enough
// that its segments are read in large pieces.
const blockDatums = 8192

// listed is a datum of a listing: with its item, or with what it takes to
// make that.
type listed struct {
	item  engine.Item
	datum datum.Datum // if the item has no key yet
}

// resolving runs find, which queues datums, and beside it looks up their
// results.
func (l *listing) resolving(ctx context.Context, find func(context.Context) error) error {
	l.blocks = make(chan []listed, 1)
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		for block := range l.blocks {
			if err := l.resolve(ctx, block); err != nil {
				return err
			}
		}
		return nil
	})
	g.Go(func() error {
		defer close(l.blocks)
		if err := find(ctx); err != nil {
			return err
		}
		return l.pass(ctx)
	})
	return g.Wait()
}

// add lists a datum, with its result if there is one.
func (l *listing) add(ctx context.Context, d datum.Datum) error {
	d.Inputs = slices.Clone(d.Inputs)
	return l.queue(ctx, listed{datum: d})
}

func (l *listing) queue(ctx context.Context, c listed) error {
	l.block = append(l.block, c)
	if len(l.block) < blockDatums {
		return nil
	}
	return l.pass(ctx)
}

// pass hands over what is queued.
func (l *listing) pass(ctx context.Context) error {
	select {
	case l.blocks <- l.block:
		l.block = nil
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// resolve makes the items of a block.
func (l *listing) resolve(ctx context.Context, block []listed) error {
	keys := make([]memo.Key, len(block))
	for i := range block {
		c := &block[i]
		if (c.item.Key == memo.Key{}) {
			c.item.Identity, c.item.Key = c.datum.Identity, l.keys.key(c.datum)
		}
		keys[i] = c.item.Key
	}
	var results []memo.Record
	if !l.keys.anew() {
		var err error
		if results, err = l.o.Memo.LookupAll(ctx, keys, l.o.Scope); err != nil {
			return err
		}
	}
	for i, c := range block {
		switch {
		case c.item.Hit:
		case results != nil && l.keys.counts(results[i]):
			c.item.Hit, c.item.Output = true, results[i].Output
		default:
			l.answer.Missing[c.item.Key] = c.datum
		}
		l.answer.Items = append(l.answer.Items, c.item)
	}
	return nil
}
