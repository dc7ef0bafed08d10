package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// Step is the engine: it takes an event into account and returns what is to be
// done next. It does no I/O, reads no clock, and gives the same effects for the
// same events. The returned slice is the caller's.
func Step(s *State, e Event) []Effect {
	s.effects = nil
	s.pass(e.At)
	switch of := e.Of.(type) {
	case Observed:
		s.onObserved(of)
	case Enumerated:
		s.onEnumerated(of)
	case Finished:
		s.onFinished(of)
	case Persisted:
		s.onPersisted(of)
	case Merged:
		s.onMerged(of)
	case Swapped:
		s.onSwapped(of)
	case Cancel:
		s.onCancel(of)
	case Rerun:
		s.onRerun(of)
	case Foreseen:
		s.onForeseen(of)
	case Grown:
		s.onGrown(of)
	case Shown:
		s.onShown(of)
	case Owed:
		s.onOwed(of)
	case Tick: // time has passed, which is looked at below
		s.woken = time.Time{} // this may have been too early
	}
	s.timeOut()
	s.retry()
	s.schedule()
	s.lookAhead()
	s.show()
	s.nextSwap()
	s.wake()
	s.forget()
	return s.effects
}

// forget says which datums were dropped and are not wanted again by now.
func (s *State) forget() {
	gone := slices.DeleteFunc(s.gone, func(k memo.Key) bool { return s.work[k] != nil })
	if len(gone) > 0 {
		s.emit(Forget{Keys: gone})
	}
	s.gone = nil
}

// onObserved takes in a newer look at the store.
func (s *State) onObserved(of Observed) {
	if gen := of.Snapshot.Gen; gen < s.minGen || s.seen && gen < s.snap.Gen {
		return
	}
	s.snap, s.seen = of.Snapshot, true
	s.replan()
}

// replan compares the jobs under way with those that are wanted.
func (s *State) replan() {
	plan := Plan(s.snap, s.ledger)
	wanted := map[JobID]JobSpec{}
	for _, j := range plan {
		wanted[j.ID] = j
	}
	outputs := map[JobID]commit.ID{}
	for _, p := range s.snap.Pipelines {
		outputs[p.Output.Job()] = p.Output.ID
	}
	for _, id := range slices.Clone(s.order) {
		j := s.jobs[id]
		w, isWanted := wanted[id]
		output, isDone := outputs[id]
		switch {
		case s.swap.busy && s.swap.job == id: // its answer decides
		case isDone:
			j.record.Output = output
			s.end(j, history.Done, "")
		case j.record.State == history.Publishing: // it is complete: its answer decides
		case !isWanted:
			s.end(j, history.Killed, "overtaken by newer inputs")
		case w.Head.Output.ID != j.spec.Head.Output.ID:
			s.restart(j, w)
		}
	}
	for _, w := range plan {
		if s.jobs[w.ID] == nil {
			s.begin(w)
		}
	}
	s.closeOpen(wanted, outputs)
	served := map[ref]bool{}
	for _, j := range s.jobs {
		served[j.output()] = true
	}
	s.killStrays("", func(w *work) bool { return !served[w.pipeline] })
}

