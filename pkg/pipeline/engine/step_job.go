package engine

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
)

// failed tells everybody who waits for a datum that there is no result.
func (s *State) failed(w *work) {
	if !s.moveWork(w, DatumFailed) {
		return
	}
	for _, o := range slices.Clone(w.owners) {
		j := s.jobs[o.job]
		if j == nil || j.items == nil {
			continue // its end made it give up the others
		}
		s.lack(j, o.item, w.recovers, cmp.Or(w.reason, "failed"))
	}
	if len(w.owners) == 0 && s.work[w.key] == w {
		s.dropWork(w)
	}
}

// lack notes that a datum of a job has no result. The job goes on without it if
// its error command succeeded, or max_failed allows it; one too many ends the
// job if the spec set a limit, and else when all datums are over.
func (s *State) lack(j *job, i int, recovered bool, why string) {
	j.items[i].lacking = true
	j.lacks++
	if recovered {
		j.record.Counts.Recovered++
		s.countDown(j)
		return
	}
	if j.record.Counts.Failed++; j.record.Counts.Failed == 1 {
		j.record.Reason = fmt.Sprintf("datum %s: %s", j.items[i].identity, why)
	}
	limit := j.spec.Head.Version.Spec.MaxFailed
	final := limit.Hundreds == 0 || j.spec.Head.Version.Spec.Growth == nil // of datums that are still to come it is a part too
	if !limit.IsZero() && final && j.record.Counts.Failed > j.mayLack() && j.record.State == history.Running {
		s.failJob(j)
		return
	}
	s.countDown(j)
}

// mayLack returns how many failed datums a job can do without.
func (j *job) mayLack() int64 { return j.spec.Head.Version.Spec.MaxFailed.Of(j.record.Counts.Total) }

// failJob ends a job for its failed datums.
func (s *State) failJob(j *job) {
	c, reason := j.record.Counts, j.record.Reason
	s.end(j, history.Failed, fmt.Sprintf("%d of %d datums failed: %s", c.Failed, c.Total, reason))
	s.killStrays("", func(w *work) bool { return w.job == j.spec.ID })
}

// countDown notes that one more datum of a job is over.
func (s *State) countDown(j *job) {
	j.left--
	if j.left > 0 || j.record.State != history.Running {
		return
	}
	s.complete(j)
}

// merge asks for the output of a job whose datums are all in.
func (s *State) merge(j *job) {
	if s.moveJob(j, history.Merging) {
		s.emit(Merge{Job: j.spec, Epoch: j.epoch, Delta: j.changes()})
	}
}

// changes returns what the datums of a job say about its output. Those without
// a result are left out; if there was an earlier one, it is withdrawn.
func (j *job) changes() output.Delta {
	d := output.Delta{Total: j.record.Counts.Total - j.lacks, Lacks: j.lacks, Full: !j.delta, Removed: j.removed}
	d.Changed = make([]output.Datum, 0, len(j.items))
	for _, it := range j.items {
		if it.lacking {
			if j.delta {
				d.Removed = append(d.Removed[:len(d.Removed):len(d.Removed)], it.identity)
			}
			continue
		}
		d.Changed = append(d.Changed, output.Datum{Identity: it.identity, Key: it.key, Tree: it.output})
	}
	return d
}

// release gives up a job's claim to its datums. Those that nobody else waits
// for are dropped, or left to end by themselves if they run.
func (s *State) release(j *job) {
	for _, it := range j.items {
		w := s.work[it.key]
		if w == nil {
			continue // a hit
		}
		w.owners = slices.DeleteFunc(w.owners, func(o owner) bool { return o.job == j.spec.ID })
		s.disown(w)
	}
	j.ran = j.record.Counts.Ran + j.owed
	j.items, j.ready, j.removed, j.left, j.lacks, j.growth = nil, nil, nil, 0, 0, growth{}
}

// disown does what follows when somebody has given up a datum. An attempt that
// runs on is from now on that of somebody who still waits for it.
func (s *State) disown(w *work) {
	if len(w.owners) > 0 && !slices.ContainsFunc(w.owners, func(o owner) bool { return o.job == w.job }) {
		o := w.owners[0]
		w.job, w.identity = o.job, s.jobs[o.job].items[o.item].identity
	}
	switch {
	case w.state == DatumPlanned && len(w.owners) > 0:
		s.requeue(w)
	case len(w.owners) > 0 || w.state == DatumReported:
	case w.live: // it is dropped when the attempt is over
		if w.state == DatumRetryWait {
			s.unwait(w)
			s.moveWork(w, DatumPlanned)
		}
		if !slices.Contains(s.stray, w.key) {
			s.stray = append(s.stray, w.key)
		}
	default:
		s.dropWork(w)
	}
}
