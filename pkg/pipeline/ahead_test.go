package pipeline_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// TestDepthFirst: one datum of the first stage is slow. All others leave the
// third stage before it leaves the first; then it alone is to be run, and
// nothing runs twice.
func TestDepthFirst(t *testing.T) {
	b := newBench(t)
	others := func() bool {
		b.runner.mu.Lock()
		defer b.runner.mu.Unlock()
		return b.runner.ran["b"] == 3 && b.runner.ran["c"] == 3
	}
	b.runner.before = func(ctx context.Context, p string) error {
		if p != "a" {
			return nil
		}
		for deadline := time.Now().Add(patience); !others(); {
			if time.Now().After(deadline) {
				return errors.New("the other datums wait for the slow one")
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Millisecond):
			}
		}
		return nil
	}
	again := func(text string) func(*spec.Spec) { return func(s *spec.Spec) { s.Reprocess = text } }
	b.register("one", "src", "main", nil)
	b.register("two", "one", "main", again("two"))
	b.register("three", "two", "main", again("three"))
	b.start()
	if s := b.wait(); s.Err() != nil {
		t.Fatal(s.Err())
	}
	b.wantRuns(9)
	b.wantFiles("three@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE"})
	for _, stage := range []string{"one", "two", "three"} { // what ran ahead of a job is the job's
		if c := b.newestCounts(stage); c.Ran != 3 || c.Hit != 0 || c.Failed != 0 {
			t.Errorf("stage %s counts %+v, want that its 3 datums ran", stage, c)
		}
	}
}
