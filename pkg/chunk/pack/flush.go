package pack

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// upload finishes a pack, verifies it and writes it.
func (s *Session) upload(ctx context.Context, p *ownPack) {
	err := ctx.Err()
	if err == nil {
		err = s.write(ctx, p)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.fail(err)
		return
	}
	s.free <- p.buf[:0]
	p.buf = nil
	close(p.done)
}

func (s *Session) write(ctx context.Context, p *ownPack) error {
	b, packSum := finishPack(p.buf, p.class, p.Entries)
	if _, err := decodeBodies(b, s.st.codec); err != nil { // the checksum of the whole is of these very bytes
		return fmt.Errorf("verify %s before it is uploaded (is the memory of this machine sound?): %w", p.Key, err)
	}
	s.mu.Lock()
	p.buf, p.Size, p.Sum = b, int64(len(b)), packSum
	s.mu.Unlock()
	close(p.made)
	return s.st.putNew(ctx, p.Key, objstore.Bytes(b))
}

// Flush implements chunk.Store: it uploads what is open, writes one index
// segment for the packs that have none, and waits for every upload. The segment
// is written beside the last packs: it is nobody's before a root names it, which
// is after Flush. When ctx ends meanwhile, Flush can be called again.
func (s *Session) Flush(ctx context.Context) error { return s.flush(ctx, 0) }

// flush does the work of Flush if more than least chunks are pending.
func (s *Session) flush(ctx context.Context, least int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case s.flushing <- struct{}{}:
		defer func() { <-s.flushing }()
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	err := s.check()
	if err != nil || len(s.pending) <= least {
		s.mu.Unlock()
		return err
	}
	s.seal(classData)
	s.seal(classMeta)
	packs := slices.Clone(s.packs)
	key := segmentKey(s.name, s.nextSegment)
	s.nextSegment++ // also if it fails: a late write must not meet another's bytes
	s.mu.Unlock()

	seg, err := s.index(ctx, key, packs)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		if ctx.Err() == nil {
			s.fail(err)
		}
		return cmp.Or(s.check(), err)
	}
	s.own = append(slices.Clip(s.own), seg)
	s.packs = slices.Delete(s.packs, 0, len(packs))
	if len(s.packs) == 0 {
		clear(s.pending)
		return nil
	}
	for _, p := range packs {
		for i := range p.Entries {
			delete(s.pending, chunkKey{p.Entries[i].Kind, p.Entries[i].ID})
		}
	}
	return nil
}

// index writes the segment of packs that are being uploaded, and waits for them.
func (s *Session) index(ctx context.Context, key string, packs []*ownPack) (*segment, error) {
	footers := make([]Footer, len(packs))
	for i, p := range packs {
		if err := s.await(ctx, p.made, p); err != nil {
			return nil, err
		}
		footers[i] = p.Footer
	}
	seg, err := s.writeSegment(ctx, key, footers)
	if err != nil {
		return nil, err
	}
	for _, p := range packs {
		if err := s.await(ctx, p.done, p); err != nil {
			return nil, err
		}
	}
	return seg, nil
}

// await waits for an event of a pack, unless the session fails.
func (s *Session) await(ctx context.Context, event <-chan struct{}, p *ownPack) error {
	select {
	case <-event:
		return nil
	case <-s.failed:
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.check()
	case <-ctx.Done():
		return fmt.Errorf("wait for the upload of %s: %w", p.Key, ctx.Err())
	}
}

// writeSegment writes and opens a segment.
func (s *Session) writeSegment(ctx context.Context, key string, footers []Footer) (*segment, error) {
	data, err := encodeSegment(footers)
	if err != nil {
		return nil, err
	}
	if err := s.st.putNew(ctx, key, objstore.Bytes(data)); err != nil {
		return nil, err
	}
	seg, err := s.st.mapOwn(ctx, key) // mapped: it may be large
	if errors.Is(err, errors.ErrUnsupported) {
		seg, err = s.st.openNew(key, data)
	}
	if err != nil {
		return nil, err
	}
	seg.filter = newFilter(footers)
	s.st.keepOpen(seg)
	return seg, nil
}
