package gc

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
)

// overtakenMax is how often a collection starts over because another one
// changed the root under it.
const overtakenMax = 3

// Collect frees what nothing needs: see the package's comment. It may run at
// any time, beside writers, readers and other collections, and be killed at any
// point: the next one goes on. ErrGuard if it would delete too much,
// chunk.ErrCorrupt if something live is missing or damaged; then nothing was
// changed, as with every other error but repo.ErrUnknown, after which the root
// may have been moved: the next collection goes on from there.
func Collect(ctx context.Context, d *repo.Direct, o Options) (Report, error) {
	if err := o.applyDefaults(); err != nil {
		return Report{}, err
	}
	for try := 1; ; try++ {
		r, err := collectOnce(ctx, d, o)
		if errors.Is(err, errOvertaken) && try < overtakenMax {
			continue
		}
		if err != nil {
			err = fmt.Errorf("collect garbage: %w", err)
		}
		return r, err
	}
}

func collectOnce(ctx context.Context, d *repo.Direct, o Options) (Report, error) {
	c := &collector{d: d, o: o, openRoots: map[string]bool{}}
	c.rep = Report{DryRun: o.DryRun, Started: o.Now().UTC()}
	if !o.DryRun {
		var err error
		if c.session, err = d.Collector(ctx); err != nil {
			return c.rep, err
		}
		defer c.leave()
		if err := c.setClock(ctx); err != nil {
			return c.rep, err
		}
	}
	err := c.prepare(ctx)
	if err == nil && o.DryRun {
		err = c.foresee(ctx)
	} else if err == nil {
		err = c.carryOut(ctx)
	}
	c.rep.Took = o.Now().Sub(c.rep.Started)
	if err != nil && c.overtaken(ctx, err) {
		err = errors.Join(errOvertaken, err)
	}
	return c.rep, err
}

// setClock looks by how much the store's clock is ahead: ages of objects, and
// the grace, count by that one, which all collectors share.
func (c *collector) setClock(ctx context.Context) error {
	own, err := c.d.Objects().Stat(ctx, repo.SessionPrefix+c.session.Name)
	if err != nil {
		return fmt.Errorf("look at the session: %w", err)
	}
	if !own.ModTime.IsZero() {
		c.ahead = own.ModTime.Sub(c.o.Now())
	}
	return nil
}

// now is the time by the store's clock.
func (c *collector) now() time.Time { return c.o.Now().Add(c.ahead).UTC() }

// overtaken reports whether a failure is due to another collection, which took
// objects away that this one was reading.
func (c *collector) overtaken(ctx context.Context, err error) bool {
	if errors.Is(err, repo.ErrDoomed) {
		return true
	}
	if c.first == nil || !errors.Is(err, pack.ErrMissing) && !errors.Is(err, objstore.ErrNotFound) {
		return false
	}
	now, rerr := c.d.Root(ctx)
	return rerr == nil && now.Floor != c.first.Floor
}

// collector is one run.
type collector struct {
	d       *repo.Direct
	o       Options
	session repo.Collector
	ahead   time.Duration // of the store's clock before o.Now
	rep     Report

	first *repo.Root // that the run began with
	base  *repo.Root // that the marks are of
	floor uint64
	m     *marker
	known int // packs of the first inventory: later ones stay
	plan  *plan
	stale atomic.Bool // something in a gone pack became live since the plan

	copies   *pack.Session // what was live in gone packs, and notes of what expired; nil before the first
	filtered filtered
	buried   buried
	attempts int

	openRoots map[string]bool    // copies of roots that only wrote to open commits
	undone    map[commit.ID]bool // what the copies of roots name that are kept for undo

	early []object // rules.listFirst: orphans by a listing before the swap
}

// filtered is what took the place of index segments that named gone packs.
type filtered struct {
	plan *plan
	drop []string
	add  []repo.Segment
	n    int // segments written so far
}

// buried is a list that was written.
type buried struct {
	filtered []string
	plan     *plan
	key      string
	n        int
}

// prepare marks and plans.
func (c *collector) prepare(ctx context.Context) error {
	root, err := c.d.Root(ctx)
	if err != nil {
		return err
	}
	c.first = root
	if c.floor, err = c.floorOf(ctx, root); err != nil {
		return err
	}
	if c.o.rules.listFirst {
		if c.early, err = c.orphans(ctx, root, nil); err != nil {
			return err
		}
	}
	started := c.o.Now()
	if err := c.markAll(ctx, root); err != nil {
		return err
	}
	c.rep.Marking = c.o.Now().Sub(started)
	if err := c.makePlan(); err != nil {
		return err
	}
	err = c.guard(ctx)
	if errors.Is(err, ErrGuard) && c.o.DryRun {
		c.rep.Guard, err = err.Error(), nil
	}
	return err
}

func (c *collector) makePlan() (err error) {
	if c.plan, err = planOf(c.m.inv, c.m.live, c.floor, c.known, &c.o); err != nil {
		return err
	}
	c.stale.Store(false)
	r := &c.rep
	r.Gen, r.Floor = c.base.Gen, c.floor
	r.Chunks, r.LiveChunks, r.Packs, r.Bytes = c.plan.totalChunks, c.plan.liveChunks, len(c.m.inv.Packs), c.plan.totalBytes
	r.DeadPacks, r.RepackedPacks, r.CopiedBytes, r.FreedBytes = c.plan.dead, c.plan.repacked, c.plan.copyBytes, c.plan.freed()
	return nil
}

