package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// merge makes the output commit: the previous output with the delta applied.
func (w *world) merge(e engine.Merge) {
	if w.happens(w.faults.EffectLost) {
		w.deliver(w.delay(time.Second), engine.Merged{Job: e.Job.ID, Epoch: e.Epoch, Err: errModel, Final: w.happens(w.faults.Final)})
		return
	}
	p, s := e.Job.Head, w.stage(e.Job.Head)
	prev := w.versions[p.Output.ID]
	files, datums := map[string]string{}, map[string]memo.Key{}
	if !e.Delta.Full {
		files, datums = maps.Clone(prev.files), maps.Clone(prev.datums)
	}
	for _, path := range e.Delta.Removed {
		delete(files, path)
		delete(datums, path)
	}
	for _, c := range e.Delta.Changed {
		out, ok := w.known(c.Key)
		if !ok || outputRoot(out) != c.Tree {
			w.fail("job %v publishes datum %s with a result that the memo does not have", e.Job.ID.Short(), c.Identity)
			return
		}
		files[c.Identity], datums[c.Identity] = out, c.Key
	}
	id, v := w.outputCommit(e.Job, s, files, datums)
	w.daemon.commits[id] = v
	w.deliver(w.delay(20*time.Second), engine.Merged{Job: e.Job.ID, Epoch: e.Epoch, Commit: id})
}

// outputCommit is a function of the job, the previous head and the content.
func (w *world) outputCommit(j engine.JobSpec, s *stage, files map[string]string, datums map[string]memo.Key) (commit.ID, version) {
	v := version{files: files, datums: datums, code: s.code}
	v.commit.Tree = rootOf(files)
	v.commit.Prov = &commit.Provenance{Pipeline: s.name, Branch: s.branch, Job: j.ID.String(), Inputs: inputsOf(j.Head)}
	return commit.ID(digest("output ", j.ID, j.Head.Output.ID, v.commit.Tree.ID)), v
}

func inputsOf(p engine.PipelineHead) []commit.Input {
	var all []commit.Input
	for _, in := range p.Inputs {
		all = append(all, commit.Input{Name: in.Name, Ref: commit.Ref{Repo: in.Repo, Branch: in.Branch, Commit: in.Head.ID}})
	}
	return all
}

// meddle is somebody who commits to the output of a pipeline by hand.
func (w *world) meddle() {
	s := w.stages[w.rng.IntN(len(w.stages))]
	files := map[string]string{"by hand": "content"}
	w.log("  somebody commits to %s@%s", s.name, s.branch)
	w.move(s.name, s.branch, commit.ID(digest("by hand ", w.gen)), version{files: files, commit: commit.Commit{Tree: rootOf(files)}})
}

// swapped is a change of the root under way.
type swapped struct {
	op      string
	job     engine.JobSpec
	commit  commit.ID
	version version
	memo    map[memo.Key]string
	jobs    []history.Job
	events  []history.Event
	answers bool // the daemon is told that it is in the root
}

func (w *world) publish(e engine.Publish) {
	v, ok := w.daemon.commits[e.Commit]
	if !ok {
		w.fail("job %v publishes a commit that was not made", e.Job.ID.Short())
		return
	}
	x := w.records()
	x.op, x.job, x.commit, x.version = fmt.Sprint(e.Job.ID, e.Job.Head.Output.ID), e.Job, e.Commit, v
	x.jobs = append(x.jobs, e.Record)
	w.swap(e.Seq, x)
}

func (w *world) checkpoint(e engine.Checkpoint) { w.swap(e.Seq, w.records()) }

// records is what the daemon has to publish.
func (w *world) records() swapped {
	return swapped{memo: maps.Clone(w.daemon.pending), jobs: slices.Clone(w.daemon.jobs), events: slices.Clone(w.daemon.events)}
}

// rival is another daemon that publishes a job which this one has under way.
func (w *world) rival() {
	jobs := w.daemon.state.Jobs()
	if len(jobs) == 0 {
		return
	}
	j := jobs[w.rng.IntN(len(jobs))]
	for _, p := range engine.Plan(w.snapshot(), w.daemon.ledger) {
		if p.ID != j.ID {
			continue
		}
		s := w.stage(p.Head)
		files, datums := map[string]string{}, map[string]memo.Key{}
		for path, content := range s.closure(w.versions[p.Head.Inputs[0].Head.ID].files) {
			files[path], datums[path] = w.outputOf(s, content), w.keyOf(p.Head, path, content)
		}
		id, v := w.outputCommit(p, s, files, datums)
		w.log("  rival publishes %v", j.ID.Short())
		w.apply(swapped{op: fmt.Sprint("rival ", p.ID), job: p, commit: id, version: v})
	}
}

// swap tries to replace the root.
func (w *world) swap(seq int, x swapped) {
	d := w.delay(500 * time.Millisecond)
	if x.op != "" && w.happens(w.faults.Final) {
		w.deliver(d, engine.Swapped{Seq: seq, Verdict: engine.Rejected, Err: errModel})
		return
	}
	if w.happens(w.faults.SwapFails) {
		w.deliver(d, engine.Swapped{Seq: seq, Verdict: engine.Unsure, Err: errModel})
		return
	}
	unsure := w.happens(w.faults.Unsure)
	if unsure && w.rng.IntN(3) == 0 { // it is applied later, whatever becomes of the daemon
		w.after(d+time.Duration(w.rng.IntN(5000))*time.Millisecond, "late swap", func() { w.apply(x) })
		w.deliver(d, engine.Swapped{Seq: seq, Verdict: engine.Unsure, Err: errModel})
		return
	}
	life := w.daemon.life
	w.after(d, "swap", func() {
		x.answers = !unsure && w.daemon.life == life
		verdict := w.apply(x)
		switch {
		case w.daemon.life != life:
		case unsure:
			w.deliver(time.Millisecond, engine.Swapped{Seq: seq, Verdict: engine.Unsure, Err: errModel})
		default:
			if verdict == engine.Committed {
				w.published(x)
			}
			w.deliver(w.delay(time.Second), engine.Swapped{Seq: seq, Verdict: verdict, Gen: w.gen})
		}
	})
}

// apply replaces the root, once for one operation.
func (w *world) apply(x swapped) engine.Verdict {
	if x.op != "" && !w.ops[x.op] {
		p := x.job.Head
		if w.heads[at(p.Name, p.Branch)] != p.Output.ID {
			return engine.Conflicted
		}
		w.ops[x.op] = true
		on := evaluation{x.job.ID, p.Output.ID}
		w.made[on] = append(w.made[on], x.commit)
		w.move(p.Name, p.Branch, x.commit, x.version)
		w.checkEvery(p)
	}
	maps.Copy(w.memo, x.memo)
	for k := range x.memo {
		w.have[k] = true
	}
	w.history = append(w.history, x.jobs...)
	w.unread = w.unread || !x.answers && len(x.jobs) > 0
	w.hooked = append(w.hooked, x.events...)
	w.gen++
	w.look()
	return engine.Committed
}

// published drops what is in the root by now from memory and journal.
func (w *world) published(x swapped) {
	for k := range x.memo {
		delete(w.daemon.pending, k)
	}
	for _, j := range x.jobs {
		w.daemon.ledger.Note(j)
	}
	w.daemon.events = w.daemon.events[min(len(x.events), len(w.daemon.events)):]
	n := len(x.jobs)
	if x.op != "" {
		n--
	}
	w.daemon.jobs = w.daemon.jobs[min(n, len(w.daemon.jobs)):]
}
