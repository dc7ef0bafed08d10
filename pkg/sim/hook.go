package sim

import (
	"context"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/pipeline/engine"
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

// readHistory tells the engine whose hooks are due, if the history holds what
// this life of the daemon did not write.
func (w *world) readHistory() {
	if !w.unread {
		return
	}
	w.unread = false
	if due := engine.HooksDue(w.past(), w.hooked); len(due) > 0 {
		w.deliver(w.delay(time.Second), engine.Owed{Jobs: due})
	}
}

// past is what the root says of jobs: the newest record of each, the oldest job
// first. Which record is newer is not a matter of which came later: that of an
// earlier life may.
func (w *world) past() []history.Job {
	log := history.NewLog(nil)
	for i := range w.history {
		log.Add(history.Record{Job: &w.history[i]})
	}
	jobs, err := log.Jobs(context.Background())
	if err != nil {
		w.fail("history: %v", err)
	}
	slices.Reverse(jobs)
	return jobs
}

// checkHooks holds in the end: the hooks of every job that is recorded as over
// were run.
func (w *world) checkHooks() {
	left := func() (jobs []history.Job) {
		for _, j := range w.history {
			if j.Hooks && j.State.Final() && w.hooks[j.ID] == 0 {
				jobs = append(jobs, j)
			}
		}
		return jobs
	}
	for until := w.clock.Add(time.Hour); len(left()) > 0 && w.clock.Before(until); {
		w.next()
	}
	for _, j := range left() {
		w.fail("job %v is %s, and its hooks were not run", j.ID.Short(), j.State)
	}
}
