package gc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
)

// The levels of a check; each includes those before it.
const (
	CheckIndex   = 0 // root, chain, names, index, and whether packs are there in their size
	CheckClosure = 1 // everything that names, memo and history reach is indexed; all metadata is read and sound
	CheckData    = 2 // packs are read in full
)

// CheckOptions of Check. Now is required.
type CheckOptions struct {
	Now   func() time.Time
	Level int

	// Share is the share of the packs, more than 0 to 1, that CheckData reads;
	// 0 for all. Salt chooses which: another salt, another choice. With Parts
	// above 1 it is part Part (from 1) of Parts instead, so that Parts checks
	// read all.
	Share       float64
	Salt        uint64
	Part, Parts int

	Workers  int            // goroutines that read; default 16
	Tell     func(Finding)  // is told each finding at once, one at a time; may be nil
	Progress func(Progress) // as in Options
}

func (o *CheckOptions) applyDefaults() error {
	if o.Workers == 0 {
		o.Workers = max(16, runtime.GOMAXPROCS(0))
	}
	if o.Tell == nil {
		o.Tell = func(Finding) {}
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	bad := o.Now == nil || o.Level < CheckIndex || o.Level > CheckData || o.Share < 0 || o.Share > 1 || o.Workers < 0 ||
		o.Parts < 0 || o.Parts > 0 && (o.Part < 1 || o.Part > o.Parts)
	if bad {
		return fmt.Errorf("check at level %d of share %v, part %d of %d: %w", o.Level, o.Share, o.Part, o.Parts, fs.ErrInvalid)
	}
	return nil
}

// Check reads a store and reports what is wrong with it. It changes nothing
// and may run at any time; what a collection removes meanwhile it does not take
// for damage. It fails only if there is no store (repo.ErrNoStore) or ctx ends:
// everything else is a finding.
func Check(ctx context.Context, objects objstore.Store, ro repo.Options, o CheckOptions) (CheckReport, error) {
	if err := o.applyDefaults(); err != nil {
		return CheckReport{}, err
	}
	c := &checker{objects: objects, o: o}
	c.rep = CheckReport{Level: o.Level, Started: o.Now().UTC(), Findings: []Finding{}}
	c.f = &findings{rep: &c.rep, tell: o.Tell}
	err := c.run(ctx, ro)
	c.rep.Took = o.Now().Sub(c.rep.Started)
	if err == nil {
		err = ctx.Err()
	}
	return c.rep, err
}

// checker is one Check.
type checker struct {
	objects objstore.Store
	o       CheckOptions
	rep     CheckReport
	f       *findings

	d    *repo.Direct
	root *repo.Root
	snap *pack.Snapshot // over the segments that can be read
	inv  *pack.Inventory
	m    *marker
	bad  badChunks

	failed  map[int]bool // packs that are damaged, by number, if data was read
	expired atomic.Int64 // versions
}

func (c *checker) run(ctx context.Context, ro repo.Options) error {
	d, err := repo.OpenDirect(ctx, c.objects, ro)
	if errors.Is(err, repo.ErrNoStore) {
		return c.noRoot(ctx, err)
	}
	if err != nil {
		c.f.add(Finding{Severity: severityOf(err), Kind: BadRoot, Object: "root", Detail: err.Error() + "; see dvx recover"})
		return nil
	}
	c.d = d
	err = c.levels(ctx)
	return errors.Join(err, d.Close())
}

// noRoot tells a store whose root is lost from a place without a store.
func (c *checker) noRoot(ctx context.Context, err error) error {
	copies, lerr := rootCopies(ctx, c.objects)
	if lerr != nil || len(copies) == 0 {
		return err
	}
	c.f.add(Finding{
		Severity: Damage, Kind: BadRoot, Object: "root",
		Detail: fmt.Sprintf("%v, and %d copies of roots; see dvx recover", err, len(copies)),
	})
	return nil
}

func (c *checker) levels(ctx context.Context) (err error) {
	if c.root, err = c.d.Root(ctx); err != nil {
		c.f.add(Finding{Severity: severityOf(err), Kind: BadRoot, Object: "root", Detail: err.Error()})
		return nil
	}
	c.rep.Gen = c.root.Gen
	if err := c.checkChain(ctx); err != nil {
		return err
	}
	if err := c.checkSegments(ctx); err != nil {
		return err
	}
	if err := c.checkObjects(ctx); err != nil {
		return err
	}
	if err := c.checkNames(); err != nil || c.o.Level < CheckClosure {
		return err
	}
	if err := c.checkClosure(ctx); err != nil {
		return err
	}
	if c.o.Level >= CheckData {
		if err := c.checkData(ctx); err != nil {
			return err
		}
	}
	return c.checkPaths(ctx)
}

// checkSegments opens and verifies the index segments one by one, and goes on
// with those that are sound.
func (c *checker) checkSegments(ctx context.Context) error {
	var sound []string
	for _, s := range c.root.Segments {
		var info pack.SegmentInfo
		err := c.f.again(ctx, s.Key, func() (err error) { info, err = c.d.Packs().VerifySegment(ctx, s.Key); return err })
		if err == nil && int64(info.Chunks) != s.Chunks {
			err = fmt.Errorf("it has %d chunks, the root says %d: %w", info.Chunks, s.Chunks, chunk.ErrCorrupt)
		}
		if err != nil {
			c.f.add(Finding{Severity: severityOf(err), Kind: BadSegment, Object: s.Key, Detail: err.Error() + "; see dvx rebuild-index"})
			continue
		}
		sound = append(sound, s.Key)
	}
	var err error
	if c.snap, err = c.d.Packs().Snapshot(ctx, sound); err == nil {
		c.inv, err = c.snap.Inventory(ctx, nil)
	}
	if err != nil {
		return err
	}
	c.rep.Segments, c.rep.Packs, c.rep.Chunks = len(sound), len(c.inv.Packs), int64(c.inv.Len())
	return nil
}

// checkObjects holds a listing of the packs against the index, and looks
// whether the other objects that the root names are there.
func (c *checker) checkObjects(ctx context.Context) error {
	sizes := map[string]int64{}
	for _, p := range c.inv.Packs {
		sizes[p.Key] = p.Size
	}
	var unnamed, unnamedSize int64
	for info, err := range c.objects.List(ctx, pack.PackPrefix, "") {
		if err != nil {
			c.f.add(Finding{Severity: Unknown, Kind: BadPack, Object: pack.PackPrefix, Detail: "list: " + err.Error()})
			return ctx.Err()
		}
		want, ok := sizes[info.Key]
		delete(sizes, info.Key)
		switch {
		case !ok:
			unnamed++
			unnamedSize += info.Size
		case want != info.Size:
			c.f.add(Finding{
				Severity: Damage, Kind: BadPack, Object: info.Key,
				Detail: fmt.Sprintf("%d bytes instead of %d", info.Size, want),
			})
		}
	}
	for key := range sizes {
		if c.gone(ctx, key) {
			c.f.add(Finding{Severity: Damage, Kind: BadPack, Object: key, Detail: "it is not there; see dvx heal"})
		}
	}
	if unnamed > 0 {
		c.f.add(Finding{
			Severity: Notice, Kind: UnnamedObjects, Object: pack.PackPrefix,
			Detail: fmt.Sprintf("%d packs of %d bytes are not in the index: of sessions under way, or garbage", unnamed, unnamedSize),
		})
	}
	for _, g := range c.root.Graveyard {
		for _, key := range []string{g.List, orphansOf(g.List)} {
			if _, err := loadList(ctx, c.objects, key); err != nil && !isAbsent(err) {
				c.f.add(Finding{Severity: severityOf(err), Kind: BadGrave, Object: key, Detail: err.Error()})
			}
		}
	}
	return nil
}

// gone makes sure that a pack which a listing lacks is not there and should
// be: a collection may have taken it out of the index meanwhile.
func (c *checker) gone(ctx context.Context, key string) bool {
	err := c.f.again(ctx, key, func() error {
		_, err := c.objects.Stat(ctx, key)
		return err
	})
	if err == nil {
		return false
	}
	now, rerr := c.d.Root(ctx)
	if rerr != nil || now.Gen == c.root.Gen {
		return true
	}
	snap, rerr := c.d.Packs().Snapshot(ctx, segmentKeys(now))
	if rerr != nil {
		return true
	}
	has, rerr := snap.HasPack(ctx, key)
	return rerr != nil || has
}
