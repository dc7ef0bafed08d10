package pack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"testing"

	"go.uber.org/goleak"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// faulty is a store in memory whose Puts, one at a time, a test can bend.
type faulty struct {
	*mem.Store
	mu   sync.Mutex
	puts int
	bend func(n int, key string, put func() error) error // n counts from 1
}

func newFaulty(bend func(n int, key string, put func() error) error) *faulty {
	return &faulty{Store: mem.New(mem.Options{}), bend: bend}
}

func (f *faulty) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (info objstore.Info, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.puts++
	err = f.bend(f.puts, key, func() (err error) {
		info, err = f.Store.Put(ctx, key, body, c)
		return err
	})
	return info, err
}

// fill puts some chunks of both classes.
func fill(ctx context.Context, s *Session) error {
	for i := range 20 {
		for _, k := range []chunk.Kind{chunk.Data, chunk.Node} {
			if _, err := s.Put(ctx, k, fmt.Append(nil, "chunk ", i, strings.Repeat("x", i*10))); err != nil {
				return err
			}
		}
	}
	return s.Flush(ctx)
}

func wantFilled(t *testing.T, st *Store, segments []string) {
	t.Helper()
	snap := snapshot(t, st, segments...)
	for i := range 20 {
		wantText(t, snap, chunk.Data, fmt.Sprint("chunk ", i, strings.Repeat("x", i*10)))
		wantText(t, snap, chunk.Node, fmt.Sprint("chunk ", i, strings.Repeat("x", i*10)))
	}
}

// TestLostAcknowledgements: a write that took effect though nobody said so is
// written again, and recognised.
func TestLostAcknowledgements(t *testing.T) {
	lost := fmt.Errorf("connection reset: %w", objstore.ErrUnknownOutcome)
	for name, bend := range map[string]func(int, string, func() error) error{
		"stored": func(n int, _ string, put func() error) error {
			err := put()
			if n%2 == 1 {
				return lost
			}
			return err
		},
		"not stored": func(n int, _ string, put func() error) error {
			if n%2 == 1 {
				return lost
			}
			return put()
		},
		"retried below": func(n int, _ string, put func() error) error { // the layer below saw the ack of nobody
			return errors.Join(put(), put())
		},
	} {
		t.Run(name, func(t *testing.T) {
			st := open(t, newFaulty(bend), Options{PackSize: 500})
			s := session(t, st, nil, name1)
			if err := fill(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			wantFilled(t, st, s.Segments())
		})
	}
}

// TestEveryPutFails in turn: the session is doomed and says so, and the work
// succeeds in a new one.
func TestEveryPutFails(t *testing.T) {
	for name, fault := range map[string]error{
		"no space":  fmt.Errorf("write: %w", syscall.ENOSPC),
		"throttled": objstore.ErrThrottled,
		"unknown":   objstore.ErrUnknownOutcome,
	} {
		for fail := 1; ; fail++ {
			failed := ""
			objects := newFaulty(func(n int, key string, put func() error) error {
				if n == fail || key == failed {
					failed = key
					return fault
				}
				return put()
			})
			st := open(t, objects, Options{PackSize: 500})
			s := session(t, st, nil, name1)
			err := fill(t.Context(), s)
			if err == nil {
				if fail < 8 {
					t.Errorf("%s: only %d puts", name, fail)
				}
				break
			}
			if !errors.Is(err, fault) {
				t.Fatalf("%s: put %d failed: %v", name, fail, err)
			}
			_, putErr := s.Put(t.Context(), chunk.Data, []byte("more"))
			_, getErr := s.Get(t.Context(), chunk.Data, chunk.Data.Sum([]byte("more")))
			for _, err := range []error{putErr, getErr, s.Flush(t.Context()), s.Rebase(t.Context(), snapshot(t, st), nil)} {
				if !errors.Is(err, fault) || !strings.Contains(err.Error(), "doomed") {
					t.Fatalf("%s: later call: %v", name, err)
				}
			}
			again := session(t, st, nil, name2)
			if err := fill(t.Context(), again); err != nil {
				t.Fatal(err)
			}
			wantFilled(t, st, again.Segments())
		}
	}
}

// TestNameTakenByOthers: a session never takes another's object for its own.
func TestNameTakenByOthers(t *testing.T) {
	for _, key := range []string{packKey(name1, 0), segmentKey(name1, 0)} {
		objects := mem.New(mem.Options{})
		replace(t, objects, key, []byte("something else"))
		s := session(t, open(t, objects, Options{}), nil, name1)
		if err := fill(t.Context(), s); !errors.Is(err, objstore.ErrPrecondition) {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// TestBadMemoryIsNotUploaded: a pack that went bad in memory is noticed before
// it is written.
func TestBadMemoryIsNotUploaded(t *testing.T) {
	for _, text := range []string{"raw", string(bytes.Repeat([]byte("compressed"), 100))} {
		objects := newFaulty(func(_ int, key string, _ func() error) error {
			return fmt.Errorf("%s was written", key)
		})
		s := session(t, open(t, objects, Options{}), nil, name1)
		put(t, s, chunk.Data, text)
		s.mu.Lock()
		s.open[classData].buf[headerSize+2] ^= 1
		s.mu.Unlock()
		if err := s.Flush(t.Context()); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("got %v", err)
		}
	}
}

// TestSessionMemoryIsBounded: while the store stands still, Put waits, holding
// no more than buffersMax packs.
func TestSessionMemoryIsBounded(t *testing.T) {
	gate := make(chan struct{})
	objects := newFaulty(func(_ int, _ string, put func() error) error {
		<-gate
		return put()
	})
	st := open(t, objects, Options{PackSize: 1000})
	s := session(t, st, nil, name1)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var mu sync.Mutex
	done, refused := 0, 0
	full := make(chan struct{}, 100)
	for i := range 40 {
		wg.Go(func() {
			_, err := s.Put(ctx, chunk.Data, []byte(randomText(1000, uint64(i))))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				done++
			case errors.Is(err, context.Canceled):
				refused++
			default:
				t.Error(err)
			}
			full <- struct{}{}
		})
	}
	for range buffersMax { // each fills a pack; there is no buffer for a fifth
		<-full
	}
	cancel()
	wg.Wait()
	if done != buffersMax || refused != 40-buffersMax {
		t.Errorf("%d put, %d refused", done, refused)
	}
	short, stop := context.WithCancel(t.Context())
	stop()
	if err := s.Flush(short); !errors.Is(err, context.Canceled) {
		t.Errorf("flush: %v", err)
	}
	close(gate)
	put(t, s, chunk.Data, "goes on")
	flush(t, s)
	if n := snapshot(t, st, s.Segments()...).Describe()[0].Chunks; n != buffersMax+1 {
		t.Errorf("%d chunks", n)
	}
}

// gated is a store that puts packs after wait.
type gated struct {
	*mem.Store
	wait func()
}

func (g gated) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	if strings.HasPrefix(key, PackPrefix) {
		g.wait()
	}
	return g.Store.Put(ctx, key, body, c)
}

// TestFlushCanBeCalledAgain after its context ended during an upload.
func TestFlushCanBeCalledAgain(t *testing.T) {
	gate, started := make(chan struct{}), make(chan struct{}, 10)
	objects := gated{mem.New(mem.Options{}), func() {
		started <- struct{}{}
		<-gate
	}}
	st := open(t, objects, Options{})
	s := session(t, st, nil, name1)
	put(t, s, chunk.Data, "x")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-started
		cancel()
	}()
	if err := s.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	wantText(t, s, chunk.Data, "x")
	close(gate)
	flush(t, s)
	wantText(t, snapshot(t, st, s.Segments()...), chunk.Data, "x")
}

