package pipeline

import (
	"context"
	"sync"
)

// bell tells those who wait that something may have changed. Its zero value is
// ready. It may be used concurrently.
type bell struct {
	mu    sync.Mutex
	rings uint64
	next  chan struct{} // closed at the next ring; nil: nobody waits
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rings++
	if b.next != nil {
		close(b.next)
		b.next = nil
	}
}

// wait returns the number of rings once it is greater than after.
func (b *bell) wait(ctx context.Context, after uint64) (uint64, error) {
	for {
		b.mu.Lock()
		rings := b.rings
		if b.next == nil {
			b.next = make(chan struct{})
		}
		next := b.next
		b.mu.Unlock()
		if rings > after {
			return rings, nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return rings, ctx.Err()
		}
	}
}

// Watch returns once what the other methods answer may have changed since it
// returned after, with a number to hand in the next time; the first time it is 0
// and Watch returns at once. Where an engine runs that is whenever it takes a
// step, elsewhere whenever the root moves.
func (j *Jobs) Watch(ctx context.Context, after uint64) (uint64, error) { return j.watch(ctx, after) }
