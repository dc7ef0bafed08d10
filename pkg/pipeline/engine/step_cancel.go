package engine

import (
	"slices"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// cancelDatums ends datums of a job at somebody's wish. For the job they are
// datums that failed; whoever else wants one has it run on.
func (s *State) cancelDatums(j *job, of Cancel) {
	wanted := map[string]bool{}
	for _, identity := range of.Datums {
		wanted[identity] = true
	}
	for i := range j.items {
		if j.record.State != history.Running {
			return // one was too many
		}
		if it := j.items[i]; wanted[it.identity] && !it.done && !it.lacking {
			s.cancelDatum(j, i, of)
		}
	}
}

// cancelDatum ends a datum that waits or runs. One whose result is being made
// durable is complete: it is too late.
func (s *State) cancelDatum(j *job, i int, of Cancel) {
	w := s.work[j.items[i].key]
	if w == nil || !w.state.cancels() {
		return
	}
	w.owners = slices.DeleteFunc(w.owners, func(o owner) bool { return o.job == j.spec.ID && o.item == i })
	j.ready = slices.DeleteFunc(j.ready, func(k memo.Key) bool { return k == w.key })
	if ends := w.live && len(w.owners) == 0; ends { // its end is what is recorded
		w.job, w.identity = j.spec.ID, j.items[i].identity
		s.kill(w, of.By)
		w.why = of.why()
	} else {
		s.noteCancelled(j, i, w, of)
	}
	s.disown(w)
	s.lack(j, i, false, of.why())
}

// cancels reports whether a datum in that state can be cancelled.
func (d DatumState) cancels() bool {
	return d == DatumPlanned || d == DatumRunning || d == DatumRetryWait
}

// noteCancelled records the end of a datum of which no attempt runs for the job
// alone: as an attempt that did not begin.
func (s *State) noteCancelled(j *job, i int, w *work, of Cancel) {
	now, number := commit.Stamp(s.now), w.attempt
	if !w.live {
		number++
	}
	s.note(history.Record{Attempt: &history.Attempt{
		Job: j.spec.ID, Identity: j.items[i].identity, Key: w.key, Attempt: number, Outcome: string(task.Cancelled),
		By: of.By, Reason: of.why(), Started: now, Ended: now,
	}})
}

// Cancels reports whether a job under way has a datum, and whether that can
// still be cancelled.
func (s *State) Cancels(id JobID, identity string) (known, can bool) {
	j := s.jobs[id]
	if j == nil {
		return false, false
	}
	for _, it := range j.items {
		if it.identity == identity {
			w := s.work[it.key]
			return true, !it.done && !it.lacking && w != nil && w.state.cancels() && j.record.State == history.Running
		}
	}
	return false, false
}
