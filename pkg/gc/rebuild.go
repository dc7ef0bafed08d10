package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/repo"
)

// RebuildOptions of RebuildIndex. Now is required.
type RebuildOptions struct {
	Now     func() time.Time
	All     bool // do not trust the index segments that are sound either
	DryRun  bool
	Workers int // default 16
}

// RebuildReport says what RebuildIndex found and did.
type RebuildReport struct {
	DryRun     bool     `json:"dryRun"`
	Replaced   []string `json:"replaced"`             // index segments that were damaged, or not there
	Unreadable []string `json:"unreadable,omitempty"` // packs whose footers can't be read
	Looked     int      `json:"looked"`               // packs whose footers were read
	Packs      int      `json:"packs"`                // of these, with something live: indexed again
	Copied     int      `json:"copied"`               // of these, metadata packs whose live part was copied
	Missing    int64    `json:"missing"`              // chunks that are needed and still not found
	Gen        uint64   `json:"gen,omitempty"`        // of the root with the new index
}

// RebuildIndex makes the index again that damaged or lost segments held, from
// the footers of the packs. Of the packs that no sound segment names it takes
// those that hold something live; of metadata only what is live, so that all
// that is indexed is whole. Nothing is deleted. It begins anew when a
// collection, or a merge of what it replaces, comes between.
func RebuildIndex(ctx context.Context, d *repo.Direct, o RebuildOptions) (RebuildReport, error) {
	return unlessOvertaken(func() (RebuildReport, error) { return rebuildOnce(ctx, d, o) })
}

func rebuildOnce(ctx context.Context, d *repo.Direct, o RebuildOptions) (RebuildReport, error) {
	b := &rebuild{o: o, rep: RebuildReport{DryRun: o.DryRun, Replaced: []string{}}}
	co := Options{Now: o.Now, DryRun: true, Workers: o.Workers}
	if err := co.applyDefaults(); err != nil {
		return b.rep, err
	}
	b.c = &collector{d: d, o: co, openRoots: map[string]bool{}}
	if err := b.run(ctx); err != nil {
		return b.rep, fmt.Errorf("rebuild the index: %w", err)
	}
	return b.rep, nil
}

type rebuild struct {
	c   *collector // its marks
	o   RebuildOptions
	rep RebuildReport

	sound    []string
	footers  map[string]pack.Footer // of packs that no sound segment names
	segments int                    // written so far
}

func (b *rebuild) run(ctx context.Context) (err error) {
	c := b.c
	// First of all, so that no collection takes away what is looked at.
	if c.session, err = c.d.Collector(ctx); err != nil {
		return err
	}
	defer c.leave()
	if err := c.setClock(ctx); err != nil {
		return err
	}
	if c.base, err = c.d.Root(ctx); err != nil {
		return err
	}
	for _, s := range c.base.Segments {
		if _, err := c.d.Packs().VerifySegment(ctx, s.Key); err != nil || b.o.All {
			b.rep.Replaced = append(b.rep.Replaced, s.Key)
		} else {
			b.sound = append(b.sound, s.Key)
		}
	}
	if err := b.readFooters(ctx); err != nil {
		return err
	}
	keep, copies, err := b.choose(ctx)
	if err != nil || b.o.DryRun || len(b.rep.Replaced) == 0 && b.rep.Packs == 0 {
		return err
	}
	return b.publish(ctx, keep, copies)
}

// readFooters reads the footers of the packs that no sound segment names and
// that were not collected.
func (b *rebuild) readFooters(ctx context.Context) error {
	c := b.c
	known, _, err := c.graves(ctx, c.base)
	if err != nil {
		return err
	}
	snap, err := c.d.Packs().Snapshot(ctx, b.sound)
	if err != nil {
		return err
	}
	for info, err := range snap.Packs(ctx) {
		if err != nil {
			return err
		}
		known[info.Key] = true
	}
	b.footers = map[string]pack.Footer{}
	keys := make(chan string)
	var mu sync.Mutex
	var all sync.WaitGroup
	for range c.o.Workers {
		all.Go(func() {
			for key := range keys {
				f, err := c.d.Packs().ReadFooter(ctx, key)
				mu.Lock()
				if err != nil {
					b.rep.Unreadable = append(b.rep.Unreadable, key)
				} else {
					b.footers[key] = f
				}
				mu.Unlock()
			}
		})
	}
	var lerr error
	for info, err := range c.d.Objects().List(ctx, pack.PackPrefix, "") {
		if lerr = err; err != nil {
			break
		}
		if !known[info.Key] {
			keys <- info.Key
		}
	}
	close(keys)
	all.Wait()
	b.rep.Looked = len(b.footers)
	slices.Sort(b.rep.Unreadable)
	return lerr
}

// rebuildEntriesMax is how many chunks one new segment names, about 100 MiB of
// memory while it is made.
const rebuildEntriesMax = 1 << 20

