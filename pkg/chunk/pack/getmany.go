package pack

import (
	"cmp"
	"context"
	"slices"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Chunks of one batch that lie near each other in a pack are read at once, with
// what is between them.
const (
	gapMax   = 64 << 10 // bytes between two: less than a request costs
	batchMax = 4 << 20  // bytes of one read
)

// wanted is a chunk of a batch and one place of it.
type wanted struct {
	Location
	index int // in the batch
}

// GetMany implements chunk.BatchReader: chunks that are neighbours in a pack
// cost one read.
func (s *Snapshot) GetMany(ctx context.Context, kind chunk.Kind, ids []chunk.ID, fn func(i int, plain []byte) error) error {
	var all []wanted
	var damaged []int // their places can't be: nothing is read, nor memory taken, on their word
	for i := range ids {
		l, err := s.Location(ctx, kind, ids[i])
		if err != nil {
			return err
		}
		if l.check() != nil {
			damaged = append(damaged, i)
			continue
		}
		all = append(all, wanted{l, i})
	}
	slices.SortFunc(all, func(a, b wanted) int {
		return cmp.Or(cmp.Compare(a.Pack, b.Pack), cmp.Compare(a.Offset, b.Offset))
	})
	for len(all) > 0 {
		n := neighbours(all)
		if err := s.getRun(ctx, kind, all[:n], fn); err != nil {
			return err
		}
		all = all[n:]
	}
	return getEach(ctx, s, kind, ids, damaged, fn) // there may be another place
}

// getEach gets some of ids one by one.
func getEach(ctx context.Context, r chunk.Reader, kind chunk.Kind, ids []chunk.ID, some []int, fn func(i int, plain []byte) error) error {
	for _, i := range some {
		plain, err := r.Get(ctx, kind, ids[i])
		if err == nil {
			err = fn(i, plain)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// neighbours returns how many of all, at least one, are worth one read.
func neighbours(all []wanted) int {
	first, end := &all[0], int64(all[0].Offset)+int64(all[0].Stored)
	for i := 1; i < len(all); i++ {
		w := &all[i]
		next := int64(w.Offset) + int64(w.Stored)
		if w.Pack != first.Pack || int64(w.Offset) > end+gapMax || next-int64(first.Offset) > batchMax {
			return i
		}
		end = max(end, next)
	}
	return len(all)
}

// roomFor returns n bytes of *buf, which it makes longer if it must: at once to
// what a large read takes, so that a pool of such buffers comes to rest.
func roomFor(buf *[]byte, n int) []byte {
	if cap(*buf) < n {
		size := n
		if n > batchMax/8 {
			size = max(n, batchMax)
		}
		*buf = make([]byte, size)
	}
	return (*buf)[:n]
}

// rawStep is how much of an uncompressed chunk is read at once from a local
// file, in bytes: little enough to be hashed while it is in the processor's own
// cache, where a chunk as a whole is not.
const rawStep = 256 << 10

// readRaw reads the bytes of an uncompressed chunk into plain, and verifies
// them.
func (st *Store) readRaw(ctx context.Context, l *Location, plain []byte) error {
	if err := l.check(); err != nil {
		return corrupt("entry: %v", err)
	}
	step := len(plain)
	if st.files.opener != nil {
		step = rawStep
	}
	sum := l.Kind.NewHash()
	for at := 0; at < len(plain); at += step {
		part := plain[at:min(at+step, len(plain))]
		if err := st.readInto(ctx, l.Pack, int64(l.Offset)+int64(at), part); err != nil {
			return err
		}
		_, _ = sum.Write(part) // never fails
	}
	if chunk.ID(sum.Sum(nil)) != l.ID {
		return corrupt("the bytes do not match the id")
	}
	return nil
}

// getRun reads chunks that lie together. What can't be read so is asked for by
// itself: it may have another place, and its error is more exact.
func (s *Snapshot) getRun(ctx context.Context, kind chunk.Kind, run []wanted, fn func(i int, plain []byte) error) error {
	from, end := int64(run[0].Offset), int64(0)
	for i := range run {
		end = max(end, int64(run[i].Offset)+int64(run[i].Stored))
	}
	buf := s.st.scratch.Get().(*[]byte)
	defer s.st.scratch.Put(buf)
	stored := roomFor(buf, int(end-from))
	if w := &run[0]; len(run) == 1 && w.Encoding == Raw {
		plain := stored
		if err := s.st.readRaw(ctx, &w.Location, stored); err != nil {
			if plain, err = s.Get(ctx, kind, w.ID); err != nil {
				return err
			}
		}
		return fn(w.index, plain)
	}
	scratch := s.st.scratch.Get().(*[]byte)
	defer s.st.scratch.Put(scratch)
	rerr := s.st.readInto(ctx, run[0].Pack, from, stored)
	for i := range run {
		w := &run[i]
		var plain []byte
		err := rerr
		if err == nil {
			if w.Encoding == Zstd {
				*scratch = slices.Grow((*scratch)[:0], int(min(w.Plain, chunk.MetaSizeMax)))
			}
			at := int64(w.Offset) - from
			plain, err = s.st.codec.decode(&w.Entry, stored[at:at+int64(w.Stored)], *scratch)
		}
		if err != nil {
			plain, err = s.Get(ctx, kind, w.ID)
		}
		if err != nil {
			return err
		}
		if err := fn(w.index, plain); err != nil {
			return err
		}
	}
	return nil
}
