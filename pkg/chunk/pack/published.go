package pack

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Get implements chunk.Reader over the base and what the session has.
func (s *Session) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if err := s.check(); err != nil {
		s.mu.Unlock()
		return nil, err
	}
	own, ok := s.pending[chunkKey{kind, id}]
	if !ok {
		all := s.all()
		s.mu.Unlock()
		return all.Get(ctx, kind, id)
	}
	at := Location{own.pack.Key, own.pack.Entries[own.entry]}
	var stored []byte
	inMemory := own.pack.buf != nil
	if inMemory {
		stored = append(make([]byte, 0, at.Stored), own.pack.buf[at.Offset:at.Offset+at.Stored]...)
	}
	s.mu.Unlock()
	if !inMemory {
		if b := s.st.cachedNode(kind, id); b != nil {
			return b, nil
		}
		return s.st.readChunk(ctx, &at)
	}
	b, err := s.st.codec.decode(&at.Entry, stored, nil)
	if err != nil {
		return nil, fmt.Errorf("pack %s in memory, %v %s: %w", at.Pack, kind, id.Short(), err)
	}
	return b, nil
}

// GetMany implements chunk.BatchReader, on what the base and the session's
// segments name; what is in none of them yet is got one by one.
func (s *Session) GetMany(ctx context.Context, kind chunk.Kind, ids []chunk.ID, fn func(i int, plain []byte) error) error {
	s.mu.Lock()
	if err := s.check(); err != nil {
		s.mu.Unlock()
		return err
	}
	all := s.all()
	var indexed, pending []int
	for i, id := range ids {
		if _, ok := s.pending[chunkKey{kind, id}]; ok {
			pending = append(pending, i)
		} else {
			indexed = append(indexed, i)
		}
	}
	s.mu.Unlock()
	if len(pending) == 0 {
		return all.GetMany(ctx, kind, ids, fn)
	}
	some := make([]chunk.ID, len(indexed))
	for j, i := range indexed {
		some[j] = ids[i]
	}
	if err := all.GetMany(ctx, kind, some, func(j int, plain []byte) error { return fn(indexed[j], plain) }); err != nil {
		return err
	}
	return getEach(ctx, s, kind, ids, pending, fn)
}

// all returns what the base and the session's segments name. Called with the
// lock held.
func (s *Session) all() *Snapshot {
	all := &Snapshot{st: s.st, segs: slices.Clone(s.base.segs)}
	for _, seg := range s.own {
		all.segs = append(all.segs, seg)
	}
	return all
}

// Has reports whether the base or the session has the chunk.
func (s *Session) Has(ctx context.Context, kind chunk.Kind, id chunk.ID) (bool, error) {
	s.mu.Lock()
	_, ok := s.pending[chunkKey{kind, id}]
	own, base := s.own, s.base
	s.mu.Unlock()
	if ok {
		return true, nil
	}
	for _, seg := range own {
		if _, ok := seg.find(kind, &id); ok {
			return true, nil
		}
	}
	return base.Has(ctx, kind, id)
}

// Added reports whether the session stored the chunk itself since it began or
// the last Rebase, as far as it knows without reading: false may be wrong.
func (s *Session) Added(kind chunk.Kind, id chunk.ID) bool {
	s.mu.Lock()
	_, ok := s.pending[chunkKey{kind, id}]
	own := s.own
	s.mu.Unlock()
	for _, seg := range own {
		if ok {
			break
		}
		_, ok = seg.find(kind, &id)
	}
	return ok
}

// Segments returns the keys of the segments written since the session began
// or the last Rebase, in order: what a root must name for the session's
// chunks to count.
func (s *Session) Segments() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]string, len(s.own))
	for i, seg := range s.own {
		keys[i] = seg.key
	}
	return keys
}

// Reused returns the packs, sorted, on which the session's work relies though
// its Segments do not name them: those of a base in which Put found a chunk,
// and those that Rebase made part of the base. A root that commits the
// session's work must still name all of them.
func (s *Session) Reused() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.relied))
}

// Rebase makes base the session's base after a root has named segments, which
// are those of Segments or the first of them: they are part of the base now,
// and their packs are in Reused. Without segments it only moves the session to a newer base. It fails with
// fs.ErrInvalid, and changes nothing, if segments are not the session's first,
// or if base lacks one of their packs or one of Reused: then what was found in
// that pack must be put again, in a new session.
func (s *Session) Rebase(ctx context.Context, base *Snapshot, segments []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(); err != nil {
		return err
	}
	if len(segments) > len(s.own) {
		return fmt.Errorf("rebase session %s: %d segments of %d: %w", s.name, len(segments), len(s.own), fs.ErrInvalid)
	}
	need := maps.Clone(s.relied)
	for i, key := range segments {
		seg := s.own[i]
		if seg.key != key {
			return fmt.Errorf("rebase session %s: segment %d is %s, not %.200q: %w", s.name, i, seg.key, key, fs.ErrInvalid)
		}
		for n := range seg.packs {
			need[string(seg.packKey(n))] = key
		}
	}
	lacks, err := lacking(ctx, base, need)
	if err != nil {
		return fmt.Errorf("rebase session %s: %w", s.name, err)
	}
	if lacks != "" {
		return fmt.Errorf("rebase session %s: the new base lacks %s: %w", s.name, lacks, fs.ErrInvalid)
	}
	s.relied = need
	s.own = s.own[len(segments):]
	s.base = base
	return nil
}

// Lacks returns a pack of Reused that base does not name, "" if it names all.
func (s *Session) Lacks(ctx context.Context, base *Snapshot) (string, error) {
	s.mu.Lock()
	need := maps.Clone(s.relied)
	s.mu.Unlock()
	return lacking(ctx, base, need)
}

// lacking returns one of the packs that base does not name, "" if there is
// none. Each comes with a segment that names it: where base has that too, it is
// not asked.
func lacking(ctx context.Context, base *Snapshot, packs map[string]string) (string, error) {
	for pack, seg := range packs {
		if base.hasSegment(seg) {
			continue
		}
		if ok, err := base.HasPack(ctx, pack); !ok || err != nil {
			return pack, err
		}
	}
	return "", nil
}
