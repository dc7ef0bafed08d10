package sim

import (
	"time"

	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
)

// show makes what a job has so far readable: nothing that is no result, and in
// the end all that the job had.
func (w *world) show(e engine.Partial) {
	answer := engine.Shown{Job: e.Job.ID, Epoch: e.Epoch, Seq: e.Seq}
	if w.happens(w.faults.EffectLost) {
		answer.Err = errModel
		w.deliver(w.delay(time.Second), answer)
		return
	}
	at := w.daemon.shown[e.Job.ID]
	if e.First || at == nil {
		at = map[string]memo.Key{}
	}
	for _, d := range e.Delta.Changed {
		if _, ok := w.known(d.Key); !ok {
			w.fail("job %v shows datum %s, which has no result", e.Job.ID.Short(), d.Identity)
		}
		at[d.Identity] = d.Key
	}
	if e.Delta.Full && len(at) > int(e.Delta.Total) {
		w.fail("job %v shows %d datums and has %d", e.Job.ID.Short(), len(at), e.Delta.Total)
	}
	w.daemon.shown[e.Job.ID] = at
	w.deliver(w.delay(time.Second), answer)
}
