package engine

import (
	"fmt"
	"slices"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// onEnumerated freezes the set of a job's datums and starts with them.
func (s *State) onEnumerated(of Enumerated) {
	j := s.jobs[of.Job]
	if j == nil || j.epoch != of.Epoch || j.record.State != history.Pending || !j.retryAt.IsZero() {
		return
	}
	if of.Err != nil {
		s.lost(j, of.Err, of.Final)
		return
	}
	if !s.moveJob(j, history.Frozen) {
		return
	}
	if j.record.Started.IsZero() {
		j.record.Started = commit.Stamp(s.now)
	}
	j.delta, j.removed, j.record.Reason = of.Delta, of.Removed, ""
	j.items = make([]item, len(of.Items))
	own := int64(0)
	for i, it := range of.Items {
		s.want(j, i, it)
		if it.Hit && (it.Own || s.claim(j, it)) {
			own++
		}
	}
	j.ran = max(j.ran, own)
	s.killStrays("", func(w *work) bool { return w.pipeline == j.output() })
	done := of.Total - int64(j.left) - j.lacks
	ran := min(j.ran, done)
	j.owed = j.ran - ran
	j.record.Counts = history.Counts{Total: of.Total, Ran: ran, Failed: j.lacks, Hit: done - ran}
	if j.left == 0 && !j.grows() && j.record.Counts.Failed <= j.mayLack() {
		s.merge(j)
	} else if s.moveJob(j, history.Running) {
		if why := s.poolProblem(j.spec.Head.Version.Spec.Concurrency); why != "" {
			s.end(j, history.Failed, why)
			return
		}
		if limit := j.spec.Head.Version.Spec.JobLimit(); limit > 0 && j.limit.IsZero() {
			j.limit = s.now.Add(limit)
		}
		s.noteJob(j)
		s.noteSoon(own > 0)
		if j.left == 0 {
			s.complete(j)
		}
	}
}

func (j *job) output() ref { return ref{j.spec.Head.Name, j.spec.Head.Branch} }

// want takes on one datum of a job: a hit, one that runs already, or a new one.
// What others emitted is always tried: who asked for some datums only could not
// know of it.
func (s *State) want(j *job, i int, it Item) {
	j.items[i] = item{identity: it.Identity, key: it.Key, output: it.Output, done: it.Hit}
	if it.Hit {
		s.moveWork(&work{key: it.Key, state: DatumNew}, DatumHit)
		return
	}
	if only := j.spec.Only; len(only) > 0 && j.growth.level == 0 && !listed(only, it.Identity) {
		s.leave(j, i)
		return
	}
	w := s.work[it.Key]
	if w != nil && w.state == DatumFailed {
		s.dropWork(w)
		w = nil
	}
	if w == nil {
		w = &work{key: it.Key, state: DatumNew, policy: j.policy, pipeline: j.output(), identity: it.Identity}
		s.work[it.Key] = w
		s.moveWork(w, DatumPlanned)
		j.ready = append(j.ready, it.Key)
	} else if w.state == DatumPlanned && !w.live && len(w.owners) == 0 { // planned ahead
		j.ready = append(j.ready, it.Key)
	}
	w.owners = append(w.owners, owner{job: j.spec.ID, item: i})
	if w.state == DatumAccepted {
		j.items[i].output, j.items[i].done = w.output, true
		return
	}
	j.left++
}

func listed(sorted []string, identity string) bool {
	_, ok := slices.BinarySearch(sorted, identity)
	return ok
}

// leave does without a datum that has no result and is not to be tried again.
func (s *State) leave(j *job, i int) {
	j.items[i].lacking = true
	j.lacks++
	if j.lacks == 1 {
		j.record.Reason = fmt.Sprintf("datum %s: it has no result, and was not to be tried again", j.items[i].identity)
	}
}

// killStrays stops the attempts that nobody waits for and that match.
func (s *State) killStrays(by string, match func(*work) bool) {
	s.stray = slices.DeleteFunc(s.stray, func(k memo.Key) bool {
		w := s.work[k]
		if w == nil || !w.live || len(w.owners) > 0 {
			return true
		}
		if !match(w) {
			return false
		}
		s.kill(w, by)
		return true
	})
}

func (s *State) kill(w *work, by string) {
	if !w.killed {
		w.killed, w.by = true, by
		s.emit(Kill{Key: w.key, Serial: w.serial})
	}
}
