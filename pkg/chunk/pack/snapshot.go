package pack

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Snapshot reads chunks through an exact set of index segments. It never
// changes.
type Snapshot struct {
	st   *Store
	segs []*segment
}

var _ chunk.Reader = (*Snapshot)(nil)

// Location is a place of a chunk.
type Location struct {
	Pack string // key
	Entry
}

// Snapshot opens the segments of the given keys. Each is opened once, however
// many snapshots use it. It fails with ErrMissing if one is not there.
func (st *Store) Snapshot(ctx context.Context, segments []string) (*Snapshot, error) {
	s := &Snapshot{st: st}
	var held int64
	for _, key := range segments {
		seg, err := st.loadSegment(ctx, key, st.opts.SegmentMemory-held)
		if err != nil {
			return nil, fmt.Errorf("open snapshot: %w", err)
		}
		if !seg.mapped {
			held += int64(len(seg.data))
		}
		s.segs = append(s.segs, seg)
	}
	return s, nil
}

// Segments returns the keys of the segments, in the order given.
func (s *Snapshot) Segments() []string {
	keys := make([]string, len(s.segs))
	for i, seg := range s.segs {
		keys[i] = seg.key
	}
	return keys
}

// SegmentInfo describes a segment, for deciding which to merge.
type SegmentInfo struct {
	Key    string
	Size   int64 // bytes
	Chunks int
	Packs  int
}

// Describe returns what each segment holds, in the order given.
func (s *Snapshot) Describe() []SegmentInfo {
	infos := make([]SegmentInfo, len(s.segs))
	for i, seg := range s.segs {
		infos[i] = SegmentInfo{seg.key, int64(len(seg.data)), seg.count, seg.packs}
	}
	return infos
}

// Has reports whether the segments name the chunk. It reads no pack.
func (s *Snapshot) Has(ctx context.Context, kind chunk.Kind, id chunk.ID) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	for _, seg := range s.segs {
		if _, ok := seg.find(kind, &id); ok {
			return true, nil
		}
	}
	return false, nil
}

// HasPack reports whether a segment names the pack.
func (s *Snapshot) HasPack(ctx context.Context, key string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	for _, seg := range s.segs {
		if seg.hasPack(key) {
			return true, nil
		}
	}
	return false, nil
}

// Packs yields the packs that the segments name; a pack that several name
// comes once for each. The sequence ends after an error.
func (s *Snapshot) Packs(ctx context.Context) iter.Seq2[PackInfo, error] {
	return func(yield func(PackInfo, error) bool) {
		for _, seg := range s.segs {
			if err := ctx.Err(); err != nil {
				yield(PackInfo{}, err)
				return
			}
			for i := range seg.packs {
				if !yield(seg.pack(i), nil) {
					return
				}
			}
		}
	}
}

// Chunks yields the place of every chunk that the segments name; a chunk that
// has several comes once for each. It is for GC and fsck. The sequence ends
// after an error.
func (s *Snapshot) Chunks(ctx context.Context) iter.Seq2[Location, error] {
	return func(yield func(Location, error) bool) {
		for _, seg := range s.segs {
			err := ctx.Err()
			if err == nil {
				err = seg.check()
			}
			if err != nil {
				yield(Location{}, err)
				return
			}
			keys := make([]string, seg.packs)
			for i := range keys {
				keys[i] = string(seg.packKey(i))
			}
			for i := range seg.count {
				e, _ := seg.entry(i)
				if !yield(Location{keys[e.pack], e.Entry}, nil) {
					return
				}
			}
			runtime.KeepAlive(seg)
		}
	}
}

// Location returns where the chunk is. It fails with chunk.ErrNotFound if no
// segment names it, and with chunk.ErrCorrupt if a segment is damaged, so that
// "not found" can be believed.
func (s *Snapshot) Location(ctx context.Context, kind chunk.Kind, id chunk.ID) (Location, error) {
	if err := ctx.Err(); err != nil {
		return Location{}, err
	}
	all, err := s.locations(kind, &id)
	if err != nil {
		return Location{}, err
	}
	return all[0], nil
}

// locations returns every place of the chunk, at least one.
func (s *Snapshot) locations(kind chunk.Kind, id *chunk.ID) ([]Location, error) {
	var all []Location
	for _, seg := range s.segs {
		l, err := seg.locations(kind, id)
		if err != nil {
			return nil, err
		}
		all = append(all, l...)
	}
	if len(all) > 0 {
		return all, nil
	}
	for _, seg := range s.segs {
		if err := seg.verifyAll(); err != nil {
			return nil, fmt.Errorf("%v %s was not found: %w", kind, id.Short(), err)
		}
	}
	return nil, fmt.Errorf("%v %s: %w", kind, id.Short(), chunk.ErrNotFound)
}

// Get implements chunk.Reader. A chunk that has several places is read from
// the first that is sound; if none is, the error names each pack, offset and
// chunk, and is of kind ErrMissing or chunk.ErrCorrupt.
func (s *Snapshot) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	all, err := s.locations(kind, &id)
	if err != nil {
		return nil, err
	}
	if b := s.st.cachedNode(kind, id); b != nil {
		return b, nil
	}
	var errs []error
	for i := range all {
		b, err := s.st.readChunk(ctx, &all[i])
		if err == nil {
			s.st.cacheNode(kind, id, b)
			return b, nil
		}
		errs = append(errs, err)
		if !errors.Is(err, chunk.ErrCorrupt) {
			break
		}
	}
	return nil, errors.Join(errs...)
}

// readChunk returns the verified plain bytes of a chunk at a place.
func (st *Store) readChunk(ctx context.Context, l *Location) ([]byte, error) {
	if err := l.check(); err != nil {
		return nil, corrupt("pack %s, offset %d, %v %s: entry: %v", l.Pack, l.Offset, l.Kind, l.ID.Short(), err)
	}
	stored, err := st.readRange(ctx, l.Pack, int64(l.Offset), int64(l.Stored))
	if err == nil {
		var plain []byte
		if plain, err = st.codec.decode(&l.Entry, stored, nil); err == nil {
			return plain, nil
		}
	}
	return nil, fmt.Errorf("pack %s, offset %d, %v %s: %w", l.Pack, l.Offset, l.Kind, l.ID.Short(), err)
}

// cachedNode returns the verified bytes of a metadata chunk from the cache, or
// nil. The caller owns them.
func (st *Store) cachedNode(kind chunk.Kind, id chunk.ID) []byte {
	if !kind.Meta() {
		return nil
	}
	key := chunkKey{kind, id}
	b := st.nodes.get(key)
	if b == nil {
		return nil
	}
	if kind.Sum(b) != id { // memory went bad: read it again
		st.nodes.drop(key)
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

// cacheNode keeps a copy of a metadata chunk.
func (st *Store) cacheNode(kind chunk.Kind, id chunk.ID, plain []byte) {
	if kind.Meta() {
		st.nodes.add(chunkKey{kind, id}, append(make([]byte, 0, len(plain)), plain...))
	}
}
