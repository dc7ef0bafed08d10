package chunk

import (
	"bytes"
	"context"
	"fmt"
)

// Sparse is implemented by readers that know of zero bytes ahead without
// reading them, as a file system knows the holes of a file. What is stored is
// the same; it only takes less time.
type Sparse interface {
	// Hole returns how many of the next bytes are zero, as far as that is known
	// without reading them: 0 if nothing is known.
	Hole() int64

	// Skip passes over n bytes of the hole.
	Skip(n int64) error
}

// holeLeast is the size of the holes that are passed over, in largest chunks: a
// smaller one is as quickly read.
const holeLeast = 4

// skipHole passes over the hole that the stream has come to, if it has come to
// one and all that was read is cut. From a cut in zeros on, every chunk is the
// same as long as zeros follow: a cut depends on nothing that comes after it.
func (s *stream) skipHole(ctx context.Context) error {
	if s.sparse == nil || s.last == nil || len(s.queue) > 0 {
		return nil
	}
	if !s.nearHole() || !isZero(s.tail) {
		return nil
	}
	hole := s.sparse.Hole()
	for len(s.puts) > 0 { // what comes before is listed before
		if err := s.collect(ctx); err != nil {
			return err
		}
	}
	zeros := make([]byte, s.w.cut.max)
	zeros = zeros[:s.w.cut.next(zeros, 0, s.w.cut.min)]
	id, err := s.w.store.Put(ctx, Data, zeros)
	if err != nil {
		return err
	}
	n := (int64(len(s.tail)) + hole) / int64(len(zeros))
	if err := s.sparse.Skip(n*int64(len(zeros)) - int64(len(s.tail))); err != nil {
		return fmt.Errorf("pass over a hole: %w", err)
	}
	s.tail = nil
	for range n {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.list.add(ctx, listEntry{ID: id, Size: int64(len(zeros))}); err != nil {
			return err
		}
	}
	return nil
}

// nearHole reports whether a hole that is worth passing over comes next.
func (s *stream) nearHole() bool {
	return s.sparse != nil && s.sparse.Hole() >= int64(holeLeast*s.w.cut.max)
}

func isZero(b []byte) bool {
	return len(b) == 0 || b[0] == 0 && bytes.Equal(b[1:], b[:len(b)-1])
}
