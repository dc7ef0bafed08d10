package pack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Limits of a session's memory: with the default pack size about 100 MiB, and
// what PendingMax allows.
const (
	buffersMax   = 5 // packs in memory: one of each class being filled, three on their way
	uploadersMax = 3 // uploads at once: two cores are busy while one waits for the disk
)

// Session is a chunk.Store that adds to a snapshot. A chunk that the base or
// the session has already is not stored again. Chunks can be read back as soon
// as Put returned; they are durable after Flush, and count once a root names
// the session's Segments.
//
// After a failed upload or segment the session is doomed: every later call
// fails with the same error, and the work starts over in a new session. What
// it uploaded is swept by GC some day.
type Session struct {
	st   *Store
	name string

	flushing chan struct{} // holds a token while a Flush runs
	free     chan []byte   // buffers of packs; nil ones are not made yet
	sealed   chan *ownPack
	failed   chan struct{} // closed when err is set
	uploads  sync.WaitGroup
	cancel   context.CancelFunc

	mu          sync.Mutex
	err         error // the session is doomed or closed
	closed      bool
	base        *Snapshot
	open        [classMeta + 1]*ownPack
	packs       []*ownPack // not yet in a segment, open ones too
	pending     map[chunkKey]ownChunk
	own         []*segment        // written since the last Rebase; replaced, not changed
	relied      map[string]string // packs of the base on which the work relies: by key, a segment that names it
	asked       int               // look-ups in distant segments that Put has made
	nextPack    int
	nextSegment int
}

// ownPack is a pack of the session. Its fields are guarded by the session's
// lock; once it is sealed only buf changes.
type ownPack struct {
	Footer
	class byte
	buf   []byte        // header and bodies, then the whole pack; nil when it is durable
	made  chan struct{} // closed when the Footer is whole
	done  chan struct{} // closed when it is durable
}

// ownChunk is a chunk of the session that is in no segment yet.
type ownChunk struct {
	pack  *ownPack
	entry uint32
}

var _ chunk.Store = (*Session)(nil)

// Session starts a session over base (nil: an empty one). Its name, from
// SessionName, must never have been used. Uploads end when ctx does. The
// caller closes the session.
func (st *Store) Session(ctx context.Context, base *Snapshot, name string) (*Session, error) {
	if _, err := ParseSession(name); err != nil {
		return nil, err
	}
	if base == nil {
		base = &Snapshot{st: st}
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &Session{
		st: st, name: name, base: base, cancel: cancel,
		flushing: make(chan struct{}, 1),
		free:     make(chan []byte, buffersMax),
		sealed:   make(chan *ownPack, buffersMax),
		failed:   make(chan struct{}),
		pending:  map[chunkKey]ownChunk{},
		relied:   map[string]string{},
	}
	for range buffersMax {
		s.free <- nil
	}
	for range uploadersMax {
		s.uploads.Go(func() {
			for p := range s.sealed {
				s.upload(ctx, p)
			}
		})
	}
	return s, nil
}

// Name returns the session's name.
func (s *Session) Name() string { return s.name }

// ErrClosed is the error of a session that was closed. It wraps fs.ErrClosed.
var ErrClosed = fmt.Errorf("session is closed: %w", fs.ErrClosed)

// Close ends the session. What was not flushed is lost. It returns once no
// upload is under way; an upload that Close interrupts may still take effect.
func (s *Session) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.fail(ErrClosed)
	close(s.sealed)
	s.mu.Unlock()
	s.cancel()
	s.uploads.Wait()
	return nil
}

// fail dooms the session. Called with the lock held.
func (s *Session) fail(err error) {
	if s.err == nil {
		s.err = err
		close(s.failed)
	}
}

// Doomed reports whether the session can take nothing more, because an upload
// failed or it was closed.
func (s *Session) Doomed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err != nil
}

// check returns why the session can't go on. Called with the lock held.
func (s *Session) check() error {
	if s.err == nil || errors.Is(s.err, ErrClosed) {
		return s.err
	}
	return fmt.Errorf("session %s is doomed, start a new one: %w", s.name, s.err)
}

// Put implements chunk.Store. It compresses in the caller's goroutine.
func (s *Session) Put(ctx context.Context, kind chunk.Kind, data []byte) (chunk.ID, error) {
	if err := ctx.Err(); err != nil {
		return chunk.ID{}, err
	}
	if !kind.Valid() {
		return chunk.ID{}, fmt.Errorf("put a chunk of %v: %w", kind, fs.ErrInvalid)
	}
	if err := chunk.CheckSize(kind, len(data)); err != nil {
		return chunk.ID{}, err
	}
	id := kind.Sum(data)
	if known, err := s.reuse(ctx, kind, id); known || err != nil {
		return id, err
	}
	scratch := s.st.scratch.Get().(*[]byte)
	defer s.st.scratch.Put(scratch)
	stored, enc := s.st.codec.encode(kind, data, scratch)
	full, err := s.add(ctx, Entry{ID: id, Kind: kind, Encoding: enc, Stored: uint32(len(stored)), Plain: uint32(len(data))}, stored)
	if err != nil {
		return chunk.ID{}, err
	}
	s.st.cacheNode(kind, id, data)
	if full {
		return id, s.flush(ctx, s.st.opts.PendingMax)
	}
	return id, nil
}

