package sim

import (
	"container/heap"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

var errModel = errors.New("the model says no")

// daemon is one life of the daemon: the engine's state, and what the shell
// around it holds in memory.
type daemon struct {
	life    int
	state   *engine.State
	pending map[memo.Key]string // accepted, in the journal, not published
	jobs    []history.Job       // recorded, not published
	events  []history.Event     // likewise
	commits map[commit.ID]version
	tasks   map[memo.Key]chore
	shown   map[engine.JobID]map[string]memo.Key // datums at provisional branches
	ledger  engine.Ledger
	tick    int
}

type chore struct {
	stage   *stage
	content string
	version int
}

// boot starts the daemon's next life from what is durable.
func (w *world) boot() {
	life := 1
	pending := map[memo.Key]string{}
	if w.daemon != nil {
		life = w.daemon.life + 1
		pending = w.daemon.pending
	}
	d := &daemon{life: life, pending: pending, commits: map[commit.ID]version{}, tasks: map[memo.Key]chore{}, shown: map[engine.JobID]map[string]memo.Key{}}
	var open []history.Job
	jobs := w.past()
	for _, j := range jobs {
		if !j.State.Final() {
			open = append(open, j)
		}
	}
	d.ledger = engine.NewLedger(jobs)
	d.state = engine.NewState(engine.Options{
		Slots: 4, CheckpointEvery: 30 * time.Second, CheckpointRecords: 7, CrashesMax: w.o.CrashesMax,
		BackoffMin: 5 * time.Second, Pools: pools(), Trace: w.o.Trace, Without: w.o.Without,
	}, d.ledger, open)
	w.daemon = d
	w.unread = true
	w.look()
	w.forDaemon(0, "boot", w.watch)
}

// watch looks at the root again and again.
func (w *world) watch() {
	w.look()
	w.forDaemon(lookEvery, "watch", w.watch)
}

// look delivers what the root is now.
func (w *world) look() {
	if w.happens(w.faults.LostLook) {
		return
	}
	w.deliver(w.delay(time.Second), engine.Observed{Snapshot: w.snapshot()})
	w.readHistory()
}

// delay draws how long something takes.
func (w *world) delay(most time.Duration) time.Duration {
	d := time.Duration(w.rng.Int64N(int64(most))) + time.Microsecond
	if w.happens(w.faults.Late) {
		d += time.Duration(w.rng.IntN(600)) * time.Second
	}
	return d
}

// forDaemon has something happen, unless the daemon dies before.
func (w *world) forDaemon(d time.Duration, what string, do func()) {
	w.serial++
	heap.Push(&w.queue, scheduled{at: w.clock.Add(d), serial: w.serial, what: what, do: do, life: w.daemon.life})
}

// deliver hands an event to the engine after a while, perhaps twice.
func (w *world) deliver(d time.Duration, of engine.Happening) { w.deliverWith(d, of, func() {}) }

// deliverWith does so together with what the shell keeps of the event.
func (w *world) deliverWith(d time.Duration, of engine.Happening, keep func()) {
	what := describe(of)
	do := func() { keep(); w.step(of) }
	w.forDaemon(d, what, do)
	if w.happens(w.faults.Duplicate) {
		w.forDaemon(d+w.delay(time.Minute), what+" again", do)
	}
}

// step feeds the engine and carries out what it wants.
func (w *world) step(of engine.Happening) {
	if w.happens(w.faults.ClockJump) {
		w.skew = time.Duration(w.rng.IntN(48)-24) * time.Hour
	}
	if w.happens(w.faults.Rival) {
		w.rival()
	}
	if w.o.Hurry && w.happens(w.faults.Meddle) {
		w.meddle()
	}
	if w.o.Hurry && w.happens(w.faults.Steer) {
		w.steer()
	}
	effects := w.o.Step(w.daemon.state, engine.Event{At: w.clock.Add(w.skew), Of: of})
	w.checkDone(of)
	for _, e := range effects {
		w.log("  %s", describe(e))
		if w.happens(w.faults.Crash) {
			w.crash()
			return
		}
		w.carryOut(e)
	}
	w.checkAlways()
}

// crash ends the daemon's life and begins the next.
func (w *world) crash() {
	w.crashes++
	clear(w.running)
	if w.happens(w.faults.Wipe) {
		w.log("  journal wiped")
		w.daemon.pending = map[memo.Key]string{}
		w.have, w.accepted = map[memo.Key]bool{}, map[memo.Key]int{}
		for k := range w.memo {
			w.have[k], w.accepted[k] = true, 1
		}
	}
	w.boot()
}

func (w *world) carryOut(e engine.Effect) {
	switch e := e.(type) {
	case engine.Look:
		w.deliver(w.delay(time.Second), engine.Observed{Snapshot: w.snapshot()})
	case engine.Enumerate:
		w.enumerate(e)
	case engine.Start:
		w.execute(e)
	case engine.Partial:
		w.show(e)
	case engine.Conceal:
		delete(w.daemon.shown, e.Job.ID)
	case engine.Hook:
		w.hook(e.Job)
	case engine.Grow:
		w.grow(e)
	case engine.Foresee:
		w.foresee(e)
	case engine.Kill:
		w.kill(e)
	case engine.Persist:
		w.persist(e)
	case engine.Merge:
		w.merge(e)
	case engine.Publish:
		w.publish(e)
	case engine.Checkpoint:
		w.checkpoint(e)
	case engine.Record:
		if e.Record.Job != nil {
			w.daemon.jobs = append(w.daemon.jobs, *e.Record.Job)
			w.daemon.ledger.Note(*e.Record.Job)
		}
	case engine.WakeAt:
		w.daemon.tick++
		n := w.daemon.tick
		d := max(time.Millisecond, e.Time.Sub(w.clock.Add(w.skew)))
		w.forDaemon(d, "tick", func() {
			if n == w.daemon.tick {
				w.step(engine.Tick{})
			}
		})
	case engine.Forget:
		for _, k := range e.Keys {
			delete(w.daemon.tasks, k)
		}
	case engine.Complain:
		w.fail("the engine complains: %s", e.Text)
	}
}

// known looks for a result in the memo, published or not.
func (w *world) known(k memo.Key) (string, bool) {
	if out, ok := w.memo[k]; ok {
		return out, true
	}
	out, ok := w.daemon.pending[k]
	return out, ok
}

func outputRoot(out string) tree.Root {
	return rootOf(map[string]string{"out": out})
}

func (w *world) enumerate(e engine.Enumerate) {
	if w.happens(w.faults.EffectLost) {
		w.deliver(w.delay(time.Second), engine.Enumerated{Job: e.Job.ID, Epoch: e.Epoch, Err: errModel, Final: w.happens(w.faults.Final)})
		return
	}
	p, s := e.Job.Head, w.stage(e.Job.Head)
	files := w.versions[p.Inputs[0].Head.ID].files
	prev := w.versions[p.Output.ID]
	answer := engine.Enumerated{Job: e.Job.ID, Epoch: e.Epoch, Total: int64(len(files)), Delta: prev.datums != nil && !s.grow}
	tasks := map[memo.Key]chore{}
	for _, path := range slices.Sorted(maps.Keys(files)) {
		key := w.keyOf(p, path, files[path])
		if answer.Delta && prev.datums[path] == key {
			continue
		}
		it := engine.Item{Identity: path, Key: key}
		if out, ok := w.known(key); ok {
			it.Hit, it.Output = true, outputRoot(out)
		} else {
			tasks[key] = chore{stage: s, content: files[path], version: s.outputVersion}
		}
		answer.Items = append(answer.Items, it)
	}
	for _, path := range slices.Sorted(maps.Keys(prev.datums)) {
		if _, ok := files[path]; !ok && answer.Delta {
			answer.Removed = append(answer.Removed, path)
		}
	}
	d := w.delay(2 * time.Second)
	w.forDaemon(d, "tasks", func() { maps.Copy(w.daemon.tasks, tasks) })
	w.deliver(d, answer)
}

// foresee lists what follows from outputs that are not published.
func (w *world) foresee(e engine.Foresee) {
	var answer engine.Foreseen
	tasks := map[memo.Key]chore{}
	for _, p := range w.snapshot().Pipelines {
		if p.Inputs[0].Repo != e.Pipeline || p.Inputs[0].Branch != e.Branch {
			continue
		}
		for _, o := range e.Outputs {
			content, ok := w.stored[o.Tree.ID]
			if !ok {
				w.fail("datum %s is looked ahead of, and has no output", o.Identity)
				return
			}
			key := w.keyOf(p, o.Identity, content)
			if _, ok := w.known(key); !ok {
				s := w.stage(p)
				tasks[key] = chore{stage: s, content: content, version: s.outputVersion}
				answer.Datums = append(answer.Datums, engine.Ahead{Pipeline: p.Name, Branch: p.Branch, Identity: o.Identity, Key: key})
			}
		}
	}
	w.deliverWith(w.delay(time.Second), answer, func() { maps.Copy(w.daemon.tasks, tasks) })
}

// execute runs user code for a while.
func (w *world) execute(e engine.Start) {
	if out, ok := w.known(e.Key); ok {
		w.deliver(time.Millisecond, engine.Finished{Key: e.Key, Attempt: e.Attempt, Serial: e.Serial, Known: true, Result: task.Result{Output: outputRoot(out)}})
		return
	}
	t, ok := w.daemon.tasks[e.Key]
	switch {
	case !ok:
		w.fail("datum %s is started, which nobody enumerated", e.Identity)
		return
	case w.have[e.Key]:
		w.fail("datum %s is executed though its record is durable", e.Identity)
	case w.running[e.Key] > 0:
		w.fail("datum %s is executed twice at once", e.Identity)
	}
	w.running[e.Key]++
	w.lease(e)
	out := digest("output ", t.stage.name, t.version, t.content).Short()
	done := func(o task.Outcome) engine.Finished {
		r := task.Result{Outcome: o, Reason: string(o), Started: w.clock, Ended: w.clock.Add(time.Second)}
		if o == task.Succeeded {
			r.Output = outputRoot(out)
			w.stored[r.Output.ID] = out
		}
		return engine.Finished{Key: e.Key, Attempt: e.Attempt, Serial: e.Serial, Result: r}
	}
	d := w.delay(90 * time.Second)
	switch {
	case w.happens(w.faults.Vanish):
		w.forDaemon(d, "worker vanishes", func() { w.running[e.Key] = 0 })
		w.deliver(d+90*time.Second, done(task.Crashed))
		if w.rng.IntN(2) == 0 {
			w.executions++
			w.deliver(d+time.Duration(w.rng.IntN(900))*time.Second, done(task.Succeeded))
		}
	case w.userFails[e.Key] < w.o.UserFailsMax && w.happens(w.faults.UserFails):
		w.userFails[e.Key]++
		w.end(e, d, done(task.Failed))
	default:
		w.end(e, d, done(task.Succeeded))
	}
}

func (w *world) end(e engine.Start, d time.Duration, f engine.Finished) {
	life := w.daemon.life
	w.forDaemon(d, "execution ends", func() {
		if w.daemon.life == life {
			w.running[e.Key] = 0
			w.executions++
		}
	})
	w.deliver(d, f)
}

// kill ends an attempt; its own answer may overtake that.
func (w *world) kill(e engine.Kill) {
	d := w.delay(20 * time.Second)
	w.forDaemon(d, "killed", func() { w.running[e.Key] = 0 })
	w.deliver(d, engine.Finished{Key: e.Key, Serial: e.Serial, Attempt: 1, Result: task.Result{Outcome: task.Cancelled, Reason: "killed", Started: w.clock, Ended: w.clock}})
}

func (w *world) persist(e engine.Persist) {
	a := e.Attempt
	if w.happens(w.faults.EffectLost) {
		w.deliver(w.delay(time.Second), engine.Persisted{Key: a.Key, Seq: e.Seq, Err: errModel})
		return
	}
	if a.Outcome == string(task.Succeeded) {
		t, ok := w.daemon.tasks[a.Key]
		if !ok {
			w.fail("datum %s is persisted, which nobody enumerated", a.Identity)
			return
		}
		if _, ok := w.known(a.Key); !ok { // the first result counts
			w.daemon.pending[a.Key] = digest("output ", t.stage.name, t.version, t.content).Short()
			w.accepted[a.Key]++
			if w.accepted[a.Key] > 1 {
				w.fail("datum %s has a second accepted result", a.Identity)
			}
		}
		w.have[a.Key] = true
	}
	w.deliver(w.delay(time.Second), engine.Persisted{Key: a.Key, Seq: e.Seq, Output: e.Output})
}
