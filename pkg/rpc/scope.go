package rpc

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
)

// Limits of what is open at once. All but the owner have a quarter of each, so
// that nobody can take the place of all others.
const (
	scopesMax   = 1024
	sessionsMax = 64 // of the scopes; each buffers up to four packs, 64 MiB
	share       = 4
)

// Limits of what may have been named: some 40 bytes each. Who needs more in
// one scope opens the next.
const (
	namedMax    = 8 << 20  // in one scope
	namedAllMax = 16 << 20 // in all
)

// scope is one open reader or session, of one principal.
type scope struct {
	owner   auth.Principal
	what    repo.Scope
	reader  chunk.Reader
	session repo.Session // nil: for reading only

	all   *atomic.Int64 // chunks named in all scopes
	mu    sync.Mutex
	named map[chunk.Ref]struct{} // chunks that may be read; nil once the scope has ended
	used  time.Time
	calls int // under way
}

// name allows chunks to be read.
func (s *scope) name(refs ...chunk.Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.named == nil {
		return fmt.Errorf("the scope has ended: %w", ErrScope)
	}
	if len(s.named)+len(refs) > namedMax {
		return fmt.Errorf("a scope names at most %d chunks; open another for the rest: %w", namedMax, ErrScope)
	}
	if s.all.Load()+int64(len(refs)) > namedAllMax {
		return fmt.Errorf("all scopes together name %d chunks already; try again when some have ended: %w", s.all.Load(), objstore.ErrThrottled)
	}
	before := len(s.named)
	for _, r := range refs {
		s.named[r] = struct{}{}
	}
	s.all.Add(int64(len(s.named) - before))
	return nil
}

// allows reports whether a chunk may be read.
func (s *scope) allows(r chunk.Ref) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.named[r]
	return ok
}

// scopes holds the open scopes by handle.
type scopes struct {
	now  func() time.Time
	idle time.Duration

	named atomic.Int64 // chunks, in all of them
	mu    sync.Mutex
	open  map[string]*scope
}

func newScopes(now func() time.Time, idle time.Duration) *scopes {
	return &scopes{now: now, idle: idle, open: map[string]*scope{}}
}

// add opens a scope and returns its handle, which can't be guessed.
func (t *scopes) add(s *scope) (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("make handle: %w", err)
	}
	handle := hex.EncodeToString(b[:])
	for _, e := range t.expired() {
		_ = e.close() // takes a while, so not under the lock
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err := t.room(s.owner, s.session != nil); err != nil {
		return "", err
	}
	s.used = t.now()
	s.named, s.all = map[chunk.Ref]struct{}{}, &t.named
	t.open[handle] = s
	return handle, nil
}

// room fails with objstore.ErrThrottled if p may open no more. The caller
// holds the lock.
func (t *scopes) room(p auth.Principal, session bool) error {
	all, own := 0, 0
	for _, s := range t.open {
		if session && s.session == nil {
			continue
		}
		all++
		if s.owner == p {
			own++
		}
	}
	what, limit := "scopes", scopesMax
	if session {
		what, limit = "sessions", sessionsMax
	}
	switch {
	case session && len(t.open) >= scopesMax:
		return fmt.Errorf("%d scopes are open already; try again when some have ended: %w", len(t.open), objstore.ErrThrottled)
	case all >= limit:
		return fmt.Errorf("%d %s are open already; try again when some have ended: %w", all, what, objstore.ErrThrottled)
	case p != auth.Owner && own >= limit/share:
		return fmt.Errorf("%v has %d %s open already; close some: %w", p, own, what, objstore.ErrThrottled)
	}
	return nil
}

// use returns the scope of a handle to its owner, to be released after the call.
func (t *scopes) use(handle string, p auth.Principal) (*scope, func(), error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s, ok := t.open[handle]
	if !ok || s.owner != p {
		return nil, nil, fmt.Errorf("no such scope, or it has ended; open it again: %w", ErrScope)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	return s, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.calls--
		s.used = t.now()
	}, nil
}

// remove ends a scope.
func (t *scopes) remove(handle string, p auth.Principal) error {
	t.mu.Lock()
	s, ok := t.open[handle]
	if ok && s.owner == p {
		delete(t.open, handle)
	}
	t.mu.Unlock()
	if !ok || s.owner != p {
		return nil // closing twice is fine
	}
	return s.close()
}

// expired takes out the scopes that nobody uses any more.
func (t *scopes) expired() []*scope {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*scope
	for handle, s := range t.open {
		s.mu.Lock()
		if s.calls == 0 && t.now().Sub(s.used) > t.idle {
			out = append(out, s)
			delete(t.open, handle)
		}
		s.mu.Unlock()
	}
	return out
}

// closeAll ends every scope.
func (t *scopes) closeAll() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for handle, s := range t.open {
		errs = append(errs, s.close())
		delete(t.open, handle)
	}
	return errors.Join(errs...)
}

func (s *scope) close() error {
	s.mu.Lock()
	s.all.Add(-int64(len(s.named)))
	s.named = nil
	s.mu.Unlock()
	if s.session == nil {
		return nil
	}
	return s.session.Close()
}

// newOp makes the operation ID of a client that names none.
func newOp(now time.Time) (repo.OpID, error) { return repo.NewOpID(now, rand.Reader) }