// dedupeAsksMax is how often a session asks segments that are at a distance
// whether they have a chunk that it is to store. Storing one twice is no
// mistake, and in time costs no more than asking; what did not change since the
// last commit is not even put.
const dedupeAsksMax = 256

// reuse reports whether the base or the session has the chunk. It looks for
// data in distant segments too, a bounded number of times; new metadata is
// hardly ever there.
func (s *Session) reuse(ctx context.Context, kind chunk.Kind, id chunk.ID) (bool, error) {
	s.mu.Lock()
	err := s.check()
	_, pending := s.pending[chunkKey{kind, id}]
	own, base := s.own, s.base
	s.mu.Unlock()
	if err != nil || pending {
		return pending, err
	}
	for _, seg := range own {
		if _, ok := seg.find(kind, &id); ok {
			return true, nil
		}
	}
	for _, t := range base.inOrder() {
		if t.near() == nil && (kind.Meta() || !s.mayAsk()) {
			break // the rest is distant too
		}
		all, err := t.locations(ctx, kind, &id)
		if err != nil {
			return false, err
		}
		if len(all) > 0 {
			return true, s.rely(t, &all[0])
		}
	}
	return false, nil
}

// mayAsk counts a look-up in a distant segment and reports whether it may be
// made.
func (s *Session) mayAsk() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	return s.asked <= dedupeAsksMax
}

// dedupeVerifyMax is the size up to which a segment at hand is verified before
// what it says of a chunk makes it unnecessary to store it: milliseconds.
const dedupeVerifyMax = 4 << 20

// rely notes that the session's work relies on a place that t names.
func (s *Session) rely(t table, l *Location) error {
	if seg := t.near(); seg != nil && len(seg.data) <= dedupeVerifyMax {
		if err := seg.verifyAll(); err != nil {
			return err
		}
	}
	if err := l.check(); err != nil {
		return corrupt("index segment %s: entry of %v %s: %v", t.describe().Key, l.Kind, l.ID.Short(), err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.relied[l.Pack]; !ok {
		s.relied[l.Pack] = t.describe().Key
	}
	return nil
}

// add appends a chunk to the open pack of its class, and reports whether the
// session holds more chunks than it should.
func (s *Session) add(ctx context.Context, e Entry, stored []byte) (full bool, err error) {
	class := classOf(e.Kind)
	key := chunkKey{e.Kind, e.ID}
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if err := s.check(); err != nil {
			return false, err
		}
		if _, ok := s.pending[key]; ok { // another Put was faster
			return false, nil
		}
		p := s.open[class]
		if p != nil && !p.fits(len(stored)) {
			s.seal(class)
			p = nil
		}
		if p == nil {
			if err := s.openPack(ctx, class); err != nil {
				return false, err
			}
			continue // the lock was released
		}
		e.Offset = uint32(len(p.buf))
		p.buf = append(s.grow(p.buf, len(stored)), stored...)
		s.pending[key] = ownChunk{p, uint32(len(p.Entries))}
		p.Entries = append(p.Entries, e)
		if packLength(len(p.buf), len(p.Entries)) >= s.st.opts.PackSize {
			s.seal(class)
		}
		return len(s.pending) > s.st.opts.PendingMax, nil
	}
}

// grow makes room for n more bytes. What is more than a few chunks will be a
// whole pack with its footer: it is not copied again on the way there.
func (s *Session) grow(buf []byte, n int) []byte {
	const few = 1 << 20
	if need := len(buf) + n; need > cap(buf) && need > few {
		return slices.Grow(buf, max(s.st.opts.PackSize*5/4-len(buf), n))
	}
	return buf
}

// fits reports whether one more chunk keeps the pack within its limits.
func (p *ownPack) fits(stored int) bool {
	return len(p.Entries) < PackEntriesMax && packLength(len(p.buf)+stored, len(p.Entries)+1) <= PackSizeMax
}

// openPack waits for a buffer and opens a pack, unless another goroutine does
// so meanwhile. Called with the lock held, which it releases while it waits.
func (s *Session) openPack(ctx context.Context, class byte) error {
	s.mu.Unlock()
	var buf []byte
	var err error
	select {
	case buf = <-s.free:
	case <-s.failed:
		s.mu.Lock()
		return s.check()
	case <-ctx.Done():
		err = ctx.Err()
	}
	s.mu.Lock()
	if err != nil {
		return err
	}
	if s.open[class] != nil || s.err != nil {
		s.free <- buf // there is room: it came from there
		return nil
	}
	p := &ownPack{class: class, buf: startPack(buf[:0], class), made: make(chan struct{}), done: make(chan struct{})}
	p.Key = packKey(s.name, s.nextPack)
	p.Meta = class == classMeta
	s.nextPack++
	s.open[class] = p
	s.packs = append(s.packs, p)
	return nil
}

// seal hands the open pack of a class to the uploaders. Called with the lock
// held.
func (s *Session) seal(class byte) {
	if p := s.open[class]; p != nil {
		s.open[class] = nil
		s.sealed <- p // there is room: a pack has one of as many buffers
	}
}
