package gc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
)

func isAbsent(err error) bool {
	return errors.Is(err, fs.ErrNotExist) && !errors.Is(err, chunk.ErrCorrupt)
}

// empty deletes what has been in the graveyard for the grace, and takes the
// lists out of the root. Whatever part of it was done is done again by the
// next collection without harm: the names never come back.
func (c *collector) empty(ctx context.Context, root *repo.Root) error {
	x, err := c.index(ctx, root)
	if err != nil {
		return err
	}
	var done []string
	var bad error // graves that can't be emptied, which keep none of the others
	for _, g := range root.Graveyard {
		over, err := c.emptyGrave(ctx, x, g)
		if err != nil && !errors.Is(err, chunk.ErrCorrupt) {
			return err
		}
		bad = errors.Join(bad, err)
		if over && err == nil {
			done = append(done, g.List)
		}
	}
	if len(done) == 0 {
		return bad
	}
	op, err := c.d.NewOp()
	if err != nil {
		return err
	}
	after, err := c.d.Collect(ctx, op, func(_ context.Context, base *repo.Root) (repo.Collection, error) {
		return repo.Collection{Unbury: present(base, done)}, nil
	})
	if err != nil {
		return fmt.Errorf("close graves: %w", err)
	}
	c.rep.Gen = after.Gen
	lists := make([]string, 0, 2*len(done))
	for _, key := range done {
		lists = append(lists, key, orphansOf(key))
	}
	return errors.Join(bad, deleteAll(ctx, c.d.Objects(), lists, c.o.Workers, func(string) {}))
}

// present returns those of the lists that the root still names: another
// collection may have been faster.
func present(root *repo.Root, lists []string) []string {
	var there []string
	for _, g := range root.Graveyard {
		for _, l := range lists {
			if l == g.List {
				there = append(there, l)
			}
		}
	}
	return there
}

// emptyGrave deletes the objects of a grave whose time has come, and reports
// whether all of it is gone.
func (c *collector) emptyGrave(ctx context.Context, x index, g repo.Grave) (over bool, err error) {
	var keys []string
	sizes := map[string]int64{}
	over = true
	// However long this run has taken, its own grave stays: sessions that began
	// before know by it that there was a collection. One that waits for nobody
	// shows by the floor.
	stays := g.List == c.buried.key && !c.o.Immediate
	for _, name := range []string{g.List, orphansOf(g.List)} {
		l, err := loadList(ctx, c.d.Objects(), name)
		if isAbsent(err) {
			continue // deleted by an earlier run, or there were no orphans
		}
		if err != nil {
			return false, err
		}
		ripe := !stays && !c.now().Before(l.time.Add(c.o.Grace))
		over = over && ripe
		for _, o := range l.objects {
			if !ripe {
				c.rep.Waiting++
				c.rep.WaitingBytes += o.size
				continue
			}
			if err := c.checkDead(x, o.key); err != nil {
				return false, fmt.Errorf("%s: %w", name, err)
			}
			sizes[o.key] = o.size
			keys = append(keys, o.key)
		}
	}
	err = deleteAll(ctx, c.d.Objects(), keys, c.o.Workers, func(key string) {
		c.rep.Deleted++
		c.rep.DeletedBytes += sizes[key]
		c.o.Progress(Progress{Phase: "delete", Bytes: c.rep.DeletedBytes})
	})
	return over && err == nil, err
}

// checkDead holds an object once more against the rule that makes deleting it
// safe: it began below the floor, or is a merged index segment, which nobody
// names a second time; and nothing names it now.
func (c *collector) checkDead(x index, key string) error {
	gen, ok := genOf(key)
	switch {
	case !ok || !deletable(key):
		return fmt.Errorf("object %s is not for collection to delete: %w", key, chunk.ErrCorrupt)
	case c.o.rules != (rules{}):
		return nil
	case gen >= x.root.Floor && !pack.IsMerged(key) || x.names[key]:
		return fmt.Errorf("object %s is to be deleted and in use: %w", key, chunk.ErrCorrupt)
	}
	return nil
}

// deleteAll deletes objects, several at a time, and calls done for each, one
// call at a time.
func deleteAll(parent context.Context, objects objstore.Store, keys []string, workers int, done func(key string)) error {
	g, ctx := errgroup.WithContext(parent)
	g.SetLimit(max(1, workers))
	var mu sync.Mutex
	for _, key := range keys {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			if err := objects.Delete(ctx, key); err != nil {
				return fmt.Errorf("delete %s: %w", key, err)
			}
			mu.Lock()
			defer mu.Unlock()
			done(key)
			return nil
		})
	}
	return errors.Join(g.Wait(), context.Cause(parent))
}
