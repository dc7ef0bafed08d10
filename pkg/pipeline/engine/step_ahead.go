package engine

import (
	"slices"

	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
)

// While a job is not complete, what follows from the outputs that it has may
// run already: a slow datum does not hold up the stages after it. Such a run
// needs nobody that waits for it: its result is a memo record like any other,
// and the job that is planned in the end finds it.

const (
	freshMax    = 100_000 // outputs that are remembered; what is beyond is not looked at ahead
	foreseeMax  = 64      // outputs in one Foresee
	foreseesMax = 2       // under way at a time
)

// ahead is what is known of work that nobody waits for yet.
type ahead struct {
	fresh  []fresh    // outputs that were not looked at
	ready  []memo.Key // planned datums
	asked  int        // Foresees under way
	limits map[ref]int
	ran    map[memo.Key]ranAhead // results that no job has claimed yet
	kept   []memo.Key            // their keys in order, with those that were claimed
}

// ranAhead is an attempt that nobody waited for.
type ranAhead struct {
	pipeline ref
	attempt  history.Attempt
}

// claimMax bounds the results that wait for their job: the oldest are forgotten
// first, and count as hits there.
const claimMax = 10_000

// keepAhead remembers an attempt that nobody waited for.
func (s *State) keepAhead(w *work) {
	a := &s.ahead
	if w.record == nil {
		return
	}
	a.ran[w.key] = ranAhead{w.pipeline, *w.record}
	if a.kept = append(a.kept, w.key); len(a.kept) > claimMax {
		delete(a.ran, a.kept[0])
		a.kept = a.kept[1:]
	}
}

// claimRunning gives an attempt that was recorded when nobody waited for it to
// who has come to wait for it since.
func (s *State) claimRunning(w *work) {
	if w.record == nil || len(w.owners) == 0 {
		return
	}
	a, o := *w.record, w.owners[0]
	a.Job, a.Identity = o.job, s.jobs[o.job].items[o.item].identity
	s.note(history.Record{Attempt: &a})
	w.record = nil
}

// claim makes an attempt that ran ahead of a job one of the job's own, and
// reports whether there is one.
func (s *State) claim(j *job, it Item) bool {
	r, ok := s.ahead.ran[it.Key]
	if !ok || r.pipeline != j.output() {
		return false
	}
	delete(s.ahead.ran, it.Key)
	r.attempt.Job, r.attempt.Identity = j.spec.ID, it.Identity
	s.note(history.Record{Attempt: &r.attempt})
	return true
}

// fresh is the output of a datum whose job is not complete.
type fresh struct {
	pipeline ref
	datum    output.Datum
}

// foresees notes an output if another pipeline reads nothing but such outputs.
// It need not be durable yet, nor be the one that will count: what is made of
// it is a result for these very bytes, and shows nowhere else.
func (s *State) foresees(w *work) {
	if len(s.ahead.fresh) >= freshMax || s.growing(w.pipeline) || len(s.followers(w.pipeline)) == 0 {
		return
	}
	s.ahead.fresh = append(s.ahead.fresh, fresh{w.pipeline, output.Datum{Identity: w.identity, Key: w.key, Tree: w.output}})
}

// growing reports whether datums of a pipeline may emit others: their outputs
// are not all output.
func (s *State) growing(of ref) bool {
	i := slices.IndexFunc(s.snap.Pipelines, func(p PipelineHead) bool { return p.Name == of.repo && p.Branch == of.branch })
	return i >= 0 && s.snap.Pipelines[i].Version.Spec.Growth != nil
}

// followers returns the pipelines whose only input is a branch: what they make
// of a file depends on nothing else.
func (s *State) followers(of ref) []PipelineHead {
	var all []PipelineHead
	for _, p := range s.snap.Pipelines {
		if p.Follows(of.repo, of.branch) {
			all = append(all, p)
		}
	}
	return all
}

