package s3repo

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// room bounds what all streams of a Backend hold of chunks together, however
// slowly their clients take them. A few streams have chunks at hand and fetch
// the next ones ahead; each other has one piece, for which it fetches and checks
// the chunk by itself. Who is slow makes room for those who wait, and does not
// wait with them.
type room struct {
	ahead   *semaphore.Weighted // streams that hold chunks
	once    *semaphore.Weighted // chunks that are fetched for one piece
	waiting atomic.Int64        // streams that found no room
	pieces  sync.Pool           // of *[pieceMin]byte

	slowAfter time.Duration // how long a piece may take of a client that is not slow
}

const (
	// aheadStreams is how many streams hold chunks, three each: 12 MiB as a rule.
	aheadStreams = 8
	// onceChunks is how many chunks are fetched for one piece at a time.
	onceChunks = 4
	// pieceMin is the piece of who has no room, in bytes.
	pieceMin = 128 << 10
	// quickPieces in a row make a client that was slow quick again.
	quickPieces = 8
	// slowDefault is room.slowAfter but in tests.
	slowDefault = time.Second
)

func newRoom() *room {
	return &room{
		ahead:  semaphore.NewWeighted(aheadStreams),
		once:   semaphore.NewWeighted(onceChunks),
		pieces: sync.Pool{New: func() any { return new([pieceMin]byte) }},

		slowAfter: slowDefault,
	}
}

// stream reads a part of an object.
type stream struct {
	ctx      context.Context //nolint:containedctx // of Range: the methods of package io have no room for one
	r        *chunk.ContentReader
	pos, end int64
	cancel   context.CancelFunc

	room  *room
	small bool        // the object is no longer than a piece: there is room for it
	held  bool        // it has room for chunks
	waits bool        // it is counted as waiting
	slow  atomic.Bool // its client took long for a piece
	late  *time.Timer // of WriteTo: sets slow
	quick int         // pieces in a row that came in time
}

// hold reports whether the stream has room for chunks, which it takes if it can.
func (s *stream) hold() bool {
	slow := s.slow.Load()
	switch {
	case s.held:
		return true
	case s.small, slow, !s.room.ahead.TryAcquire(1):
		s.wait(!s.small && !slow)
		return false
	}
	s.held = true
	s.wait(false)
	return true
}

// wait has the stream counted as waiting, or not.
func (s *stream) wait(waits bool) {
	if s.waits == waits {
		return
	}
	s.waits = waits
	if waits {
		s.room.waiting.Add(1)
	} else {
		s.room.waiting.Add(-1)
	}
}

// leave gives the room back that the stream has.
func (s *stream) leave() {
	s.wait(false)
	if s.held {
		s.r.Drop()
		s.held = false
		s.room.ahead.Release(1)
	}
}

// Read implements io.Reader. It returns at most the rest of one chunk.
func (s *stream) Read(p []byte) (n int, err error) {
	if s.pos == s.end {
		return 0, io.EOF
	}
	if err := s.ctx.Err(); err != nil {
		return 0, err
	}
	p = p[:min(int64(len(p)), s.end-s.pos)]
	if s.hold() {
		if _, err = s.r.Seek(s.pos, io.SeekStart); err == nil {
			n, err = s.r.Read(p)
		}
	} else {
		n, err = s.readOnce(p)
	}
	s.pos += int64(n)
	return n, seal(err)
}

// readOnce reads at most the rest of one chunk, and holds nothing of it.
func (s *stream) readOnce(p []byte) (int, error) {
	if !s.small {
		if err := s.room.once.Acquire(s.ctx, 1); err != nil {
			return 0, err
		}
		defer s.room.once.Release(1)
	}
	return s.r.ReadOnce(p, s.pos)
}

// WriteTo implements io.WriterTo.
func (s *stream) WriteTo(w io.Writer) (written int64, err error) {
	begun := s.pos
	s.late = time.AfterFunc(s.room.slowAfter, func() { s.slow.Store(true) })
	s.late.Stop()
	var buf *[pieceMin]byte
	for s.pos < s.end && err == nil {
		if s.hold() {
			err = s.writeAhead(w)
			continue
		}
		if buf == nil {
			buf = s.room.pieces.Get().(*[pieceMin]byte)
			defer s.room.pieces.Put(buf)
		}
		err = s.writeOnce(w, buf[:])
	}
	return s.pos - begun, err
}

// send writes a piece to the client, and sees whether it is slow.
func (s *stream) send(w io.Writer, b []byte) (int, error) {
	s.late.Reset(s.room.slowAfter)
	n, err := w.Write(b)
	s.pos += int64(n)
	if s.quick++; !s.late.Stop() {
		s.quick = 0
	} else if s.quick == quickPieces {
		s.slow.Store(false)
	}
	return n, err
}

// writeOnce writes one piece.
func (s *stream) writeOnce(w io.Writer, buf []byte) error {
	n, err := s.readOnce(buf[:min(int64(len(buf)), s.end-s.pos)])
	if err != nil {
		return seal(err)
	}
	_, err = s.send(w, buf[:n])
	return err
}

// wholeMin is from how much on what is left of a stream is written chunk by
// chunk, the next ones being fetched meanwhile: two may be fetched in vain.
const wholeMin = 4 << 20

// writeAhead writes from the chunks themselves: all that is left, or until the
// room is wanted of a client that is slow.
func (s *stream) writeAhead(w io.Writer) error {
	if _, err := s.r.Seek(s.pos, io.SeekStart); err != nil {
		return seal(err)
	}
	out := &pieces{w: w, s: s}
	var err error
	if s.end-s.pos < wholeMin {
		_, err = io.Copy(out, struct{ io.Reader }{s.r})
	} else {
		_, err = s.r.WriteTo(out)
	}
	switch {
	case out.err != nil:
		return out.err
	case errors.Is(err, errSlow):
		s.leave()
		return nil
	case errors.Is(err, errEnough):
		return nil
	}
	return seal(err)
}

// pieceMax is how much is written at once: who sends it to a client can tell
// how fast it goes.
const pieceMax = 256 << 10

var (
	// errEnough ends what goes on behind the end of a range.
	errEnough = errors.New("enough was written")
	// errSlow ends what a slow client holds up.
	errSlow = errors.New("others wait for room")
)

// pieces writes what a stream has left, in pieces.
type pieces struct {
	w   io.Writer
	s   *stream
	err error // of w
}

// Write implements io.Writer.
func (p *pieces) Write(b []byte) (written int, err error) {
	s := p.s
	for len(b) > 0 && s.pos < s.end {
		n, err := s.send(p.w, b[:min(int64(len(b)), pieceMax, s.end-s.pos)])
		written, b = written+n, b[n:]
		if err != nil {
			p.err = err
			return written, err
		}
		if s.slow.Load() && s.pos < s.end && s.room.waiting.Load() > 0 {
			return written, errSlow
		}
	}
	if s.pos == s.end {
		s.cancel() // what is fetched from behind the range is not waited for
		return written, errEnough
	}
	return written, nil
}

// Close implements io.Closer. What is being fetched ahead has ended when it
// returns: nothing of a request outlives it, so that the store can be closed
// once all requests are over.
func (s *stream) Close() error {
	s.cancel()
	err := s.r.Close()
	s.leave()
	return err
}
