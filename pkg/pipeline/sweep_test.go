package pipeline_test

import (
	"testing"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// TestSweep: each datum runs in each setting, a change costs what it concerns,
// and a value that was run before is known, in whatever way it is given.
func TestSweep(t *testing.T) {
	b := newBench(t)
	sweep := func(values ...string) func(*spec.Spec) {
		return func(s *spec.Spec) { s.Sweep = map[string][]string{"to": values} }
	}
	b.register("up", "src", "main", sweep("x", "y"))
	stop := b.start()
	b.wait()
	b.wantRuns(6)
	b.wantFiles("up@main", map[string]string{"x/a": "ONE", "x/b": "TWO", "x/c": "THREE", "y/a": "ONE", "y/b": "TWO", "y/c": "THREE"})
	stop()
	b.commit("more and less", map[string]string{"a": "one", "c": "three", "d": "four"})
	b.start()
	b.wait()
	b.wantRuns(8)
	b.wantFiles("up@main", map[string]string{"x/a": "ONE", "x/c": "THREE", "x/d": "FOUR", "y/a": "ONE", "y/c": "THREE", "y/d": "FOUR"})
	if j := b.newest("up"); j.Counts.Total != 6 || j.Counts.Ran != 2 {
		t.Errorf("counts %+v", j.Counts)
	}
	b.register("fixed", "src", "main", func(s *spec.Spec) { s.Parameters = map[string]string{"to": "y"} })
	b.wait()
	b.wantRuns(8)
	b.register("up", "src", "main", sweep("y", "z"))
	b.wait()
	b.wantRuns(11)
	b.wantFiles("up@main", map[string]string{"y/a": "ONE", "y/c": "THREE", "y/d": "FOUR", "z/a": "ONE", "z/c": "THREE", "z/d": "FOUR"})
}
