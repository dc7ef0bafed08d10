package gc

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
)

// Severity says what a finding means.
type Severity string

// The severities.
const (
	Damage  Severity = "damage"     // stored data is wrong or gone
	Unknown Severity = "unreadable" // it could not be read: the check is incomplete
	Notice  Severity = "notice"     // nothing that a version needs
)

// The kinds of finding. Programs rely on them: a kind is never given another
// meaning.
const (
	BadConfig      = "config"          // dvx.json
	BadRoot        = "root"            // the root
	BadRootCopy    = "root-copy"       // a copy of a root, or its place in the chain
	BadSegment     = "index-segment"   // an index segment
	BadPack        = "pack"            // a pack is not there, has another size, or its bytes are wrong
	MissingChunk   = "chunk-missing"   // a chunk is needed and not in the index
	BadChunk       = "chunk-damaged"   // a chunk can't be read or decoded
	BadVersion     = "version"         // a commit and its parents do not fit
	BadTree        = "tree"            // a directory is not what its entries make
	BadMemo        = "memo-segment"    // a memo segment
	BadHistory     = "history-segment" // a history segment
	BadGrave       = "grave"           // a list of collected objects
	LostPath       = "path-lost"       // a path of a branch's or tag's version can't be read in full
	ReadRetried    = "read-retried"    // a read succeeded after a failure
	UnnamedObjects = "unnamed-objects" // objects that nothing names; collection deletes them
)

// Finding is one thing that a check found.
type Finding struct {
	Severity Severity  `json:"severity"`
	Kind     string    `json:"kind"`
	Object   string    `json:"object,omitempty"` // key
	Chunk    string    `json:"chunk,omitempty"`  // kind and ID
	Repo     string    `json:"repo,omitempty"`
	Ref      string    `json:"ref,omitempty"`
	Commit   commit.ID `json:"commit,omitzero"`
	Path     string    `json:"path,omitempty"`
	Detail   string    `json:"detail"`
}

// CheckReport says what was checked and what was found.
type CheckReport struct {
	Level    int           `json:"level"`
	Started  time.Time     `json:"started"`
	Took     time.Duration `json:"took"` // nanoseconds
	Gen      uint64        `json:"gen"`  // of the root that was checked
	Segments int           `json:"segments"`
	Packs    int           `json:"packs"`
	Chunks   int64         `json:"chunks"`  // index entries
	Reached  int64         `json:"reached"` // chunks that names, memo and history reach
	Versions int64         `json:"versions"`
	Expired  int64         `json:"expired"`   // of these: retention has given their files up
	Read     int           `json:"read"`      // packs read in full
	ReadSize int64         `json:"readBytes"` // their bytes
	Retries  int64         `json:"retries"`   // reads that were tried again

	Damaged    int64     `json:"damaged"`    // findings of damage
	Unreadable int64     `json:"unreadable"` // findings of what could not be read
	Findings   []Finding `json:"findings"`   // the first FindingsMax
}

// FindingsMax is how many findings a report lists; it counts all.
const FindingsMax = 10_000

// findings collects findings from any goroutine.
type findings struct {
	mu   sync.Mutex
	rep  *CheckReport
	tell func(Finding)
}

func (f *findings) add(x Finding) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch x.Severity {
	case Damage:
		f.rep.Damaged++
	case Unknown:
		f.rep.Unreadable++
	case Notice: // listed, not counted
	}
	if len(f.rep.Findings) < FindingsMax {
		f.rep.Findings = append(f.rep.Findings, x)
	}
	f.tell(x)
}

// severityOf tells damage from what could merely not be read.
func severityOf(err error) Severity {
	if errors.Is(err, chunk.ErrCorrupt) || errors.Is(err, chunk.ErrNotFound) {
		return Damage
	}
	return Unknown
}

// readTries is how often a read is tried before it counts as failed: only the
// last result counts, so that a flaky connection does not pass for damage.
const readTries = 3

// again calls fn until it succeeds, readTries times at most, and reports
// retries that helped.
func (f *findings) again(ctx context.Context, what string, fn func() error) error {
	err := fn()
	for try := 1; err != nil && try < readTries && ctx.Err() == nil && !isAbsent(err); try++ {
		first := err
		f.mu.Lock()
		f.rep.Retries++
		f.mu.Unlock()
		if err = fn(); err == nil {
			f.add(Finding{Severity: Notice, Kind: ReadRetried, Object: what, Detail: "read on another try; first: " + first.Error()})
		}
	}
	return err
}

// retrying is a chunk.Reader that tries again.
type retrying struct {
	chunk.Reader
	f *findings
}

// Get implements chunk.Reader.
func (r retrying) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) (b []byte, err error) {
	err = r.f.again(ctx, kind.String()+" "+id.String(), func() error {
		b, err = r.Reader.Get(ctx, kind, id)
		return err
	})
	return b, err
}
