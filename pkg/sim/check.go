package sim

import (
	"slices"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
)

// settled reports whether the pipelines are up to date and the daemon rests.
func (w *world) settled() bool {
	d := w.daemon
	return len(d.state.Jobs()) == 0 && engine.Settle(w.snapshot(), d.ledger, "", "").Settled()
}

// checkAlways holds after every step.
func (w *world) checkAlways() {
	for x, commits := range w.made {
		if len(commits) > 1 {
			w.fail("job %v has %d output commits on one", x.job.Short(), len(commits))
		}
	}
	seen := map[string]bool{}
	for _, j := range w.daemon.state.Jobs() {
		k := j.ID.String()
		if seen[k] || j.State.Final() {
			w.fail("job %v is kept twice, or after its end", j.ID.Short())
		}
		seen[k] = true
		if c := j.Counts; j.State != "pending" && (c.Hit+c.Ran+c.Failed > c.Total || c.Hit < 0) {
			w.fail("job %v counts %+v", j.ID.Short(), c)
		}
	}
}

// checkDone holds when the engine takes in that a job is published: it is.
func (w *world) checkDone(of engine.Happening) {
	s, ok := of.(engine.Swapped)
	if !ok || s.Verdict != engine.Committed || s.Gen > w.gen {
		return
	}
	for _, j := range w.daemon.jobs {
		if j.State == "done" && j.Output != (commit.ID{}) && !w.isMade(j.ID, j.Output) {
			w.fail("job %v is recorded as done, and its output is not in the root", j.ID.Short())
		}
	}
}

func (w *world) isMade(id engine.JobID, output commit.ID) bool {
	for x, commits := range w.made {
		if x.job == id && slices.Contains(commits, output) {
			return true
		}
	}
	return false
}

// checkEnd holds when the faults are over and nothing is left to do: outputs
// are what the inputs call for, datum by datum.
func (w *world) checkEnd() {
	if w.broken != nil {
		return
	}
	w.checkLeaks()
	w.checkHooks()
	if n := len(w.daemon.shown); n > 0 {
		w.fail("%d provisional branches are left", n)
	}
	settlement := engine.Settle(w.snapshot(), w.daemon.ledger, "", "")
	failed := map[string]bool{}
	for _, j := range settlement.Failed {
		failed[at(j.Head.Name, j.Head.Branch)] = true
	}
	for _, s := range w.stages {
		input := w.heads[at(s.source, s.sourceBranch)]
		if failed[at(s.name, s.branch)] || input.IsZero() {
			continue
		}
		in := w.versions[input].files
		want := map[string]string{}
		for path, content := range s.closure(in) {
			want[path] = w.outputOf(s, content)
		}
		got := w.head(s.name, s.branch)
		if got.Commit.Tree != rootOf(want) {
			w.fail("%s@%s has %d files, and not what its input of %d files calls for", s.name, s.branch, len(w.versions[got.ID].files), len(in))
		}
	}
}
