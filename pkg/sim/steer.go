package sim

import (
	"maps"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/pipeline/engine"
)

// steer is somebody who cancels a job that is under way or a datum of it, or has one that is
// over tried again, all of it or one datum.
func (w *world) steer() {
	if jobs := w.daemon.state.Jobs(); len(jobs) > 0 && w.rng.IntN(2) == 0 {
		j := jobs[w.rng.IntN(len(jobs))]
		wish := engine.Cancel{Job: j.ID, By: "somebody", Reason: "a wish", Cascade: w.rng.IntN(2) == 0}
		if all := w.daemon.state.Datums(j.ID); len(all) > 0 && w.rng.IntN(2) == 0 {
			wish.Datums = []string{all[w.rng.IntN(len(all))].Identity}
		}
		w.deliver(w.delay(time.Second), wish)
		return
	}
	heads := w.snapshot().Pipelines
	p := heads[w.rng.IntN(len(heads))]
	if !p.Ready() {
		return
	}
	wish := engine.Rerun{Job: w.daemon.ledger.Current(p).ID}
	if paths := slices.Sorted(maps.Keys(w.versions[p.Inputs[0].Head.ID].files)); w.rng.IntN(2) == 0 {
		wish.Only = []string{paths[w.rng.IntN(len(paths))]}
	}
	w.deliver(w.delay(time.Second), wish)
}

// mend has the jobs tried again that ended without an output, once nothing goes
// wrong any more. It reports whether there were any.
func (w *world) mend() bool {
	failed := engine.Settle(w.snapshot(), w.daemon.ledger, "", "").Failed
	for _, j := range failed {
		w.step(engine.Rerun{Job: j.ID})
	}
	return len(failed) > 0
}

// The pools of the model: one of few units, one with a rate.
const (
	smallLimit = 3
	rate       = 5
	ratePer    = 10 * time.Second
)

func pools() map[string]engine.Pool {
	return map[string]engine.Pool{"small": {Limit: smallLimit}, "rated": {Rate: rate, Per: ratePer}}
}

// lease notes what an execution holds, and fails if it may not have it.
func (w *world) lease(e engine.Start) {
	w.holds[e.Key] = nil
	for _, j := range w.daemon.state.Jobs() {
		for _, s := range w.stages {
			if j.ID == e.Job && j.Pipeline == s.name && j.Branch == s.branch {
				w.holds[e.Key] = s.needs
			}
		}
	}
	if held := w.held("small"); held > smallLimit {
		w.fail("%d units of a pool of %d are held", held, smallLimit)
	}
}

// held counts the units of a pool that executions under way hold.
func (w *world) held(pool string) (n int) {
	for key, running := range w.running {
		if running > 0 {
			n += w.holds[key][pool]
		}
	}
	return n
}

// checkLeaks holds in the end: what runs comes to its end, and then nothing of
// any pool is held.
func (w *world) checkLeaks() {
	used := func() (n int) {
		for _, p := range w.daemon.state.Pools() {
			n += p.Used
		}
		return n
	}
	for until := w.clock.Add(time.Hour); used() > 0 && w.clock.Before(until); {
		w.next()
	}
	if n := used(); n > 0 {
		w.fail("%d units of pools are held by nobody", n)
	}
}
