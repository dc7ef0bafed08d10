package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
)

// copyLive copies what is live in the packs that go, as far as it was not
// copied for an earlier attempt, and writes the index of the copies.
func (c *collector) copyLive(ctx context.Context) error {
	p := c.plan
	var copied int64
	for n, gone := range p.gone {
		if !gone || p.use[n].live == 0 {
			continue
		}
		if err := c.startCopies(ctx); err != nil {
			return err
		}
		err := c.d.Packs().ReadChunks(ctx, c.m.inv.Packs[n].Key,
			func(e *pack.Entry) (bool, error) { return c.mustCopy(ctx, n, e) },
			func(e *pack.Entry, plain []byte) error {
				copied += int64(e.Stored)
				_, err := c.copies.Put(ctx, e.Kind, plain)
				return err
			})
		if errors.Is(err, chunk.ErrCorrupt) {
			err = c.copyTwins(ctx, n, err)
		}
		if err != nil {
			return fmt.Errorf("copy what is live: %w", err)
		}
		c.o.Progress(Progress{Phase: "repack", Bytes: copied})
	}
	if err := c.noteGone(ctx); err != nil || c.copies == nil {
		return err
	}
	return c.copies.Flush(ctx)
}

// copyTwins copies what is live in pack n, which is damaged, from wherever the
// index has it: chunks that several writers stored at a time are in several
// packs. It fails with damage if one of them is sound nowhere.
func (c *collector) copyTwins(ctx context.Context, n int, damage error) error {
	snap, err := c.d.Packs().Snapshot(ctx, segmentKeys(c.base))
	if err != nil {
		return err
	}
	return c.m.inv.Each(0, func(_, at int, e *pack.Entry) error {
		if at != n {
			return nil
		}
		must, err := c.mustCopy(ctx, n, e)
		if err != nil || !must {
			return err
		}
		plain, err := snap.Get(ctx, e.Kind, e.ID)
		if err != nil {
			return errors.Join(damage, err)
		}
		_, err = c.copies.Put(ctx, e.Kind, plain)
		return err
	})
}

// startCopies opens the session for what the collection itself stores.
func (c *collector) startCopies(ctx context.Context) (err error) {
	if c.copies == nil {
		c.copies, err = c.d.Packs().Session(ctx, nil, c.session.Name)
	}
	return err
}

// mustCopy reports whether an entry of pack n is the one that stands for a live
// chunk, and was not copied yet.
func (c *collector) mustCopy(ctx context.Context, n int, e *pack.Entry) (bool, error) {
	at, p, ok := c.m.inv.Find(e.Kind, &e.ID)
	if !ok || p != n || !c.m.live.has(at) {
		return false, nil
	}
	has, err := c.copies.Has(ctx, e.Kind, e.ID)
	return !has, err
}

// filter writes an index segment in place of those that name gone packs. One
// that was written for an earlier attempt is used again if it still fits.
func (c *collector) filter(ctx context.Context) error {
	gone := c.plan.gone
	drop := c.m.inv.SegmentsOf(func(n int) bool { return n < len(gone) && gone[n] })
	f := &c.filtered
	if f.plan == c.plan && slices.Equal(f.drop, drop) {
		return nil
	}
	f.plan, f.drop, f.add = c.plan, drop, nil
	if len(drop) == 0 {
		return nil
	}
	names := map[string]bool{}
	for n := range gone {
		if gone[n] {
			names[c.m.inv.Packs[n].Key] = true
		}
	}
	f.n++
	key, err := c.d.Packs().FilterSegments(ctx, c.session.Name, f.n-1, drop, func(key string) bool { return names[key] })
	if err != nil || key == "" {
		return err
	}
	f.add, err = c.segments(ctx, []string{key})
	return err
}

// bury writes the list of what leaves the index and returns its key. A list
// without objects is written too: the orphans are listed beside it.
func (c *collector) bury(ctx context.Context) (string, error) {
	b := &c.buried
	if b.plan == c.plan && slices.Equal(b.filtered, c.filtered.drop) {
		return b.key, nil
	}
	l := list{time: c.now()}
	for n, gone := range c.plan.gone {
		if gone {
			l.objects = append(l.objects, object{c.m.inv.Packs[n].Key, c.m.inv.Packs[n].Size})
		}
	}
	for _, key := range c.filtered.drop {
		info, err := c.d.Objects().Stat(ctx, key)
		if err != nil {
			return "", fmt.Errorf("index segment %s: %w", key, err)
		}
		l.objects = append(l.objects, object{key, info.Size})
	}
	key := fmt.Sprintf("%s%s/buried.%d", FolderPrefix, c.session.Name, b.n)
	b.n++
	if err := putList(ctx, c.d.Objects(), key, l); err != nil {
		return "", err
	}
	b.plan, b.filtered, b.key = c.plan, c.filtered.drop, key
	return key, nil
}

// putTriesMax is how often a list is written again while the outcome is
// unknown: nobody else writes it.
const putTriesMax = 3

func putList(ctx context.Context, objects objstore.Store, key string, l list) error {
	body := objstore.Bytes(l.encode())
	for try := 1; ; try++ {
		_, err := objects.Put(ctx, key, body, objstore.Condition{})
		if err == nil {
			return nil
		}
		if objstore.OutcomeOf(err) != objstore.OutcomeUnknown || try == putTriesMax || ctx.Err() != nil {
			return fmt.Errorf("write %s: %w", key, err)
		}
	}
}

// index tells which objects a root names, by itself or by its index segments.
type index struct {
	root  *repo.Root
	names map[string]bool
}

func (c *collector) index(ctx context.Context, root *repo.Root) (index, error) {
	x := index{root: root, names: map[string]bool{}}
	for _, keys := range [][]string{segmentKeys(root), root.Memo, root.History} {
		for _, key := range keys {
			x.names[key] = true
		}
	}
	snap, err := c.d.Packs().Snapshot(ctx, segmentKeys(root))
	if err != nil {
		return index{}, err
	}
	for info, err := range snap.Packs(ctx) {
		if err != nil {
			return index{}, err
		}
		x.names[info.Key] = true
	}
	return x, nil
}
