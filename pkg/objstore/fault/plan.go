package fault

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// Kind is the method that a call is of.
type Kind string

// The kinds of call. A list counts once, when its iteration starts.
const (
	Get    Kind = "get"
	Put    Kind = "put"
	Stat   Kind = "stat"
	Delete Kind = "delete"
	List   Kind = "list"
)

// Call is one call of a store's method.
type Call struct {
	N    int // counts from 1
	Kind Kind
	Key  string // the prefix of a list
	Cond objstore.Condition
	Size int64 // bytes of a Put's body
}

// Writes reports whether the call may change the store.
func (c Call) Writes() bool { return c.Kind == Put || c.Kind == Delete }

// Effect is what happens to a call. The zero Effect lets it through.
type Effect struct {
	// Err is returned in place of the call's result, if it is not nil.
	Err error
	// Apply makes the call take effect although Err is returned: the
	// acknowledgement is lost.
	Apply bool
	// Torn makes a Put store only this share of its body, more than 0 and less
	// than 1, whatever its condition, before Err is returned: what a store does
	// that does not write whole objects.
	Torn float64
	// Crash makes this call and all later ones fail with ErrCrashed; Apply says
	// whether this one still takes effect.
	Crash bool
	// FlipBit inverts one bit of what a Get reads, Truncate drops its second half.
	FlipBit, Truncate bool
}

// Plan decides what happens to a call. It is called for one call at a time, in
// the order of their numbers.
type Plan func(Call) Effect

// ErrCrashed is returned by every call after a crash. It wraps
// objstore.ErrUnknownOutcome: the dead know nothing.
var ErrCrashed = fmt.Errorf("process crashed: %w", objstore.ErrUnknownOutcome)

// ErrInjected marks the definite failures that Random injects.
var ErrInjected = errors.New("injected failure")

// Plans asks each plan in turn until one has an effect.
func Plans(plans ...Plan) Plan {
	return func(c Call) Effect {
		for _, p := range plans {
			if e := p(c); e != (Effect{}) {
				return e
			}
		}
		return Effect{}
	}
}

// CrashAt crashes at call k, before it takes effect or, if applied, after it
// did and before it was acknowledged.
func CrashAt(k int, applied bool) Plan {
	return func(c Call) Effect {
		if c.N != k {
			return Effect{}
		}
		return Effect{Crash: true, Apply: applied}
	}
}

// TearAt crashes at call k, of whose body, if it is a Put, half is stored.
func TearAt(k int) Plan {
	return func(c Call) Effect {
		switch {
		case c.N != k:
			return Effect{}
		case c.Kind == Put:
			return Effect{Crash: true, Torn: 0.5}
		}
		return Effect{Crash: true}
	}
}

// Rates are the chances, 0 to 1, of each fault of Random. Their sum is at most 1.
type Rates struct {
	Throttled float64 // ErrThrottled, not applied
	Failed    float64 // ErrInjected, not applied
	NotSent   float64 // ErrUnknownOutcome, not applied
	AckLost   float64 // ErrUnknownOutcome, applied
	FlipBit   float64 // Get only: wrong bytes
	Truncate  float64 // Get only: the body ends early, without an error
}

// Random injects faults at the given rates, drawn from seed.
func Random(seed uint64, r Rates) Plan {
	var mu sync.Mutex
	rng := rand.New(rand.NewPCG(seed, 0))
	unknown := fmt.Errorf("connection reset: %w", objstore.ErrUnknownOutcome)
	table := []struct {
		rate   float64
		get    bool
		effect Effect
	}{
		{r.Throttled, false, Effect{Err: objstore.ErrThrottled}},
		{r.Failed, false, Effect{Err: ErrInjected}},
		{r.NotSent, false, Effect{Err: unknown}},
		{r.AckLost, false, Effect{Err: unknown, Apply: true}},
		{r.FlipBit, true, Effect{FlipBit: true}},
		{r.Truncate, true, Effect{Truncate: true}},
	}
	return func(c Call) Effect {
		mu.Lock()
		x := rng.Float64()
		mu.Unlock()
		for _, row := range table {
			if x -= row.rate; x >= 0 {
				continue
			}
			if row.get && c.Kind != Get {
				return Effect{}
			}
			return row.effect
		}
		return Effect{}
	}
}
