package fault

import (
	"context"
	"fmt"
	"io"
	"iter"
	"sync"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// Options of New. The zero value lets every call through.
type Options struct {
	// Plan decides what happens to each call.
	Plan Plan
	// Delay is called before each call, outside of any lock; an error it returns
	// is the call's result. It is where latency is put in.
	Delay func(context.Context, Call) error
	// Record keeps every call for Calls; without it only their number is known.
	Record bool
}

// Store is an objstore.Store whose calls fail by plan.
type Store struct {
	inner objstore.Store
	o     Options

	mu      sync.Mutex
	plan    Plan
	n       int
	calls   []Call
	crashed bool
}

var _ objstore.Store = (*Store)(nil)

// New wraps inner.
func New(inner objstore.Store, o Options) *Store {
	return &Store{inner: inner, o: o, plan: o.Plan}
}

// Count returns the number of calls so far, without those after a crash.
func (s *Store) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// Calls returns the calls so far, if they are recorded.
func (s *Store) Calls() []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Call(nil), s.calls...)
}

// Crashed reports whether the store has crashed and was not revived.
func (s *Store) Crashed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.crashed
}

// Revive ends a crash and sets the plan for the calls to come; nil lets them
// through. Numbers go on.
func (s *Store) Revive(p Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.crashed, s.plan = false, p
}

// begin numbers a call and returns its effect.
func (s *Store) begin(ctx context.Context, c Call) (Effect, error) {
	e, err := s.decide(&c)
	if err != nil {
		return Effect{}, err
	}
	if s.o.Delay != nil {
		if err := s.o.Delay(ctx, c); err != nil {
			return Effect{}, fmt.Errorf("%s %s: %w", c.Kind, c.Key, err)
		}
	}
	return e, nil
}

func (s *Store) decide(c *Call) (Effect, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.crashed {
		return Effect{}, fmt.Errorf("%s %s: %w", c.Kind, c.Key, ErrCrashed)
	}
	s.n++
	c.N = s.n
	if s.o.Record {
		s.calls = append(s.calls, *c)
	}
	var e Effect
	if s.plan != nil {
		e = s.plan(*c)
	}
	if e.Crash {
		s.crashed = true
		e.Err = ErrCrashed
	}
	if e.Err != nil {
		e.Err = fmt.Errorf("%s %s (call %d): %w", c.Kind, c.Key, c.N, e.Err)
	}
	return e, nil
}

// Get implements objstore.Store.
func (s *Store) Get(ctx context.Context, key string, r objstore.Range) (io.ReadCloser, objstore.Info, error) {
	e, err := s.begin(ctx, Call{Kind: Get, Key: key})
	if err == nil {
		err = e.Err
	}
	if err != nil {
		return nil, objstore.Info{}, err
	}
	rc, info, err := s.inner.Get(ctx, key, r)
	if err == nil && (e.FlipBit || e.Truncate) {
		rc, err = damage(rc, e)
	}
	return rc, info, err
}

// Stat implements objstore.Store.
func (s *Store) Stat(ctx context.Context, key string) (objstore.Info, error) {
	e, err := s.begin(ctx, Call{Kind: Stat, Key: key})
	if err == nil {
		err = e.Err
	}
	if err != nil {
		return objstore.Info{}, err
	}
	return s.inner.Stat(ctx, key)
}

// Put implements objstore.Store.
func (s *Store) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	e, err := s.begin(ctx, Call{Kind: Put, Key: key, Cond: c, Size: body.Size()})
	if err != nil {
		return objstore.Info{}, err
	}
	if e.Torn > 0 {
		part := io.NewSectionReader(body, 0, int64(float64(body.Size())*e.Torn))
		_, err := s.inner.Put(ctx, key, part, objstore.Condition{})
		if err == nil {
			err = e.Err
		}
		return objstore.Info{}, err
	}
	if e.Err != nil && !e.Apply {
		return objstore.Info{}, e.Err
	}
	info, err := s.inner.Put(ctx, key, body, c)
	if e.Err != nil {
		return objstore.Info{}, e.Err
	}
	return info, err
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	e, err := s.begin(ctx, Call{Kind: Delete, Key: key})
	if err != nil {
		return err
	}
	if e.Err != nil && !e.Apply {
		return e.Err
	}
	err = s.inner.Delete(ctx, key)
	if e.Err != nil {
		return e.Err
	}
	return err
}

// List implements objstore.Store.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		e, err := s.begin(ctx, Call{Kind: List, Key: prefix})
		if err == nil {
			err = e.Err
		}
		if err != nil {
			yield(objstore.Info{}, err)
			return
		}
		for info, err := range s.inner.List(ctx, prefix, after) {
			if s.Crashed() {
				info, err = objstore.Info{}, fmt.Errorf("list %s: %w", prefix, ErrCrashed)
			}
			if !yield(info, err) || err != nil {
				return
			}
		}
	}
}