func TestClosedSession(t *testing.T) {
	objects := newFaulty(func(_ int, _ string, put func() error) error { return put() })
	s := session(t, open(t, objects, Options{}), nil, name1)
	put(t, s, chunk.Data, "lost")
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if objects.puts != 0 {
		t.Error("Close wrote something")
	}
	_, putErr := s.Put(t.Context(), chunk.Data, []byte("more"))
	for _, err := range []error{putErr, s.Flush(t.Context())} {
		if !errors.Is(err, fs.ErrClosed) {
			t.Errorf("got %v", err)
		}
	}
}

func TestSessionEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	st := open(t, mem.New(mem.Options{}), Options{})
	s, err := st.Session(ctx, nil, name1)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	put(t, s, chunk.Data, "x")
	cancel()
	if err := s.Flush(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestBadCacheEntryIsDropped: a node that went bad in memory is read again.
func TestBadCacheEntryIsDropped(t *testing.T) {
	st := open(t, mem.New(mem.Options{}), Options{})
	s := session(t, st, nil, name1)
	id := put(t, s, chunk.Node, "node")
	flush(t, s)
	snap := snapshot(t, st, s.Segments()...)
	key := chunkKey{chunk.Node, id}
	st.nodes.get(key)[0] ^= 1
	wantText(t, snap, chunk.Node, "node")
	if got := st.nodes.get(key); string(got) != "node" {
		t.Errorf("cache holds %q", got)
	}
}

func TestNodeCacheIsBounded(t *testing.T) {
	c := newNodeCache(10_000)
	for i := range 1000 {
		b := fmt.Append(nil, i)
		c.add(chunkKey{chunk.Node, chunk.Node.Sum(b)}, make([]byte, i))
		if c.size > 10_000 || len(c.byKey) != c.order.Len() {
			t.Fatalf("%d bytes in %d and %d entries", c.size, len(c.byKey), c.order.Len())
		}
	}
	c.add(chunkKey{}, make([]byte, 10_000))
	if c.get(chunkKey{}) != nil {
		t.Error("something larger than the cache was kept")
	}
	if c.order.Len() == 0 {
		t.Error("the cache is empty")
	}
}

// TestPacksKeepTheirLimits: a chunk that would make the pack too large goes to
// the next one.
func TestPacksKeepTheirLimits(t *testing.T) {
	room := PackSizeMax - trailerSize
	p := &ownPack{buf: make([]byte, room-entrySize-100)}
	if !p.fits(100) || p.fits(101) {
		t.Error("a pack does not hold what it may, or holds more")
	}
	full := &ownPack{Footer: Footer{Entries: make([]Entry, PackEntriesMax)}}
	if full.fits(0) {
		t.Error("a pack holds too many chunks")
	}
	s := session(t, open(t, mem.New(mem.Options{}), Options{PackSize: PackSizeMax}), nil, name1)
	large := randomText(chunk.MetaSizeMax-1, 9)
	for i := range 5 { // of which three fill a pack
		put(t, s, chunk.Node, fmt.Sprint(i)+large)
	}
	flush(t, s)
	n := 0
	for p, err := range snapshot(t, s.st, s.Segments()...).Packs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if p.Size > PackSizeMax {
			t.Errorf("pack of %d bytes", p.Size)
		}
	}
	if n != 2 {
		t.Errorf("%d packs", n)
	}
}