// closeOpen ends the jobs that were under way when the last engine stopped and
// that nobody wants any more.
func (s *State) closeOpen(wanted map[JobID]JobSpec, outputs map[JobID]commit.ID) {
	ids := make([]JobID, 0, len(s.open))
	for id := range s.open {
		if _, ok := wanted[id]; !ok {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(a, b JobID) int { return slices.Compare(a[:], b[:]) })
	for _, id := range ids {
		r := s.open[id]
		r.State, r.Reason, r.Ended = history.Killed, "overtaken by newer inputs", commit.Stamp(s.now)
		if output, ok := outputs[id]; ok {
			r.State, r.Reason, r.Output = history.Done, "", output
		}
		s.note(history.Record{Job: &r})
		s.swap.force = true
		s.hook(r)
	}
	clear(s.open)
}

// begin takes on a job.
func (s *State) begin(spec JobSpec) {
	j := &job{spec: spec, record: spec.record(s.now), epoch: s.nextEpoch(), policy: policyOf(&spec.Head.Version.Spec)}
	if r, ok := s.open[spec.ID]; ok {
		j.record.Created, j.noted = r.Created, true
	}
	s.jobs[spec.ID] = j
	s.order = append(s.order, spec.ID)
	s.emit(Enumerate{Job: spec, Epoch: j.epoch})
}

// nextEpoch returns a number that no enumeration had: a job that ends and is
// wanted again has the same ID.
func (s *State) nextEpoch() int {
	s.epochs++
	return s.epochs
}

// restart lists the datums of a job again, because its output branch moved.
func (s *State) restart(j *job, spec JobSpec) {
	if j.record.State != history.Pending && !s.moveJob(j, history.Pending) {
		return
	}
	s.conceal(j)
	s.release(j)
	j.spec, j.fails, j.retryAt = spec, 0, time.Time{}
	j.epoch = s.nextEpoch()
	s.emit(Enumerate{Job: spec, Epoch: j.epoch})
}

// end takes a job to a final state and forgets it.
func (s *State) end(j *job, to history.State, reason string) {
	if !s.moveJob(j, to) {
		return
	}
	j.record.Reason, j.record.Ended = reason, commit.Stamp(s.now)
	if j.noted || j.record.By != "" || to != history.Killed {
		s.noteJob(j)
		s.swap.force = true
		s.hook(j.record)
	}
	s.remove(j)
}

// remove forgets a job that ended, and what only it wanted.
func (s *State) remove(j *job) {
	r := j.record
	s.ledger.Note(r)
	s.forgetAhead(j.output())
	s.conceal(j)
	s.release(j)
	delete(s.jobs, j.spec.ID)
	s.order = slices.DeleteFunc(s.order, func(id JobID) bool { return id == j.spec.ID })
}

// noteJob keeps the job's record as it is now.
func (s *State) noteJob(j *job) {
	r := j.record
	j.noted = true
	s.note(history.Record{Job: &r})
}

// lost decides what follows when an effect of a job failed: another try, or
// the end of the job.
func (s *State) lost(j *job, err error, final bool) {
	if j.fails++; final || j.fails > s.opts.CrashesMax {
		s.end(j, history.Failed, firstLine(err.Error()))
		return
	}
	j.record.Reason = firstLine(err.Error())
	j.retryAt = s.now.Add(s.opts.Backoff(j.fails))
}

// onMerged takes a job to its publication.
func (s *State) onMerged(of Merged) {
	j := s.jobs[of.Job]
	switch {
	case j == nil || j.epoch != of.Epoch || j.record.State != history.Merging || !j.retryAt.IsZero():
	case of.Err != nil:
		s.lost(j, of.Err, of.Final)
	case s.moveJob(j, history.Publishing):
		j.record.Output, j.record.Reason = of.Commit, ""
	}
}

// onCancel ends a job at somebody's wish. A job that is being published is
// complete: it is too late.
func (s *State) onCancel(of Cancel) {
	j := s.jobs[of.Job]
	if j == nil || j.record.State == history.Publishing {
		return
	}
	if len(of.Datums) > 0 {
		s.cancelDatums(j, of)
		return
	}
	s.cancel(j, of)
	if of.Cascade {
		for _, id := range slices.Clone(s.order) {
			if next := s.jobs[id]; next.record.State != history.Publishing && s.reads(next.output(), j.output()) {
				s.cancel(next, of)
			}
		}
	}
	s.replan()
}

func (s *State) cancel(j *job, of Cancel) {
	j.record.By = of.By
	s.end(j, history.Killed, of.why())
	s.killStrays(of.By, func(w *work) bool { return w.job == j.spec.ID })
}

// reads reports whether a pipeline reads the output of another, directly or
// through others.
func (s *State) reads(pipeline, other ref) bool {
	at := indexOf(s.snap.Pipelines)
	from, ok := at[pipeline]
	to, known := at[other]
	return ok && known && from != to && reaches(s.snap.Pipelines, at, from, to)
}

// onRerun wants the evaluation of a job's heads again, if they are still the
// newest and it is over.
func (s *State) onRerun(of Rerun) {
	if s.jobs[of.Job] != nil {
		return
	}
	for _, p := range s.snap.Pipelines {
		if now := s.ledger.Current(p); p.Ready() && now.ID == of.Job {
			first := NewJobID(p, 0)
			s.ledger.Reruns[first] = now.Rerun + 1
			if len(of.Only) > 0 {
				s.ledger.Only[NewJobID(p, now.Rerun+1)] = slices.Compact(slices.Sorted(slices.Values(of.Only)))
			}
		}
	}
	s.replan()
}

// timeOut fails the jobs whose time limit has passed.
func (s *State) timeOut() {
	for _, id := range slices.Clone(s.order) {
		j := s.jobs[id]
		if j.limit.IsZero() || j.limit.After(s.now) || j.record.State != history.Running {
			continue
		}
		s.end(j, history.Failed, fmt.Sprintf("not done within its time limit of %s", j.spec.Head.Version.Spec.JobTimeout))
		s.killStrays("", func(w *work) bool { return w.job == id })
	}
}

// retry asks again for what failed and whose time has come.
func (s *State) retry() {
	s.retryWork()
	for _, id := range s.order {
		j := s.jobs[id]
		if j.retryAt.IsZero() || j.retryAt.After(s.now) {
			continue
		}
		j.retryAt = time.Time{}
		switch j.record.State {
		case history.Pending:
			s.emit(Enumerate{Job: j.spec, Epoch: j.epoch})
		case history.Running:
			s.grow(j)
		case history.Merging:
			s.emit(Merge{Job: j.spec, Epoch: j.epoch, Delta: j.changes()})
		default: // nextSwap publishes
		}
	}
}

// wake asks for a tick when the next thing is due.
func (s *State) wake() {
	var at time.Time
	sooner := func(t time.Time) {
		if !t.IsZero() && (at.IsZero() || t.Before(at)) {
			at = t
		}
	}
	for _, id := range s.order {
		j := s.jobs[id]
		sooner(j.retryAt)
		if j.record.State == history.Running {
			sooner(j.limit)
			if len(j.partial.fresh) > 0 && !j.partial.asked {
				sooner(j.partial.next)
			}
		}
	}
	if len(s.waits) > 0 {
		sooner(s.first)
	}
	sooner(s.pooled)
	if s.swap.pending > 0 && !s.swap.busy {
		sooner(s.swapDue())
	}
	if !at.IsZero() && !at.Equal(s.woken) {
		s.woken = at
		s.emit(WakeAt{Time: at})
	}
}

// swapDue returns when the next swap is due, given that something waits for it.
func (s *State) swapDue() time.Time {
	w := &s.swap
	at := w.last.Add(s.opts.CheckpointEvery)
	switch {
	case w.force || w.pending >= s.opts.CheckpointRecords:
		at = w.last
	case !w.due.IsZero() && w.due.Before(at):
		at = w.due
	}
	return later(at, w.retryAt)
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// firstLine returns at most 500 bytes of what is before the first line break.
func firstLine(s string) string {
	for i, c := range s {
		if c == '\n' || i >= 500 {
			return s[:i]
		}
	}
	return s
}