// index writes segments for packs.
func (b *rebuild) index(ctx context.Context, keys []string) (segments []string, err error) {
	var group []pack.Footer
	n := 0
	write := func() error {
		if len(group) == 0 {
			return nil
		}
		key, err := b.c.d.Packs().IndexPacks(ctx, b.c.session.Name, b.segments, group)
		b.segments++
		segments = append(segments, key)
		group, n = nil, 0
		return err
	}
	for _, key := range keys {
		f := b.footers[key]
		if n += len(f.Entries); n > rebuildEntriesMax && len(group) > 0 {
			if err := write(); err != nil {
				return nil, err
			}
			n = len(f.Entries)
		}
		group = append(group, f)
	}
	return segments, write()
}

// choose marks what is live with all packs indexed, and returns the packs to
// be indexed, and those of whose chunks the live ones are to be copied.
func (b *rebuild) choose(ctx context.Context) (keep, copies []string, err error) {
	c := b.c
	var keys []string
	for key := range b.footers {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	drafts, err := b.index(ctx, keys)
	if err != nil {
		return nil, nil, err
	}
	snap, err := c.d.Packs().Snapshot(ctx, append(slices.Clone(b.sound), drafts...))
	if err != nil {
		return nil, nil, err
	}
	inv, err := snap.Inventory(ctx, nil)
	if err != nil {
		return nil, nil, err
	}
	var absent badChunks
	c.known = len(inv.Packs)
	c.m = &marker{
		inv: inv, r: snap, workers: c.o.Workers, report: func(int64) {}, found: func(int) {},
		problem: func(t task, _ error) { absent.add(t.Ref) },
	}
	if err := c.m.mark(ctx, reached(c.base), false); err != nil {
		return nil, nil, err
	}
	b.rep.Missing = int64(len(absent.refs))
	if err := c.markAttached(ctx, c.base.Memo, c.base.History); err != nil {
		return nil, nil, err
	}
	if err := c.readRootCopies(ctx, c.base); err != nil {
		return nil, nil, err
	}
	if err := c.markRootCopies(ctx); err != nil {
		return nil, nil, err
	}
	p, err := planOf(inv, c.m.live, 0, 0, &c.o)
	if err != nil {
		return nil, nil, err
	}
	for n, u := range p.use {
		key := inv.Packs[n].Key
		if _, ok := b.footers[key]; !ok || u.live == 0 {
			continue
		}
		b.rep.Packs++
		if inv.Packs[n].Meta && u.live < u.chunks {
			b.rep.Copied++
			copies = append(copies, key)
		} else {
			keep = append(keep, key)
		}
	}
	slices.Sort(keep)
	return keep, copies, nil
}

// publish writes the new segments and puts them in the place of the damaged.
func (b *rebuild) publish(ctx context.Context, keep, copies []string) error {
	c := b.c
	keys, err := b.index(ctx, keep)
	if err != nil {
		return err
	}
	s, err := c.d.Packs().Session(ctx, nil, c.session.Name)
	if err != nil {
		return err
	}
	defer func() { _ = s.Close() }()
	for _, key := range copies {
		err := c.d.Packs().ReadChunks(ctx, key,
			func(e *pack.Entry) (bool, error) {
				at, _, ok := c.m.inv.Find(e.Kind, &e.ID)
				return ok && c.m.live.has(at), nil
			},
			func(e *pack.Entry, plain []byte) error {
				_, err := s.Put(ctx, e.Kind, plain)
				return err
			})
		if err != nil {
			return err
		}
	}
	if err := s.Flush(ctx); err != nil {
		return err
	}
	add, err := c.segments(ctx, append(keys, s.Segments()...))
	if err != nil {
		return err
	}
	root, err := c.replaceIndex(ctx, b.rep.Replaced, add)
	if err == nil {
		b.rep.Gen = root.Gen
	}
	return err
}

// replaceIndex puts index segments in the place of others. It fails with
// errOvertaken if a collection came after the root that c is based on, or one of
// the segments is gone: what goes into the index was chosen by that root, and a
// collection may be about to delete it.
func (c *collector) replaceIndex(ctx context.Context, drop []string, add []repo.Segment) (*repo.Root, error) {
	op, err := c.d.NewOp()
	if err != nil {
		return nil, err
	}
	return c.d.Collect(ctx, op, func(_ context.Context, base *repo.Root) (repo.Collection, error) {
		if base.Floor != c.base.Floor || !slices.Equal(base.Graveyard, c.base.Graveyard) {
			return repo.Collection{}, errOvertaken
		}
		for _, key := range drop {
			if !slices.Contains(segmentKeys(base), key) {
				return repo.Collection{}, errOvertaken
			}
		}
		return repo.Collection{Start: c.session.Start, Drop: drop, Add: add}, nil
	})
}

// unlessOvertaken repairs, and begins anew when a collection comes between.
func unlessOvertaken[Report any](repair func() (Report, error)) (Report, error) {
	for try := 1; ; try++ {
		rep, err := repair()
		if try < overtakenMax && (errors.Is(err, errOvertaken) || errors.Is(err, repo.ErrDoomed)) {
			continue
		}
		return rep, err
	}
}
