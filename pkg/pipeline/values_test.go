package pipeline_test

import (
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// TestValueFromTheStageBefore: a file of one stage is a parameter of the next;
// it runs again when the value changes, and not when a stage gives the same.
func TestValueFromTheStageBefore(t *testing.T) {
	b := newBench(t)
	b.commitTo("limits", "", "first", map[string]string{"to": "high\n"})
	b.register("stats", "limits", "main", nil)
	b.register("up", "src", "main", func(s *spec.Spec) {
		s.Input = spec.Input{Cross: []spec.Input{{Repo: "src", Glob: "/*"}, {Repo: "stats", Glob: "/to", Value: "to"}}}
	})
	b.start()
	b.wait()
	b.wantRuns(4)
	b.wantFiles("up@main", map[string]string{"HIGH/a": "ONE", "HIGH/b": "TWO", "HIGH/c": "THREE"})
	b.commitTo("limits", "", "the same in capitals", map[string]string{"to": "High\n"})
	b.wait()
	b.wantRuns(5)
	b.commitTo("limits", "", "other", map[string]string{"to": "low"})
	b.wait()
	b.wantRuns(9)
	b.wantFiles("up@main", map[string]string{"LOW/a": "ONE", "LOW/b": "TWO", "LOW/c": "THREE"})
	b.commitTo("limits", "", "no value", map[string]string{"to": strings.Repeat("x", 5000)})
	b.wait()
	if j := b.newest("up"); j.State != history.Failed || !strings.Contains(j.Reason, "value to of input stats: 5000 bytes exceed the limit of 4096") {
		t.Errorf("job %s: %s", j.State, j.Reason)
	}
}
