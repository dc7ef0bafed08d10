package engine

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// onFinished takes in how an attempt ended.
func (s *State) onFinished(of Finished) {
	s.free(of.Serial)
	w := s.work[of.Key]
	if w == nil {
		return
	}
	newest := of.Serial == w.serial && w.live
	if newest {
		w.live = false
		s.stray = slices.DeleteFunc(s.stray, func(k memo.Key) bool { return k == w.key })
	}
	running, waited := newest && w.state == DatumRunning, newest && w.state == DatumPlanned
	switch {
	case of.Known:
		if running {
			s.accept(w, of.Result.Output)
		}
	case of.Result.Outcome == task.Succeeded:
		s.succeeded(w, of)
	case !running: // a late failure changes nothing
	case of.Result.Outcome == task.Failed || of.Result.Outcome == task.TimedOut || of.Result.Outcome == task.Recovered:
		s.report(w, of)
	case of.Result.Outcome == task.Cancelled || w.killed:
		of.Result.Outcome = task.Cancelled
		s.noteAttempt(w, of)
		s.again(w)
	default:
		s.noteAttempt(w, of)
		s.crashed(w, of.Result.Reason)
	}
	if waited && w.state == DatumPlanned { // the next attempt waited for this one to be gone
		if len(w.owners) == 0 {
			s.dropWork(w)
			return
		}
		s.requeue(w)
	}
}

// again plans a datum whose attempt came to nothing through nobody's fault.
func (s *State) again(w *work) {
	if len(w.owners) == 0 {
		s.dropWork(w)
		return
	}
	s.queue(w)
}

// succeeded takes the first success of a datum, whichever attempt it comes
// from, and compares any other with it.
func (s *State) succeeded(w *work, of Finished) {
	switch w.state {
	case DatumPlanned, DatumRunning, DatumRetryWait:
		if w.live {
			s.kill(w, "")
		}
		s.report(w, of)
	case DatumReported, DatumAccepted:
		if !w.success || of.Serial == w.reported || of.Result.Output.Content == w.output.Content {
			return
		}
		s.note(history.Record{Event: &history.Event{
			Time: commit.Stamp(s.now), Kind: history.NotReproducible, Job: w.job, Key: w.key,
			Text: fmt.Sprintf("datum %s: attempt %d gave another output than the one that counts", w.identity, of.Attempt),
		}})
	default: // it has failed before: its owners were told
	}
}

// report has a result made durable.
func (s *State) report(w *work, of Finished) {
	wasWaiting := w.state == DatumRetryWait
	if !s.moveWork(w, DatumReported) {
		return
	}
	if wasWaiting {
		s.unwait(w)
	}
	w.reported, w.success = of.Serial, of.Result.Outcome == task.Succeeded
	w.output, w.reason = of.Result.Output, of.Result.Reason
	w.failure = of.Result.Failure
	w.recovers = of.Result.Outcome == task.Recovered
	s.persists++
	w.persist = s.persists
	record := s.attemptRecord(w, of)
	if len(w.owners) == 0 {
		w.record = &record
	}
	if w.success {
		s.foresees(w)
	}
	s.emit(Persist{Seq: w.persist, Attempt: record, Output: w.output})
}

// onPersisted lets a durable result count.
func (s *State) onPersisted(of Persisted) {
	w := s.work[of.Key]
	if w == nil || w.state != DatumReported || w.persist != of.Seq {
		return
	}
	switch {
	case of.Err != nil:
		s.crashed(w, firstLine(of.Err.Error()))
	case w.success:
		s.swap.pending++
		s.accept(w, of.Output)
	default:
		s.swap.pending++
		if w.fails++; w.fails < w.policy.tries && w.policy.retries(w.failure) && !w.recovers && len(w.owners) > 0 {
			s.tryAgain(w)
			return
		}
		s.failed(w)
	}
}

// accept gives a datum's output to everybody who waits for it.
func (s *State) accept(w *work, output tree.Root) {
	known := w.state == DatumRunning
	if !s.moveWork(w, DatumAccepted) {
		return
	}
	w.output, w.success, w.reason = output, true, ""
	if !known {
		s.claimRunning(w)
	}
	for _, o := range slices.Clone(w.owners) {
		j := s.jobs[o.job]
		it := &j.items[o.item]
		it.output, it.done = output, true
		j.freshly(o.item)
		if known {
			j.record.Counts.Hit++
		} else {
			j.record.Counts.Ran++
		}
		s.countDown(j)
	}
	if len(w.owners) == 0 && s.work[w.key] == w {
		if !known {
			s.keepAhead(w)
		}
		s.dropWork(w)
	}
}

func (s *State) noteAttempt(w *work, of Finished) {
	a := s.attemptRecord(w, of)
	s.note(history.Record{Attempt: &a})
}

// attemptRecord returns what history keeps of an attempt.
func (s *State) attemptRecord(w *work, of Finished) history.Attempt {
	r := of.Result
	if len(w.owners) > 0 && w.job.IsZero() { // it was started ahead
		o := w.owners[0]
		w.job, w.identity = o.job, s.jobs[o.job].items[o.item].identity
	}
	a := history.Attempt{
		Job: w.job, Identity: w.identity, Key: w.key, Attempt: of.Attempt, Outcome: string(r.Outcome), Exit: r.Exit, Failure: string(r.Failure),
		Reason: firstLine(r.Reason), Log: r.Log, Started: commit.Stamp(r.Started), Ended: commit.Stamp(r.Ended), Stats: history.Stats(r.Stats),
	}
	if r.Outcome == task.Cancelled {
		a.By, a.Reason = w.by, cmp.Or(w.why, a.Reason)
	}
	return a
}
