package pipeline_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// TestLogsOfEveryAttempt: what each attempt printed, also those that failed, is
// in the store alone: it can be read without anything that the engine kept.
func TestLogsOfEveryAttempt(t *testing.T) {
	b := newBench(t)
	b.runner.fail = map[string]bool{"b": true}
	lost := false
	b.runner.before = func(_ context.Context, p string) error {
		if p == "c" && !lost {
			lost = true
			return errors.New("the node went away")
		}
		return nil
	}
	b.register("up", "src", "main", func(s *spec.Spec) { s.Datum.Tries = 3 })
	stop := b.start()
	b.wait()
	stop()
	b.journal, b.runner, b.engine = nil, nil, nil // the daemon and its disk

	jobs := pipeline.OpenJobs(b.store, "test")
	attempts, err := pipeline.OpenHistory(b.store).Attempts(b.ctx, b.newest("up").ID)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, a := range attempts {
		count[a.Identity+" "+a.Outcome]++
		r, err := jobs.ReadLog(b.ctx, a)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		want := "saw " + strings.TrimPrefix(a.Identity, "src:/") + "\n"
		if a.Outcome == "crashed" {
			want = "" // it did not get as far
		}
		if string(text) != want {
			t.Errorf("attempt %d at %s (%s) printed %q, want %q", a.Attempt, a.Identity, a.Outcome, text, want)
		}
	}
	for what, n := range map[string]int{"src:/a succeeded": 1, "src:/b failed": 3, "src:/c crashed": 1, "src:/c succeeded": 1} {
		if count[what] != n {
			t.Errorf("%d records of %s, want %d: %v", count[what], what, n, count)
		}
	}
	if state := b.newest("up").State; state != history.Failed {
		t.Errorf("the job is %s", state)
	}
}
