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
// that its segments, over which their keys are spread, are read through few
// times.
const blockDatums = 32 << 10

// resolvers is how many blocks are looked up beside each other.
const resolvers = 2

// listed is a datum of a listing: with its item, or with what it takes to
// make that.
type listed struct {
	item  engine.Item
	datum datum.Datum // if the item has no key yet
}

// resolved is a block with its results.
type resolved struct {
	items   []engine.Item
	missing []missing
}

// missing is a datum that has no result.
type missing struct {
	key   memo.Key
	datum datum.Datum
}

// resolving runs find, which queues datums, and beside it looks up their
// results.
func (l *listing) resolving(ctx context.Context, find func(context.Context) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(1 + resolvers)
	l.pass = func() error {
		block, to := l.block, &resolved{}
		l.block, l.resolved = nil, append(l.resolved, to)
		g.Go(func() error { return l.resolve(ctx, block, to) }) // waits for one to be done if there are enough
		return ctx.Err()
	}
	g.Go(func() error {
		if err := find(ctx); err != nil {
			return err
		}
		return l.pass()
	})
	if err := g.Wait(); err != nil {
		return err
	}
	l.collect()
	return nil
}

// collect puts together what the blocks gave, in the order of the listing.
func (l *listing) collect() {
	n := 0
	for _, r := range l.resolved {
		n += len(r.items)
	}
	l.answer.Items = make([]engine.Item, 0, n)
	for _, r := range l.resolved {
		l.answer.Items = append(l.answer.Items, r.items...)
		for _, m := range r.missing {
			l.answer.Missing[m.key] = m.datum
		}
	}
}

// add lists a datum, with its result if there is one.
func (l *listing) add(d datum.Datum) error {
	d.Inputs = slices.Clone(d.Inputs)
	return l.queue(listed{datum: d})
}

func (l *listing) queue(c listed) error {
	l.block = append(l.block, c)
	if len(l.block) < blockDatums {
		return nil
	}
	return l.pass()
}

// resolve makes the items of a block.
func (l *listing) resolve(ctx context.Context, block []listed, to *resolved) error {
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
	to.items = make([]engine.Item, len(block))
	for i := range block {
		c := &block[i]
		switch {
		case c.item.Hit:
		case results != nil && l.keys.counts(results[i]):
			c.item.Hit, c.item.Output = true, results[i].Output
		default:
			to.missing = append(to.missing, missing{c.item.Key, c.datum})
		}
		to.items[i] = c.item
	}
	return nil
}
