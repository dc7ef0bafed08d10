package pack

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Snapshot reads chunks through an exact set of index segments. It never
// changes.
type Snapshot struct {
	st   *Store
	segs []table
	hot  atomic.Int32 // number in segs of the one at hand that had the last chunk
}

var _ chunk.Reader = (*Snapshot)(nil)

// Location is a place of a chunk.
type Location struct {
	Pack string // key
	Entry
}

// openersMax is how many segments are opened at once: over a network each
// takes a request.
const openersMax = 16

// Snapshot opens the segments of the given keys. Each is opened once, however
// many snapshots use it. It fails with ErrMissing if one is not there.
func (st *Store) Snapshot(ctx context.Context, segments []string) (*Snapshot, error) {
	s := &Snapshot{st: st, segs: make([]table, len(segments))}
	opening, octx := errgroup.WithContext(ctx)
	opening.SetLimit(openersMax)
	for i, key := range segments {
		if s.segs[i] = st.findOpen(key); s.segs[i] != nil {
			continue
		}
		open := func() (err error) {
			s.segs[i], err = st.openTable(octx, key)
			return err
		}
		if st.files.opener != nil { // local files: the other goroutine would cost more
			if err := open(); err != nil {
				return nil, fmt.Errorf("open snapshot: %w", err)
			}
			continue
		}
		opening.Go(open)
	}
	if err := opening.Wait(); err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	return s, nil
}

// Segments returns the keys of the segments, in the order given.
func (s *Snapshot) Segments() []string {
	keys := make([]string, len(s.segs))
	for i, t := range s.segs {
		keys[i] = t.describe().Key
	}
	return keys
}

// SegmentInfo describes a segment, for deciding which to merge.
type SegmentInfo struct {
	Key    string
	Size   int64 // bytes
	Chunks int
	Packs  int
	Near   bool // its bytes are on this machine: reading all of it asks no store
}

// Describe returns what each segment holds, in the order given.
func (s *Snapshot) Describe() []SegmentInfo {
	infos := make([]SegmentInfo, len(s.segs))
	for i, t := range s.segs {
		infos[i] = t.describe()
		infos[i].Near = t.near() != nil
	}
	return infos
}

// inOrder returns the segments, with their numbers, as they are asked: those at
// hand first, then those at a distance, of each the newest first; but before
// all others the one that had the last chunk, which is likely to have the next.
func (s *Snapshot) inOrder() iter.Seq2[int, table] {
	return func(yield func(int, table) bool) {
		hot := int(s.hot.Load())
		if hot < len(s.segs) && s.segs[hot].near() != nil {
			if !yield(hot, s.segs[hot]) {
				return
			}
		} else {
			hot = -1
		}
		for _, near := range []bool{true, false} {
			for i, t := range slices.Backward(s.segs) {
				if i != hot && (t.near() != nil) == near && !yield(i, t) {
					return
				}
			}
		}
	}
}

// had notes that segment i had a chunk.
func (s *Snapshot) had(i int) {
	if s.hot.Load() != int32(i) {
		s.hot.Store(int32(i))
	}
}

// Has reports whether the segments name the chunk. It reads no pack.
func (s *Snapshot) Has(ctx context.Context, kind chunk.Kind, id chunk.ID) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	for i, t := range s.inOrder() {
		if all, err := t.locations(ctx, kind, &id); err != nil || len(all) > 0 {
			s.had(i)
			return err == nil, err
		}
	}
	return false, nil
}