// Follows reports whether what the pipeline makes of a file on a branch depends
// on nothing else, and may be made before the branch has it: it has no other
// input, and takes nothing that others may need more.
func (p PipelineHead) Follows(repo, branch string) bool {
	s := p.Version.Spec
	return p.Problem == "" && len(p.Inputs) == 1 && s.Input.IsLeaf() && s.Cache == "" && len(s.Concurrency) == 0 &&
		p.Inputs[0].Repo == repo && p.Inputs[0].Branch == branch
}

// lookAhead uses slots that no job needs.
func (s *State) lookAhead() {
	a := &s.ahead
	for len(s.running) < s.opts.Slots && len(a.ready) > 0 {
		w := s.work[a.ready[0]]
		a.ready = a.ready[1:]
		if w == nil || w.state != DatumPlanned || w.live || len(w.owners) > 0 {
			continue
		}
		if limit := a.limits[w.pipeline]; limit > 0 && s.busy[w.pipeline] >= limit {
			s.dropWork(w)
			continue
		}
		s.launch(w, nil)
	}
	if len(s.running) >= s.opts.Slots || len(a.ready) > 0 || a.asked >= foreseesMax || len(a.fresh) == 0 {
		return
	}
	of := a.fresh[0].pipeline
	e := Foresee{Pipeline: of.repo, Branch: of.branch}
	a.fresh = slices.DeleteFunc(a.fresh, func(f fresh) bool {
		if f.pipeline != of || len(e.Outputs) >= foreseeMax {
			return false
		}
		e.Outputs = append(e.Outputs, f.datum)
		return true
	})
	a.asked++
	s.emit(e)
}

// forgetAhead drops what was not looked at of a pipeline whose job is over, for
// what follows is planned by now. What ran for the pipeline itself stays: a later
// job may claim it.
func (s *State) forgetAhead(of ref) {
	s.ahead.fresh = slices.DeleteFunc(s.ahead.fresh, func(f fresh) bool { return f.pipeline == of })
}

// onForeseen plans the datums that follow from outputs, as far as nobody wants
// them yet.
func (s *State) onForeseen(of Foreseen) {
	if s.ahead.asked > 0 {
		s.ahead.asked--
	}
	for _, x := range of.Datums {
		at := ref{x.Pipeline, x.Branch}
		i := slices.IndexFunc(s.snap.Pipelines, func(p PipelineHead) bool { return p.Name == x.Pipeline && p.Branch == x.Branch })
		if i < 0 || s.work[x.Key] != nil {
			continue
		}
		spec := s.snap.Pipelines[i].Version.Spec
		w := &work{key: x.Key, state: DatumNew, policy: policyOf(&spec), pipeline: at, identity: x.Identity}
		s.work[x.Key] = w
		s.moveWork(w, DatumPlanned)
		s.ahead.limits[at] = spec.Parallelism.Max
		s.ahead.ready = append(s.ahead.ready, x.Key)
	}
}

// launch starts an attempt that holds as much of the pools as it needs.
func (s *State) launch(w *work, needs map[string]int) {
	if !s.moveWork(w, DatumRunning) {
		return
	}
	w.attempt++
	s.starts++
	w.serial = s.starts
	w.live, w.killed, w.by, w.why = true, false, "", ""
	s.hold(w.serial, attempt{w.key, w.pipeline, needs})
	s.emit(Start{Job: w.job, Identity: w.identity, Key: w.key, Attempt: w.attempt, Serial: w.serial, Last: w.fails+1 >= w.policy.tries})
}

// Foresee asks which datums follow from outputs of a pipeline whose job is not
// complete: files that a pipeline reads which has no other input. Answer:
// [Foreseen].
type Foresee struct {
	Pipeline, Branch string
	Outputs          []output.Datum
}

func (Foresee) effect() {}

// Foreseen answers [Foresee] with datums that have no result yet.
type Foreseen struct{ Datums []Ahead }

// Ahead is a datum that a pipeline will want.
type Ahead struct {
	Pipeline, Branch string
	Identity         string
	Key              memo.Key
}

func (Foreseen) happening() {}
