package engine

import (
	"maps"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// Ledger is what is known of jobs beyond what the store's refs say: which
// ended without an output, and which evaluations were asked for again. It is
// read from history and never needed for correctness: without it, failed jobs
// are tried once more.
type Ledger struct {
	Ended  map[JobID]bool     // failed or cancelled: not started again by themselves
	Reruns map[JobID]int      // by the ID of rerun 0: the number of the newest rerun
	Only   map[JobID][]string // of reruns of single datums: which
}

// NewLedger reads job records, oldest first.
func NewLedger(jobs []history.Job) Ledger {
	l := Ledger{Ended: map[JobID]bool{}, Reruns: map[JobID]int{}, Only: map[JobID][]string{}}
	for _, j := range jobs {
		l.Note(j)
	}
	return l
}

// Note takes one more job record into account.
func (l *Ledger) Note(j history.Job) {
	if l.Ended == nil {
		l.Ended, l.Reruns, l.Only = map[JobID]bool{}, map[JobID]int{}, map[JobID][]string{}
	}
	switch {
	case j.State == history.Failed, j.State == history.Killed && j.By != "":
		l.Ended[j.ID] = true
	default:
		delete(l.Ended, j.ID)
	}
	if j.Rerun > 0 {
		first := firstRun(j)
		l.Reruns[first] = max(l.Reruns[first], j.Rerun)
		if len(j.Only) > 0 {
			l.Only[j.ID] = j.Only
		}
	}
}

// Again asks once more for those of some evaluations, oldest first, that failed
// and that nobody has asked for again since.
func (l *Ledger) Again(jobs []history.Job) {
	for _, j := range jobs {
		if j.State != history.Failed || !l.Ended[j.ID] {
			continue
		}
		if first := firstRun(j); l.Reruns[first] == j.Rerun {
			l.Reruns[first]++
		}
	}
}

// Clone returns a copy that shares nothing.
func (l Ledger) Clone() Ledger {
	return Ledger{Ended: maps.Clone(l.Ended), Reruns: maps.Clone(l.Reruns), Only: maps.Clone(l.Only)}
}

// firstRun returns the ID that the job of a record has as rerun 0.
func firstRun(j history.Job) JobID {
	p := PipelineHead{Name: j.Pipeline, Branch: j.Branch, Spec: j.Spec}
	p.Version.Spec.Parameters = j.Parameters
	for _, in := range j.Inputs {
		p.Inputs = append(p.Inputs, InputHead{Name: in.Name, Head: Head{ID: in.Commit}})
	}
	return NewJobID(p, 0)
}

// Current returns the one job that the pipeline's heads call for.
func (l Ledger) Current(p PipelineHead) JobSpec {
	first := NewJobID(p, 0)
	n := l.Reruns[first]
	if n == 0 {
		return JobSpec{ID: first, Head: p}
	}
	id := NewJobID(p, n)
	return JobSpec{ID: id, Rerun: n, Only: l.Only[id], Head: p}
}

// Plan returns the jobs that are missing: for each pipeline that can run, the
// evaluation of its newest heads, unless its output is of that evaluation or
// the evaluation has ended without one. It is pure, and its order is that of
// the snapshot.
func Plan(s Snapshot, l Ledger) []JobSpec {
	var wanted []JobSpec
	for _, p := range s.Pipelines {
		if !p.Ready() {
			continue
		}
		if j := l.Current(p); p.Output.Job() != j.ID && !l.Ended[j.ID] {
			wanted = append(wanted, j)
		}
	}
	return wanted
}
