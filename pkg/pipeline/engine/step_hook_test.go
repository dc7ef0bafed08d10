package engine

import (
	"testing"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// TestHooksAreOwed: an engine that is told of hooks asks for them once, and not
// again when the job that it has under way turns out to be over.
func TestHooksAreOwed(t *testing.T) {
	r := newRig(t, Options{})
	j := history.Job{ID: JobID{1}, Hooks: true, State: history.Done, Created: testTime(1)}
	if n := len(only[Hook](r.feed(Owed{Jobs: []history.Job{j, {ID: JobID{2}, State: history.Done}}}))); n != 1 {
		t.Errorf("%d hooks, want those of the one job that has some", n)
	}
	if n := len(only[Hook](r.feed(Owed{Jobs: []history.Job{j}}))); n != 0 {
		t.Errorf("%d hooks when told again", n)
	}
	j.Created = testTime(2)
	if n := len(only[Hook](r.feed(Owed{Jobs: []history.Job{j}}))); n != 1 {
		t.Errorf("%d hooks when evaluated again", n)
	}
}
