package pipeline_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

// slow is a store whose root is not replaced while it is held.
type slow struct {
	objstore.Store
	mu   sync.Mutex
	held chan struct{} // nil: it is not
	met  chan struct{} // closed when a swap waits
}

func (s *slow) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	s.mu.Lock()
	held := s.held
	if key == "root" && held != nil && s.met != nil {
		close(s.met)
		s.met = nil
	}
	s.mu.Unlock()
	if key == "root" && held != nil {
		<-held
	}
	return s.Store.Put(ctx, key, body, c)
}

// hold makes swaps wait for release, and returns what is closed when one does.
func (s *slow) hold() (met <-chan struct{}, release func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	held, m := make(chan struct{}), make(chan struct{})
	s.held, s.met = held, m
	return m, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.held == held {
			close(held)
			s.held = nil
		}
	}
}

// TestResultsDoNotWaitForSwap: what is done while a root is being swapped counts
// before that is over, and neither a crash in the middle nor the end of that
// swap loses it.
func TestResultsDoNotWaitForSwap(t *testing.T) {
	disk := &slow{Store: mem.New(mem.Options{})}
	b := newBenchOn(t, disk)
	b.register("up", "src", "main", nil)
	swapping, release := disk.hold()
	t.Cleanup(release)
	b.runner.before = func(ctx context.Context, _ string) error {
		select {
		case <-swapping: // which records that the job has begun
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.start()
	for until := time.Now().Add(patience); b.newestCounts("up").Ran < 3; time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("counts %+v while a swap is under way", b.newestCounts("up"))
		}
	}
	if n := b.published(); n != 0 {
		t.Errorf("%d results are published by a swap that began before them", n)
	}
	crashed := b.clone(false)
	release()
	b.wait()
	if n := b.published(); n != 3 {
		t.Errorf("%d results are published in the end", n)
	}
	crashed.start()
	crashed.wait()
	if n := crashed.runner.count(); n != 0 {
		t.Errorf("%d datums were run again after the crash", n)
	}
	crashed.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE"})
	if j := crashed.newest("up"); j.Counts.Ran != 3 || j.Counts.Hit != 0 {
		t.Errorf("after the crash the job counts %+v", j.Counts)
	}
}
