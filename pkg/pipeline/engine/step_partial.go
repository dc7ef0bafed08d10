package engine

import (
	"time"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
)

// PartialBranch returns the provisional branch of a job: while the job runs, it
// holds what the job has so far.
func PartialBranch(id JobID) string { return "run/" + id.Short() + "/partial" }

// Partial asks to show what a job has so far at its provisional branch: if First,
// the job's previous output changed by Delta, else what was shown last changed by
// it. Answer: [Shown].
type Partial struct {
	Job   JobSpec
	Epoch int
	Seq   int // of the job's, from 1
	First bool
	Delta output.Delta
}

// Shown answers [Partial].
type Shown struct {
	Job   JobID
	Epoch int
	Seq   int
	Err   error // it is not shown: all of it is to be shown again
}

// Conceal asks to remove the provisional branch of a job that is over or listed
// again.
type Conceal struct{ Job JobSpec }

func (Partial) effect()  {}
func (Conceal) effect()  {}
func (Shown) happening() {}

// partial is what is shown of a job that is not complete.
type partial struct {
	seq   int
	asked bool      // a Partial is under way
	whole bool      // something was shown: the next one adds to it
	next  time.Time // when there may be another
	fresh []int     // items that were done since
}

// show has the results shown that jobs have by now, as often as their specs want.
func (s *State) show() {
	for _, id := range s.order {
		j := s.jobs[id]
		p := &j.partial
		if len(p.fresh) == 0 || p.asked || p.next.After(s.now) || j.record.State != history.Running {
			continue
		}
		e := Partial{Job: j.spec, Epoch: j.epoch, First: !p.whole}
		if e.First {
			e.Delta = output.Delta{Full: !j.delta, Removed: j.removed}
			for i, it := range j.items {
				if it.done {
					e.Delta.Changed = append(e.Delta.Changed, j.result(i))
				}
			}
		} else {
			for _, i := range p.fresh {
				e.Delta.Changed = append(e.Delta.Changed, j.result(i))
			}
		}
		e.Delta.Total = j.record.Counts.Hit + j.record.Counts.Ran
		p.seq++
		p.asked, p.whole, p.fresh, e.Seq = true, true, nil, p.seq
		s.emit(e)
	}
}

func (j *job) result(i int) output.Datum {
	it := j.items[i]
	return output.Datum{Identity: it.identity, Key: it.key, Tree: it.output}
}

// freshly notes that an item of a job is done, if such are shown.
func (j *job) freshly(i int) {
	if j.spec.Head.Version.Spec.PartialResults != "" {
		j.partial.fresh = append(j.partial.fresh, i)
	}
}

// onShown lets the next results be shown after a while.
func (s *State) onShown(of Shown) {
	j := s.jobs[of.Job]
	if j == nil || j.epoch != of.Epoch || !j.partial.asked || j.partial.seq != of.Seq {
		return
	}
	j.partial.asked = false
	j.partial.next = s.now.Add(j.spec.Head.Version.Spec.PartialEvery())
	if of.Err != nil {
		j.partial.whole = false
		j.partial.fresh = append(j.partial.fresh, 0) // all of it
	}
}

// conceal removes what is shown of a job.
func (s *State) conceal(j *job) {
	if j.partial.seq > 0 {
		s.emit(Conceal{Job: j.spec})
	}
	j.partial = partial{}
}
