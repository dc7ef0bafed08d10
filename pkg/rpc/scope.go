package rpc

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/repo"
)

// namedMax bounds how many chunks one scope may have named, and with it the
// memory of a scope to about 300 MiB. Who needs more opens the next scope.
const namedMax = 8 << 20

// scope is one open reader or session, of one principal.
type scope struct {
	owner   auth.Principal
	what    repo.Scope
	reader  chunk.Reader
	session repo.Session // nil: for reading only

	mu    sync.Mutex
	named map[chunk.ID]struct{} // chunks that may be read
	used  time.Time
	calls int // under way
}

// name allows chunks to be read.
func (s *scope) name(ids ...chunk.ID) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.named)+len(ids) > namedMax {
		return fmt.Errorf("a scope names at most %d chunks; open another for the rest: %w", namedMax, ErrScope)
	}
	for _, id := range ids {
		s.named[id] = struct{}{}
	}
	return nil
}

// allows reports whether a chunk may be read.
func (s *scope) allows(id chunk.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.named[id]
	return ok
}

// scopes holds the open scopes by handle.
type scopes struct {
	now  func() time.Time
	idle time.Duration

	mu   sync.Mutex
	open map[string]*scope
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
	expired := t.expired()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range expired {
		_ = e.close()
	}
	if len(t.open) >= scopesMax {
		return "", fmt.Errorf("%d scopes are open already; close some: %w", len(t.open), ErrScope)
	}
	s.used = t.now()
	s.named = map[chunk.ID]struct{}{}
	t.open[handle] = s
	return handle, nil
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
	if s.session == nil {
		return nil
	}
	return s.session.Close()
}

// newOp makes the operation ID of a client that names none.
func newOp(now time.Time) (repo.OpID, error) { return repo.NewOpID(now, rand.Reader) }
