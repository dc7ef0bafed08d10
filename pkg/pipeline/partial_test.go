package pipeline_test

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// partials returns the provisional branches of a pipeline.
func (b *bench) partials(name string) (all []string) {
	b.Helper()
	view, err := b.store.View(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	for branch := range view.Repos[name].Branches {
		if strings.HasSuffix(branch, "/partial") {
			all = append(all, branch)
		}
	}
	return all
}

// TestPartialResults: while a datum is slow, what the others gave is read at a
// provisional branch, which goes when the job is over, and with the engine if
// that crashes.
func TestPartialResults(t *testing.T) {
	b := newBench(t)
	resume := make(chan struct{})
	b.runner.before = func(ctx context.Context, p string) error {
		if p == "c" {
			select {
			case <-resume:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	}
	b.register("up", "src", "main", func(s *spec.Spec) { s.PartialResults = "1ms" })
	b.start()
	want := map[string]string{"a": "ONE", "b": "TWO"}
	seen := func(b *bench) bool {
		at := b.partials("up")
		return len(at) == 1 && maps.Equal(b.files("up@"+at[0]), want)
	}
	for !seen(b) || !b.recorded("up") {
		time.Sleep(time.Millisecond)
	}
	if j := b.newest("up"); j.State != history.Running || b.partials("up")[0] != engine.PartialBranch(j.ID) {
		t.Errorf("job %s is %s, shown at %v", j.ID.Short(), j.State, b.partials("up"))
	}
	crashed := b.clone(false)
	close(resume)
	b.wait()
	for len(b.partials("up")) > 0 {
		time.Sleep(time.Millisecond)
	}
	if len(crashed.partials("up")) != 1 {
		t.Fatal("the crash left nothing behind")
	}
	crashed.start()
	crashed.wait()
	for len(crashed.partials("up")) > 0 {
		time.Sleep(time.Millisecond)
	}
	crashed.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE"})
}
