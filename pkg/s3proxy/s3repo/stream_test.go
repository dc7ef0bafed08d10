package s3repo

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// pool is a store in memory with one object of a few MiB in chunks of some
// hundred KiB, and the room that its streams share.
type pool struct {
	t    testing.TB
	mem  chunk.Mem
	data []byte
	object
}

func newPool(t testing.TB, size int) *pool {
	t.Helper()
	p := &pool{t: t, data: make([]byte, size)}
	src := rand.NewChaCha8([32]byte{1})
	_, _ = src.Read(p.data) // never fails
	params := chunk.DefaultParams()
	params.MinSize, params.Bits, params.MaxSize = 64<<10, 18, 1<<20
	c, err := chunk.WriteContent(t.Context(), &p.mem, params, bytes.NewReader(p.data))
	if err != nil {
		t.Fatal(err)
	}
	p.object = object{info: s3proxy.ObjectInfo{Size: c.Size}, chunks: &p.mem, room: newRoom(), body: body{content: c}}
	p.room.slowAfter = time.Hour // tests say who is slow
	return p
}

func (p *pool) open(offset, length int64) *stream {
	p.t.Helper()
	r, err := p.Range(p.t.Context(), offset, length)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = r.Close() })
	return r.(*stream)
}

// reads returns how many chunks f fetches.
func (p *pool) reads(f func()) int {
	before, _ := p.mem.Counts()
	f()
	after, _ := p.mem.Counts()
	return after - before
}

// drain reads a stream as the proxy does, a piece first, and compares.
func (p *pool) drain(s *stream, offset, length int64) {
	p.t.Helper()
	first := make([]byte, 128<<10)
	n, err := s.Read(first)
	if err != nil {
		p.t.Fatal(err)
	}
	got := bytes.NewBuffer(first[:n:n])
	if _, err := s.WriteTo(got); err != nil {
		p.t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), p.data[offset:offset+length]) {
		p.t.Errorf("%d bytes at %d: got %d others", length, offset, got.Len())
	}
}

func countChunks(t testing.TB, p *pool) (n int) {
	t.Helper()
	err := chunk.VisitContent(t.Context(), &p.mem, p.content, func(chunk.Kind, chunk.ID, int64) error {
		n++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestNothingIsFetchedTwice: who has room fetches every chunk once.
func TestNothingIsFetchedTwice(t *testing.T) {
	p := newPool(t, 9<<20)
	size := int64(len(p.data))
	got := p.reads(func() { p.drain(p.open(0, size), 0, size) })
	if want := countChunks(t, p); got != want {
		t.Errorf("%d reads of %d chunks", got, want)
	}
}

// TestWithoutRoom: streams beyond those that there is room for read the same,
// and hold nothing.
func TestWithoutRoom(t *testing.T) {
	p := newPool(t, 5<<20)
	size := int64(len(p.data))
	var holding []*stream
	for range aheadStreams {
		s := p.open(0, size)
		if _, err := s.Read(make([]byte, 1)); err != nil || !s.held {
			t.Fatalf("no room for stream %d: %v", len(holding), err)
		}
		holding = append(holding, s)
	}
	for _, at := range [][2]int64{{0, size}, {1, 200_000}, {size - 300_000, 300_000}, {1 << 20, 2 << 20}} {
		s := p.open(at[0], at[1])
		p.drain(s, at[0], at[1])
		if s.held || p.room.waiting.Load() != 1 {
			t.Errorf("%v: held %v, %d wait", at, s.held, p.room.waiting.Load())
		}
		_ = s.Close()
	}
	_ = holding[0].Close()
	s := p.open(0, size)
	p.drain(s, 0, size)
	if !s.held || p.room.waiting.Load() != 0 {
		t.Errorf("the room of a closed stream is not free: held %v, %d wait", s.held, p.room.waiting.Load())
	}
}

// TestSlowMakesRoom: a client that is slow while another waits goes on without
// room, and gets the same bytes.
func TestSlowMakesRoom(t *testing.T) {
	for _, size := range []int{3 << 20, 9 << 20} { // on both sides of wholeMin
		p := newPool(t, size)
		s := p.open(0, int64(size))
		var got bytes.Buffer
		out := writerFunc(func(b []byte) (int, error) {
			if got.Len() > size/3 {
				s.slow.Store(true)
				p.room.waiting.Store(1)
			}
			return got.Write(b)
		})
		if _, err := s.WriteTo(out); err != nil {
			t.Fatal(err)
		}
		if s.held || !p.room.ahead.TryAcquire(aheadStreams) {
			t.Error("a slow client keeps its room")
		}
		if !bytes.Equal(got.Bytes(), p.data) {
			t.Errorf("got %d other bytes", got.Len())
		}
	}
}

// TestSlowTakesNoRoom: a slow client takes no room, until it has been quick for
// some pieces.
func TestSlowTakesNoRoom(t *testing.T) {
	p := newPool(t, 9<<20)
	s := p.open(0, int64(len(p.data)))
	s.slow.Store(true)
	if s.hold() || p.room.waiting.Load() != 0 {
		t.Errorf("a slow client has room, or %d wait", p.room.waiting.Load())
	}
	p.drain(s, 0, int64(len(p.data)))
	if !s.held {
		t.Error("a client that is quick again has no room")
	}
}

// TestStreamEndsWithItsContext: whether it has room or not.
func TestStreamEndsWithItsContext(t *testing.T) {
	p := newPool(t, 5<<20)
	for range 2 {
		ctx, cancel := context.WithCancel(t.Context())
		r, err := p.Range(ctx, 0, int64(len(p.data)))
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		if n, err := r.(*stream).WriteTo(io.Discard); err == nil {
			t.Errorf("%d bytes written of a request that is over", n)
		}
		_ = r.Close()
		_ = p.room.ahead.TryAcquire(aheadStreams) // for the second round
	}
}

type writerFunc func([]byte) (int, error)

// Write implements io.Writer.
func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
