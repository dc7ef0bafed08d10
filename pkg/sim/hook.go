package sim

import (
	"time"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// hook runs the hooks of a job that is over: after a while, unless the daemon
// dies before.
func (w *world) hook(j history.Job) {
	w.forDaemon(w.delay(time.Second), "hook of "+j.ID.Short(), func() {
		w.hooks[j.ID]++
		w.daemon.events = append(w.daemon.events, history.Event{Kind: history.HookDone, Job: j.ID})
	})
}

// checkHooks holds in the end: the hooks of every job that is recorded as over
// were run, at the latest once the daemon has started again. A job whose last
// swap landed with an unknown outcome, and was then overtaken, is only found
// there (engine.HooksDue).
func (w *world) checkHooks() {
	left := func() (jobs []history.Job) {
		for _, j := range w.history {
			if j.Hooks && j.State.Final() && w.hooks[j.ID] == 0 {
				jobs = append(jobs, j)
			}
		}
		return jobs
	}
	wait := func() {
		for until := w.clock.Add(time.Hour); len(left()) > 0 && w.clock.Before(until); {
			w.next()
		}
	}
	if wait(); len(left()) == 1 { // more would be more than bad luck
		w.crash()
		wait()
	}
	for _, j := range left() {
		w.fail("job %v is %s, and its hooks were not run", j.ID.Short(), j.State)
	}
}
