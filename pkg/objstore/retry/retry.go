package retry

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// Options of New. The zero value works; two processes should differ in Seed,
// lest they wait in step.
type Options struct {
	// Deadline bounds the waiting within one call; 0 means 5 minutes, longer
	// than the outages that object stores have without somebody being paged.
	Deadline time.Duration
	// WaitMin is the first ceiling of a wait; 0 means 50 ms, about one request.
	WaitMin time.Duration
	// WaitMax is the last ceiling of a wait; 0 means 5 s.
	WaitMax time.Duration
	// Seed of the jitter.
	Seed uint64
	// Sleep waits for d or until ctx ends, whose error it then returns; nil
	// means a timer.
	Sleep func(ctx context.Context, d time.Duration) error
	// Notify, if not nil, is told of every wait: the operation, the attempt that
	// failed (from 1), its error and the wait. It must not block.
	Notify func(op, key string, attempt int, err error, wait time.Duration)
}

func (o Options) withDefaults() Options {
	if o.Deadline <= 0 {
		o.Deadline = 5 * time.Minute
	}
	if o.WaitMin <= 0 {
		o.WaitMin = 50 * time.Millisecond
	}
	if o.WaitMax <= 0 {
		o.WaitMax = 5 * time.Second
	}
	if o.Sleep == nil {
		o.Sleep = sleep
	}
	return o
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Store is an objstore.Store that repeats calls of another.
type Store struct {
	inner objstore.Store
	o     Options

	mu  sync.Mutex
	rng *rand.Rand
}

var _ objstore.Store = (*Store)(nil)

// New wraps inner.
func New(inner objstore.Store, o Options) *Store {
	return &Store{inner: inner, o: o.withDefaults(), rng: rand.New(rand.NewPCG(o.Seed, 0))}
}

// Unwrap returns the wrapped store.
func (s *Store) Unwrap() objstore.Store { return s.inner }

// attempts is the waiting of one call.
type attempts struct {
	s       *Store
	op, key string
	n       int           // failed so far
	waited  time.Duration // in sum
}

// again waits before the next attempt and returns nil, or returns why there is
// none: err itself, for a kind of failure that is not repeated, or err with the
// reason. unknown says whether the call may be repeated after an unknown outcome.
func (a *attempts) again(ctx context.Context, err error, unknown bool) error {
	a.n++
	if cerr := ctx.Err(); cerr != nil {
		return fmt.Errorf("%w (%w)", err, cerr)
	}
	switch objstore.OutcomeOf(err) {
	case objstore.OutcomeThrottled:
	case objstore.OutcomeUnknown:
		if !unknown {
			return err
		}
	default:
		return err
	}
	wait := a.s.jitter(a.n)
	if a.waited+wait > a.s.o.Deadline {
		return fmt.Errorf("gave up after %d attempts and %v of waiting: %w", a.n, a.waited.Round(time.Millisecond), err)
	}
	if a.s.o.Notify != nil {
		a.s.o.Notify(a.op, a.key, a.n, err, wait)
	}
	a.waited += wait
	if cerr := a.s.o.Sleep(ctx, wait); cerr != nil {
		return fmt.Errorf("%w (while waiting to repeat: %w)", err, cerr)
	}
	return nil
}

// jitter returns the wait after the n-th failure.
func (s *Store) jitter(n int) time.Duration {
	ceiling := s.o.WaitMin
	for i := 1; i < n && ceiling < s.o.WaitMax; i++ {
		ceiling *= 2
	}
	ceiling = min(ceiling, s.o.WaitMax)
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Duration(s.rng.Int64N(int64(ceiling) + 1))
}
