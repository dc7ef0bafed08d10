package repo

import (
	"context"
	"sync"
	"time"
)

// revalidation lets many callers share one look at the root. A look that is
// under way may have seen the root before a caller came: it waits for the next.
// The zero value is ready to use.
type revalidation struct {
	mu   sync.Mutex
	next *look      // not yet begun
	ends sync.Mutex // held by the look that is under way
}

// look is one look at the root.
type look struct {
	done chan struct{}
	l    *loaded
	err  error
}

// revalidateTimeout bounds a look whose callers have gone.
const revalidateTimeout = time.Minute

// newest returns the newest root that was seen.
func (d *Direct) newest() *loaded {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.last
}

// revalidate returns the root as it was at some time after the call.
func (d *Direct) revalidate(ctx context.Context) (*loaded, error) {
	v := &d.looks
	v.mu.Lock()
	at := v.next
	if at == nil {
		at = &look{done: make(chan struct{})}
		v.next = at
		go v.run(context.WithoutCancel(ctx), d, at)
	}
	v.mu.Unlock()
	select {
	case <-at.done:
		return at.l, at.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (v *revalidation) run(ctx context.Context, d *Direct, at *look) {
	defer close(at.done)
	v.ends.Lock()
	defer v.ends.Unlock()
	ctx, cancel := context.WithTimeout(ctx, revalidateTimeout)
	defer cancel()
	v.mu.Lock()
	v.next = nil
	v.mu.Unlock()
	at.l, at.err = d.load(ctx)
}