// HasPack reports whether a segment names the pack.
func (s *Snapshot) HasPack(ctx context.Context, key string) (bool, error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	for _, t := range s.inOrder() {
		if ok, err := t.hasPack(ctx, key); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}

// hasSegment reports whether the snapshot has the segment of that key.
func (s *Snapshot) hasSegment(key string) bool {
	return slices.ContainsFunc(s.segs, func(t table) bool { return t.describe().Key == key })
}

// whole brings all bytes of all segments here.
func (s *Snapshot) whole(ctx context.Context) ([]*segment, error) {
	all := make([]*segment, len(s.segs))
	for i, t := range s.segs {
		err := ctx.Err()
		if err == nil {
			all[i], err = t.whole(ctx)
		}
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

// Packs yields the packs that the segments name; a pack that several name
// comes once for each. The sequence ends after an error.
func (s *Snapshot) Packs(ctx context.Context) iter.Seq2[PackInfo, error] {
	return func(yield func(PackInfo, error) bool) {
		segs, err := s.whole(ctx)
		for i := 0; i < len(segs) && err == nil; i++ {
			err = segs[i].checkHead()
		}
		if err != nil {
			yield(PackInfo{}, err)
			return
		}
		for _, seg := range segs {
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
		segs, err := s.whole(ctx)
		for i := 0; i < len(segs) && err == nil; i++ {
			err = segs[i].check()
		}
		if err != nil {
			yield(Location{}, err)
			return
		}
		for _, seg := range segs {
			keys := make([]string, seg.packs)
			for i := range keys {
				keys[i] = string(seg.packKey(i))
			}
			for i := range seg.count {
				e, _ := seg.entry(i)
				if !yield(Location{keys[e.pack], e.Entry}, nil) {
					return
				}
				seg.passed(i + 1)
			}
			runtime.KeepAlive(seg)
		}
	}
}

// Location returns where the chunk is. It fails with chunk.ErrNotFound if no
// segment names it, and with chunk.ErrCorrupt if a segment is damaged, so that
// "not found" can be believed.
func (s *Snapshot) Location(ctx context.Context, kind chunk.Kind, id chunk.ID) (Location, error) {
	var found Location
	err := s.try(ctx, kind, id, func(l *Location) error {
		found = *l
		return nil
	})
	return found, err
}

// Get implements chunk.Reader. A chunk that has several places is read from
// the first that is sound; if none is, the error names each pack, offset and
// chunk, and is of kind ErrMissing or chunk.ErrCorrupt.
func (s *Snapshot) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if b := s.st.cachedNode(kind, id); b != nil && s.mayHave(kind, &id) {
		return b, nil
	}
	var plain []byte
	err := s.try(ctx, kind, id, func(l *Location) (err error) {
		plain, err = s.st.readChunk(ctx, l)
		return err
	})
	if err != nil {
		return nil, err
	}
	s.st.cacheNode(kind, id, plain)
	return plain, nil
}

// mayHave reports whether the segments name the chunk, as far as it can be
// known without asking distant ones.
func (s *Snapshot) mayHave(kind chunk.Kind, id *chunk.ID) bool {
	for _, t := range s.inOrder() {
		near := t.near()
		if near == nil {
			return true
		}
		if _, ok := near.find(kind, id); ok {
			return true
		}
	}
	return false
}

// try calls use with one place of the chunk after the other until one is not
// corrupt. If all are, or there is none, the segments are doubted.
func (s *Snapshot) try(ctx context.Context, kind chunk.Kind, id chunk.ID, use func(*Location) error) error {
	for {
		var errs []error
		for n, t := range s.inOrder() {
			all, err := t.locations(ctx, kind, &id)
			for i := 0; i < len(all) && err == nil; i++ {
				if err = use(&all[i]); err == nil {
					s.had(n)
					return nil
				}
				if errors.Is(err, chunk.ErrCorrupt) {
					errs, err = append(errs, err), nil
				}
			}
			if err != nil && !errors.Is(err, chunk.ErrCorrupt) {
				return errors.Join(append(errs, err)...)
			}
			if err != nil {
				errs = append(errs, err)
			}
		}
		again, err := s.doubt(ctx)
		if again {
			continue
		}
		if len(errs) > 0 {
			return errors.Join(errs...)
		}
		if err != nil {
			return fmt.Errorf("%v %s was not found: %w", kind, id.Short(), err)
		}
		return fmt.Errorf("%v %s: %w", kind, id.Short(), chunk.ErrNotFound)
	}
}

// doubt doubts all segments.
func (s *Snapshot) doubt(ctx context.Context) (again bool, err error) {
	for _, t := range s.segs {
		more, terr := t.doubt(ctx)
		again = again || more
		if terr != nil && !more {
			err = terr
		}
	}
	return again, err
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