// foresee completes the report of a dry run.
func (c *collector) foresee(ctx context.Context) error {
	buried, waiting, err := c.graves(ctx, c.base)
	if err != nil {
		return err
	}
	c.rep.Waiting, c.rep.WaitingBytes = waiting.n, waiting.bytes
	orphans, err := c.orphans(ctx, c.base, buried)
	if err != nil {
		return err
	}
	c.countOrphans(orphans)
	if err := c.noteGone(ctx); err != nil {
		return err
	}
	copies, err := c.rootCopies(ctx, c.base)
	c.rep.OldRoots = int64(len(copies.old))
	return err
}

func (c *collector) countOrphans(orphans []object) {
	c.rep.Orphans, c.rep.OrphanBytes = int64(len(orphans)), 0
	for _, o := range orphans {
		c.rep.OrphanBytes += o.size
	}
}

// carryOut swaps the root, lists orphans, and deletes what has waited long
// enough.
func (c *collector) carryOut(ctx context.Context) error {
	root, err := c.swap(ctx)
	if err != nil {
		return err
	}
	if err := c.listOrphans(ctx, root); err != nil {
		return err
	}
	if err := c.empty(ctx, root); err != nil {
		return err
	}
	if err := c.tidy(ctx, root); err != nil {
		return err
	}
	c.rep.Session, c.rep.Attempts, c.rep.Took = c.session.Name, c.attempts, c.o.Now().Sub(c.rep.Started)
	return saveReport(ctx, c.d.Objects(), c.rep)
}

// swap makes the root without the gone packs the root.
func (c *collector) swap(ctx context.Context) (*repo.Root, error) {
	op, err := c.d.NewOp()
	if err != nil {
		return nil, err
	}
	defer func() {
		if c.copies != nil {
			_ = c.copies.Close() // what counts was flushed
		}
	}()
	// What takes long is done before the turn to swap is taken.
	base, err := c.d.Root(ctx)
	if err == nil {
		_, err = c.attempt(ctx, base)
	}
	if err != nil {
		return nil, err
	}
	c.attempts = 0
	root, err := c.d.Collect(ctx, op, c.attempt)
	if err != nil && c.o.rules.cleanUnknown && errors.Is(err, repo.ErrUnknown) {
		return nil, errors.Join(err, c.deleteOwn(context.WithoutCancel(ctx)))
	}
	if err != nil {
		return nil, err
	}
	c.rep.Gen = root.Gen
	return root, nil
}

// deleteOwn is what rules.cleanUnknown is about.
func (c *collector) deleteOwn(ctx context.Context) error {
	for _, prefix := range []string{pack.PackPrefix, pack.SegmentPrefix} {
		for info, err := range c.d.Objects().List(ctx, prefix+c.session.Name+"/", "") {
			if err == nil {
				err = c.d.Objects().Delete(ctx, info.Key)
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// attempt says what to change of base. It is asked for each root on which the
// swap is tried.
func (c *collector) attempt(ctx context.Context, base *repo.Root) (repo.Collection, error) {
	c.attempts++
	if err := c.follow(ctx, base); err != nil {
		return repo.Collection{}, err
	}
	if c.stale.Load() {
		if err := c.makePlan(); err != nil {
			return repo.Collection{}, err
		}
	}
	if err := c.copyLive(ctx); err != nil {
		return repo.Collection{}, err
	}
	if err := c.filter(ctx); err != nil {
		return repo.Collection{}, err
	}
	change := repo.Collection{Start: c.session.Start, Drop: c.filtered.drop, Add: c.filtered.add, Floor: c.floor}
	if c.o.rules.noFloor {
		change.Floor = 0
	}
	if c.copies != nil && len(c.copies.Segments()) > 0 {
		copies, err := c.segments(ctx, c.copies.Segments())
		if err != nil {
			return repo.Collection{}, err
		}
		change.Add = append(copies, change.Add...)
	}
	key, err := c.bury(ctx)
	if err != nil {
		return repo.Collection{}, err
	}
	change.Bury = []repo.Grave{{List: key}}
	return change, nil
}

// segments describes index segments as a root names them.
func (c *collector) segments(ctx context.Context, keys []string) ([]repo.Segment, error) {
	snap, err := c.d.Packs().Snapshot(ctx, keys)
	if err != nil {
		return nil, err
	}
	var all []repo.Segment
	for _, info := range snap.Describe() {
		all = append(all, repo.Segment{Key: info.Key, Chunks: int64(info.Chunks)})
	}
	return all, nil
}

// eachSession calls fn for the objects by which sessions say that they are at
// work.
func (c *collector) eachSession(ctx context.Context, fn func(name string, start uint64, info objstore.Info) error) error {
	for info, err := range c.d.Objects().List(ctx, repo.SessionPrefix, "") {
		if err != nil {
			return fmt.Errorf("list sessions: %w", err)
		}
		name := strings.TrimPrefix(info.Key, repo.SessionPrefix)
		start, err := pack.ParseSession(name)
		if err != nil {
			continue // not ours
		}
		if err := fn(name, start, info); err != nil {
			return err
		}
	}
	return nil
}

// leaveFor bounds how long the end of a collection takes to remove the object
// of its session.
const leaveFor = 10 * time.Second

// leave removes the session's object: best effort, the lease runs out anyway.
func (c *collector) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), leaveFor)
	defer cancel()
	_ = c.d.Objects().Delete(ctx, repo.SessionPrefix+c.session.Name)
}
