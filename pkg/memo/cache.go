package memo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// PendingSizeMax is how many bytes of records, as encoded, a Cache holds
// before they must be published: some 100,000 records, ten checkpoints.
const PendingSizeMax = 64 << 20

var (
	// ErrMismatch: the same work gave another output before, so the program is
	// not reproducible. The first record stays.
	ErrMismatch = errors.New("work is not reproducible: a second run gave another output")
	// ErrFull: too many records wait to be published.
	ErrFull = errors.New("too many unpublished records")
)

// Source opens published segments.
type Source interface {
	// Open returns the bytes of a segment and their number. A reader that is an
	// io.Closer is closed when the segment is no longer needed. The reader may be
	// used concurrently.
	Open(ctx context.Context, name string) (io.ReaderAt, int64, error)
}

// Cache finds records: those accepted in this process and not yet published in
// memory, those published by reading the segments that the root names. It may
// be used concurrently.
type Cache struct {
	source Source

	syncing sync.Mutex // held during Sync

	mu       sync.RWMutex // held for reading while segments are read
	segments []segment    // in the order of the root
	pending  map[scoped]held
	size     int // bytes of the pending records, as encoded
	seq      int
}

type segment struct {
	name string
	*Segment
}

// close releases what the source opened.
func (s segment) close() error {
	if c, ok := s.r.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// scoped is what a record is unique by.
type scoped struct {
	key   Key
	scope string
}

// held is a record that waits to be published.
type held struct {
	record Record
	size   int
	seq    int
}

// NewCache returns a cache without segments; [Cache.Sync] opens them from
// source, which may be nil if there will be none.
func NewCache(source Source) *Cache {
	return &Cache{source: source, pending: map[scoped]held{}}
}

// Lookup returns the first record of a key whose results the caller trusts:
// one whose Scope is among scopes, or is empty. The error wraps
// chunk.ErrCorrupt if a segment is damaged.
func (c *Cache) Lookup(ctx context.Context, key Key, scopes ...string) (Record, bool, error) {
	if err := ctx.Err(); err != nil {
		return Record{}, false, err
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, scope := range append([]string{""}, scopes...) {
		if h, ok := c.pending[scoped{key, scope}]; ok {
			return h.record, true, nil
		}
	}
	return c.published(key, func(r Record) bool { return r.Scope == "" || slices.Contains(scopes, r.Scope) })
}

// published returns the first record of a key in the segments that is wanted.
// The caller holds mu.
func (c *Cache) published(key Key, want func(Record) bool) (Record, bool, error) {
	for _, s := range c.segments {
		found, err := s.Find(key)
		if err != nil {
			return Record{}, false, fmt.Errorf("look up memo key %v in segment %s: %w", key.Short(), s.name, err)
		}
		if i := slices.IndexFunc(found, want); i >= 0 {
			return found[i], true, nil
		}
	}
	return Record{}, false, nil
}

// Add accepts the record of a run that succeeded and returns the one that
// counts from now on: r, or the one that was there before for its key and
// scope. If that one has another output the error is ErrMismatch, beside the
// record that counts. ErrFull asks the caller to publish first.
//
// A record with an empty Scope serves everybody: only for runs of image
// digests by the store's own workers.
func (c *Cache) Add(ctx context.Context, r Record) (Record, error) {
	b, err := EncodeRecord(r)
	if err != nil {
		return Record{}, err
	}
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	id := scoped{r.Key, r.Scope}
	if h, ok := c.pending[id]; ok {
		return settle(h.record, r)
	}
	kept, ok, err := c.published(r.Key, func(p Record) bool { return p.Scope == r.Scope })
	switch {
	case err != nil:
		return Record{}, err
	case ok:
		return settle(kept, r)
	case c.size+len(b) > PendingSizeMax:
		return Record{}, fmt.Errorf("add memo record %v: %d bytes wait to be published: %w", r.Key.Short(), c.size, ErrFull)
	}
	c.seq++
	c.pending[id] = held{record: r, size: len(b), seq: c.seq}
	c.size += len(b)
	return r, nil
}

// settle returns the first record, with ErrMismatch if the second differs.
func settle(first, second Record) (Record, error) {
	if first.Output.Content != second.Output.Content {
		return first, fmt.Errorf("memo key %v: outputs %v, then %v: %w", first.Key.Short(),
			chunk.ID(first.Output.Content).Short(), chunk.ID(second.Output.Content).Short(), ErrMismatch)
	}
	return first, nil
}

// Pending returns the records that are not in a segment yet, in the order in
// which they were accepted.
func (c *Cache) Pending() []Record {
	c.mu.RLock()
	hs := make([]held, 0, len(c.pending))
	for _, h := range c.pending {
		hs = append(hs, h)
	}
	c.mu.RUnlock()
	slices.SortFunc(hs, func(a, b held) int { return cmp.Compare(a.seq, b.seq) })
	records := make([]Record, len(hs))
	for i, h := range hs {
		records[i] = h.record
	}
	return records
}

// DropPending forgets the records that are not in a segment yet.
func (c *Cache) DropPending() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.pending)
	c.size = 0
}

// EncodePending returns the pending records as a segment, nil if there are
// none. The caller stores it, names it in the root, and calls [Cache.Sync]
// with the root's names: the records stop being pending because they are found
// there.
func (c *Cache) EncodePending() ([]byte, error) {
	records := c.Pending()
	if len(records) == 0 {
		return nil, nil
	}
	return EncodeSegment(records)
}
