package memo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// SegmentsMax is how many segments a root should name: with more, [Cache.Merge]
// offers to join some.
const SegmentsMax = 16

// mergeSizeMax is the most that one merge holds in memory, in bytes. Segments
// that would exceed it together stay apart.
const mergeSizeMax = 256 << 20

// Sync makes the segments of a root, in its order, the published ones: it
// opens those that are new, closes those that are gone, and drops pending
// records that the new ones hold. After an error nothing has changed.
func (c *Cache) Sync(ctx context.Context, names []string) error {
	c.syncing.Lock()
	defer c.syncing.Unlock()
	next, fresh, err := c.open(ctx, names)
	if err != nil {
		return err
	}
	done, err := c.found(ctx, fresh)
	if err != nil {
		return errors.Join(err, closeAll(fresh))
	}
	c.mu.Lock()
	gone := slices.DeleteFunc(slices.Clone(c.segments), func(s segment) bool { return slices.Contains(names, s.name) })
	c.segments = next
	for _, id := range done {
		c.size -= c.pending[id].size
		delete(c.pending, id)
	}
	c.mu.Unlock()
	if err := closeAll(gone); err != nil {
		return fmt.Errorf("close memo segments: %w", err)
	}
	return nil
}

// open returns the segments of the names, in order, and those of them that
// were not open yet. Only Sync changes segments, so it needs no lock to read.
func (c *Cache) open(ctx context.Context, names []string) (next, fresh []segment, err error) {
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			err = fmt.Errorf("memo segment %s is named twice: %w", name, fs.ErrInvalid)
			return nil, nil, errors.Join(err, closeAll(fresh))
		}
		if j := slices.IndexFunc(c.segments, func(s segment) bool { return s.name == name }); j >= 0 {
			next = append(next, c.segments[j])
			continue
		}
		if c.source == nil {
			return nil, nil, fmt.Errorf("open memo segment %s: the cache has no source: %w", name, fs.ErrInvalid)
		}
		r, size, err := c.source.Open(ctx, name)
		if err != nil {
			return nil, nil, errors.Join(fmt.Errorf("open memo segment %s: %w", name, err), closeAll(fresh))
		}
		s, err := OpenSegment(r, size)
		if err != nil {
			err = fmt.Errorf("open memo segment %s: %w", name, err)
			return nil, nil, errors.Join(err, segment{name, &Segment{r: r}}.close(), closeAll(fresh))
		}
		fresh = append(fresh, segment{name, s})
		next = append(next, segment{name, s})
	}
	return next, fresh, nil
}

// found returns which pending records are in one of the segments.
func (c *Cache) found(ctx context.Context, segments []segment) ([]scoped, error) {
	if len(segments) == 0 {
		return nil, nil
	}
	var done []scoped
	for _, r := range c.Pending() {
		for _, s := range segments {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			records, err := s.Find(r.Key)
			if err != nil {
				return nil, fmt.Errorf("memo segment %s: %w", s.name, err)
			}
			if slices.ContainsFunc(records, func(p Record) bool { return p.Scope == r.Scope }) {
				done = append(done, scoped{r.Key, r.Scope})
				break
			}
		}
	}
	return done, nil
}

func closeAll(segments []segment) error {
	var errs []error
	for _, s := range segments {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

// Merge is a proposal to replace neighbouring segments of the root by one. It
// changes no look-up: of several records of one key and scope it holds the
// first.
type Merge struct {
	Names []string // a run of the root's names, in its order, to be replaced
	Data  []byte   // the segment to put in their place
}

// Merge joins neighbouring segments if there are more than SegmentsMax, the
// newest and smallest first, so that a record is rewritten O(log n) times. It
// returns false if nothing needs merging.
func (c *Cache) Merge(ctx context.Context) (Merge, bool, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	sizes := make([]int64, len(c.segments))
	for i, s := range c.segments {
		sizes[i] = s.size
	}
	i, j := mergeRun(sizes)
	if i == j {
		return Merge{}, false, nil
	}
	var m Merge
	var blobs []blob
	seen := map[scoped]bool{}
	for _, s := range c.segments[i:j] {
		m.Names = append(m.Names, s.name)
		for b, err := range s.blobs() {
			if err = errors.Join(err, ctx.Err()); err != nil {
				return Merge{}, false, fmt.Errorf("merge memo segment %s: %w", s.name, err)
			}
			r, err := decodeBlob(b)
			if err != nil {
				return Merge{}, false, fmt.Errorf("merge memo segment %s: %w", s.name, err)
			}
			if id := (scoped{r.Key, r.Scope}); !seen[id] {
				seen[id] = true
				b.scope = r.Scope
				blobs = append(blobs, b)
			}
		}
	}
	data, err := encodeBlobs(blobs)
	if err != nil {
		return Merge{}, false, fmt.Errorf("merge memo segments: %w", err)
	}
	m.Data = data
	return m, true, nil
}

// mergeRun chooses which of the segments i to j-1 to join, given the sizes of
// all; i equals j if none. It takes the newest, then older ones while they are
// at most twice the sum so far or there would still be too many.
func mergeRun(sizes []int64) (i, j int) {
	if len(sizes) <= SegmentsMax {
		return 0, 0
	}
	for j = len(sizes); j >= 2; j-- {
		total := sizes[j-1]
		for i = j - 1; i > 0 && total+sizes[i-1] <= mergeSizeMax; i-- {
			left := len(sizes) - (j - i) + 1
			if sizes[i-1] > 2*total && left <= SegmentsMax && j-i >= 2 {
				break
			}
			total += sizes[i-1]
		}
		if j-i >= 2 {
			return i, j
		}
	}
	return 0, 0
}
