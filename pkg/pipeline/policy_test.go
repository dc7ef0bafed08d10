package pipeline_test

import (
	"testing"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// TestOutputDoesWithoutAFailedDatum: max_failed lets the job publish the
// others; what an earlier version of the datum gave is withdrawn, and the next
// job tries it again although its input did not change.
func TestOutputDoesWithoutAFailedDatum(t *testing.T) {
	b := newBench(t)
	b.register("up", "src", "main", func(s *spec.Spec) { s.MaxFailed.Count = 1 })
	stop := b.start()
	b.wait()
	b.runner.fail = map[string]bool{"b": true}
	b.commit("second", map[string]string{"a": "one", "b": "too", "c": "three", "d": "four"})
	if s := b.wait(); s.Err() != nil {
		t.Fatal(s.Err())
	}
	b.wantFiles("up@main", map[string]string{"a": "ONE", "c": "THREE", "d": "FOUR"})
	if j := b.newest("up"); j.State != history.Done || j.Counts.Failed != 1 {
		t.Errorf("job %+v", j)
	}
	stop()
	b.runner.fail = nil
	b.commit("third", map[string]string{"a": "one", "b": "too", "c": "three"})
	b.start()
	b.wait()
	b.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TOO", "c": "THREE"})
}

// TestCacheNever: the work is done for each job, and its results serve nobody
// else.
func TestCacheNever(t *testing.T) {
	b := newBench(t)
	b.register("up", "src", "main", func(s *spec.Spec) { s.Cache = spec.CacheNever })
	b.start()
	b.wait()
	b.wantRuns(3)
	b.commit("second", map[string]string{"a": "one", "b": "two", "c": "three", "d": "four"})
	b.wait()
	b.wantRuns(7)
	b.register("other", "src", "main", nil)
	b.wait()
	b.wantRuns(11)
	b.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE", "d": "FOUR"})
}
