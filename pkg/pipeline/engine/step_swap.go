package engine

import (
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// nextSwap starts the swap of the root that is due, if none is under way: the
// publication of the oldest complete job, else a checkpoint.
func (s *State) nextSwap() {
	w := &s.swap
	if w.busy || w.retryAt.After(s.now) {
		return
	}
	for _, id := range s.order {
		if j := s.jobs[id]; j.record.State == history.Publishing && j.retryAt.IsZero() {
			s.publish(j)
			return
		}
	}
	if w.pending == 0 || s.swapDue().After(s.now) {
		return
	}
	s.startSwap(JobID{})
	s.emit(Checkpoint{Seq: w.seq})
}

// noteSoon has the record that a job has begun published before long. At the
// beginning the disk has better things to do, and the output of a short job
// takes the record along. Until then a crash leaves a job that never was, but
// for its results; so one that has results of an earlier life is recorded at
// once, or they would not be known for its own after another crash.
func (s *State) noteSoon(atOnce bool) {
	w := &s.swap
	if atOnce {
		w.force = true
	} else if w.due.IsZero() {
		w.due = s.now.Add(s.opts.NoteAfter)
	}
}

func (s *State) publish(j *job) {
	s.startSwap(j.spec.ID)
	r := j.record
	r.State, r.Ended = history.Done, commit.Stamp(s.now)
	s.emit(Publish{Seq: s.swap.seq, Job: j.spec, Commit: r.Output, Record: r})
}

func (s *State) startSwap(id JobID) {
	w := &s.swap
	w.seq++
	w.busy, w.job, w.carries, w.pending, w.force, w.due = true, id, w.pending, 0, false, time.Time{}
}

// onSwapped takes in how a swap of the root ended.
func (s *State) onSwapped(of Swapped) {
	w := &s.swap
	if !w.busy || of.Seq != w.seq {
		return
	}
	j := s.jobs[w.job]
	w.busy, w.job = false, JobID{}
	if of.Verdict != Committed {
		w.pending += w.carries
		s.noteSoon(false)
	}
	switch of.Verdict {
	case Committed:
		s.committed(j, of)
	case Conflicted:
		s.emit(Look{})
		if j != nil && s.moveJob(j, history.Pending) {
			s.conceal(j)
			s.release(j)
			j.epoch = s.nextEpoch()
			j.retryAt = s.now.Add(s.opts.BackoffMin)
			return
		}
		s.postpone()
	case Rejected:
		if j != nil {
			s.end(j, history.Failed, reasonOf(of.Err, "the store refused the output"))
			return
		}
		s.postpone()
	case Unsure:
		s.postpone()
		if j != nil {
			j.retryAt = w.retryAt
			j.record.Reason = reasonOf(of.Err, "")
		}
		s.emit(Look{})
	}
}

// committed ends the job that was published, if the swap was for one.
func (s *State) committed(j *job, of Swapped) {
	w := &s.swap
	w.last, w.fails, w.retryAt = s.now, 0, time.Time{}
	s.minGen = max(s.minGen, of.Gen)
	if j == nil || !s.moveJob(j, history.Done) {
		return
	}
	j.record.Ended = commit.Stamp(s.now)
	s.hook(j.record)
	s.remove(j)
	s.emit(Look{})
}

// postpone makes the next swap wait.
func (s *State) postpone() {
	w := &s.swap
	w.fails++
	w.retryAt = s.now.Add(s.opts.Backoff(w.fails))
	w.force = true
}

func reasonOf(err error, otherwise string) string {
	if err == nil {
		return otherwise
	}
	return firstLine(err.Error())
}
