package gc

import (
	"fmt"
	"io/fs"
	"runtime"
	"time"
)

// GraceMin is the shortest grace: what a reader may take from opening a root
// to reading its last pack.
const GraceMin = time.Hour

// Options of Collect. Now is required.
type Options struct {
	// Now is the clock, which only measures how long things take: ages of
	// objects count by the clock that stamps them, which a run reads off the
	// object of its own session. A dry run has none, and takes Now for it.
	Now func() time.Time

	// Grace is how long an object that left the index stays for readers of
	// older roots and for backups, and the copy of a root after it was replaced.
	// Default 24 h, at least GraceMin.
	Grace time.Duration

	// KeepRoots is how long copies of roots are kept after they were replaced,
	// and with them all that they reach: moves of branches can be undone for
	// that time. Default 30 days; negative for none.
	KeepRoots time.Duration

	// Lease is the age from which the object of a session counts for that of a
	// dead one. Default 24 h: sessions at work renew it every hour
	// (repo.LeaseRenew). One that lives on all the same loses its work, nothing
	// else.
	Lease time.Duration

	// RepackBelow is the share of live bytes below which a pack of data is
	// rewritten, 0 to 1. Default 0.5.
	RepackBelow float64

	// DryRun only marks and plans.
	DryRun bool

	// Immediate waits for nobody: sessions under way are doomed, and objects
	// deleted at once. Readers of older roots may fail and start over.
	Immediate bool

	// Force waives the guards against deleting too much.
	Force bool

	// Workers is how many goroutines read metadata. Default 16, at least the
	// number of processors: enough to hide the latency of a bucket.
	Workers int

	// Progress is told what is being done, by one goroutine at a time, if it
	// is not nil.
	Progress func(Progress)

	// scrub is the generation below which sessions may have stored what was
	// purged: of their packs none keeps a dead chunk. Zero without a purge.
	scrub uint64

	rules rules
}

// rules switches off what makes collection safe, one at a time, so that tests
// can show that they would notice.
type rules struct {
	noFloor      bool // sessions are not held to the floor: it is not raised
	listFirst    bool // orphans are listed before the swap
	noRemark     bool // a lost swap is tried again without marking what is new
	openIndex    bool // dead metadata stays in packs that are kept
	dropAnyPack  bool // packs of sessions at or above the floor are dropped too
	ignoreMemo   bool // memo segments are not marked
	noBack       bool // versions that get a name while they expire are not marked
	cleanUnknown bool // after a swap of unknown outcome what was written is deleted
}

// Progress says how far a collection is.
type Progress struct {
	Phase  string // "mark", "repack", "list", "delete"
	Chunks int64  // marked so far
	Bytes  int64  // copied or deleted so far
}

func (o *Options) applyDefaults() error {
	if o.Now == nil {
		return fmt.Errorf("collect garbage without a clock: %w", fs.ErrInvalid)
	}
	for _, d := range []struct {
		v       *time.Duration
		initial time.Duration
	}{{&o.Grace, 24 * time.Hour}, {&o.KeepRoots, 30 * 24 * time.Hour}, {&o.Lease, 24 * time.Hour}} {
		if *d.v == 0 {
			*d.v = d.initial
		}
	}
	if o.RepackBelow == 0 {
		o.RepackBelow = 0.5
	}
	if o.Workers == 0 {
		o.Workers = max(16, runtime.GOMAXPROCS(0))
	}
	switch {
	case o.Grace < GraceMin:
		return fmt.Errorf("grace of %v: at least %v, so that readers of older versions can finish: %w", o.Grace, GraceMin, fs.ErrInvalid)
	case o.Lease < 0 || o.Workers < 0 || o.RepackBelow < 0 || o.RepackBelow > 1:
		return fmt.Errorf("collect garbage with lease %v, %d workers, repack below %v: %w", o.Lease, o.Workers, o.RepackBelow, fs.ErrInvalid)
	}
	if o.Immediate {
		o.Grace, o.Lease = 0, 0
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	return nil
}
