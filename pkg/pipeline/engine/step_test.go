package engine

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// rig feeds a State by hand.
type rig struct {
	*testing.T
	s   *State
	now time.Time
	gen uint64
}

func newRig(t *testing.T, o Options) *rig {
	return &rig{T: t, s: NewState(o, Ledger{}, nil), now: testTime(0)}
}

func (r *rig) feed(of Happening) []Effect {
	r.Helper()
	r.now = r.now.Add(time.Second)
	effects := Step(r.s, Event{At: r.now, Of: of})
	for _, e := range effects {
		if c, ok := e.(Complain); ok {
			r.Fatalf("the engine complains: %s", c.Text)
		}
	}
	return effects
}

// observe shows the engine pipelines.
func (r *rig) observe(ps ...PipelineHead) []Effect {
	r.Helper()
	r.gen++
	return r.feed(Observed{Snapshot{Gen: r.gen, Pipelines: ps}})
}

// only returns the effects of one type.
func only[T Effect](effects []Effect) []T {
	var all []T
	for _, e := range effects {
		if x, ok := e.(T); ok {
			all = append(all, x)
		}
	}
	return all
}

func testKey(i int) memo.Key { return memo.Key(chunk.Data.Sum(fmt.Append(nil, "key ", i))) }

func testRoot(s string) tree.Root {
	id := chunk.Node.Sum([]byte(s))
	return tree.Root{ID: tree.ID(id), Content: tree.ContentID(id)}
}

// list answers an Enumerate with n datums that are not known.
func (r *rig) list(e Enumerate, n int) []Effect {
	r.Helper()
	a := Enumerated{Job: e.Job.ID, Epoch: e.Epoch, Total: int64(n)}
	for i := range n {
		a.Items = append(a.Items, Item{Identity: fmt.Sprint("d", i), Key: testKey(i)})
	}
	return r.feed(a)
}

func (r *rig) finish(s Start, o task.Outcome, output string) []Effect {
	r.Helper()
	return r.feed(Finished{Key: s.Key, Attempt: s.Attempt, Serial: s.Serial, Result: task.Result{Outcome: o, Output: testRoot(output), Reason: "because"}})
}

// accept takes a started datum to its result, and returns what follows.
func (r *rig) accept(s Start) []Effect {
	r.Helper()
	first := r.finish(s, task.Succeeded, "out")
	p := only[Persist](first)
	if len(p) != 1 {
		r.Fatalf("%d results are made durable, want 1", len(p))
	}
	return append(first, r.feed(Persisted{Key: s.Key, Seq: p[0].Seq, Output: p[0].Output})...)
}

// begin brings a job of n datums up to its first starts.
func (r *rig) begin(p PipelineHead, n int) []Start {
	r.Helper()
	e := only[Enumerate](r.observe(p))
	if len(e) != 1 {
		r.Fatalf("%d jobs are listed, want 1", len(e))
	}
	return only[Start](r.list(e[0], n))
}

func TestLimitsAreKept(t *testing.T) {
	r := newRig(t, Options{Slots: 5})
	limited, free := testHead("limited", "main", "src"), testHead("free", "main", "src")
	limited.Version.Spec.Parallelism.Max = 2
	limited.Inputs[0].Head, free.Inputs[0].Head = headAt("src", 1), headAt("src", 1)
	running := r.begin(limited, 6)
	if len(running) != 2 {
		t.Fatalf("%d datums run, the pipeline allows 2", len(running))
	}
	e := only[Enumerate](r.observe(limited, free))
	a := Enumerated{Job: e[0].Job.ID, Epoch: e[0].Epoch, Total: 9}
	for i := range 9 {
		a.Items = append(a.Items, Item{Identity: fmt.Sprint("f", i), Key: testKey(100 + i)})
	}
	running = append(running, only[Start](r.feed(a))...)
	for len(running) > 0 {
		if len(running) > 5 {
			t.Fatalf("%d datums run on 5 slots", len(running))
		}
		s := running[0]
		running = append(running[1:], only[Start](r.accept(s))...)
	}
	if jobs := r.s.Jobs(); len(jobs) != 2 || jobs[0].Counts.Ran != 6 || jobs[1].Counts.Ran != 9 {
		t.Errorf("jobs %+v", jobs)
	}
}

// TestSharedDatum: two jobs that want one key run it once.
func TestSharedDatum(t *testing.T) {
	r := newRig(t, Options{Slots: 9})
	a, b := testHead("a", "main", "src"), testHead("a", "staging", "src")
	a.Inputs[0].Head, b.Inputs[0].Head = headAt("src", 1), headAt("src", 1)
	started := r.begin(a, 1)
	e := only[Enumerate](r.observe(a, b))
	if more := only[Start](r.list(e[0], 1)); len(started) != 1 || len(more) != 0 {
		t.Fatalf("%d and %d starts", len(started), len(more))
	}
	if m := only[Merge](r.accept(started[0])); len(m) != 2 {
		t.Errorf("%d jobs go on with the result, want 2", len(m))
	}
}

func TestCancel(t *testing.T) {
	r := newRig(t, Options{Slots: 9})
	p := testJob().Head
	started := r.begin(p, 2)
	effects := r.feed(Cancel{Job: Ledger{}.Current(p).ID, By: "somebody"})
	if k := only[Kill](effects); len(k) != 2 {
		t.Errorf("%d attempts are stopped, want 2", len(k))
	}
	var last history.Job
	for _, x := range only[Record](effects) {
		if x.Record.Job != nil {
			last = *x.Record.Job
		}
	}
	if last.State != history.Killed || last.By != "somebody" {
		t.Errorf("recorded %+v", last)
	}
	attempts := only[Record](r.finish(started[0], task.Cancelled, ""))
	if len(attempts) != 1 || attempts[0].Record.Attempt.By != "somebody" {
		t.Errorf("recorded %+v", attempts)
	}
	if again := r.observe(p); len(only[Enumerate](again)) != 0 {
		t.Error("a cancelled job is wanted again")
	}
	if again := r.feed(Rerun{Job: last.ID}); len(only[Enumerate](again)) != 1 {
		t.Error("a rerun does not begin")
	}
}

// TestOvertaken: newer heads end a job; what both want goes on running, the
// rest is stopped once it is known what both want.
func TestOvertaken(t *testing.T) {
	r := newRig(t, Options{Slots: 9})
	p := testJob().Head
	started := r.begin(p, 3)
	p.Inputs = []InputHead{{Name: "src", Repo: "src", Branch: "main", Head: headAt("src 2", 5)}}
	effects := r.observe(p)
	e := only[Enumerate](effects)
	if len(e) != 1 || len(only[Kill](effects)) != 0 {
		t.Fatalf("%d listings, %d kills", len(e), len(only[Kill](effects)))
	}
	effects = r.list(e[0], 1)
	if k := only[Kill](effects); len(k) != 2 || len(only[Start](effects)) != 0 {
		t.Errorf("%d attempts are stopped, want 2; %d start anew", len(k), len(only[Start](effects)))
	}
	i := slices.IndexFunc(started, func(s Start) bool { return s.Key == testKey(0) })
	if m := only[Merge](r.accept(started[i])); len(m) != 1 {
		t.Errorf("the newer job does not take the result")
	}
}

func TestNotReproducible(t *testing.T) {
	r := newRig(t, Options{Slots: 2})
	s := r.begin(testJob().Head, 2)[0]
	r.finish(s, task.Crashed, "")
	r.accept(only[Start](append(r.feed(Tick{}), r.feed(Tick{})...))[0])
	for output, want := range map[string]int{"out": 0, "other": 1} {
		var events int
		for _, x := range only[Record](r.finish(s, task.Succeeded, output)) {
			if x.Record.Event != nil && x.Record.Event.Kind == history.NotReproducible {
				events++
			}
		}
		if events != want {
			t.Errorf("a late result %q is reported %d times, want %d", output, events, want)
		}
	}
}

// TestTablesAreClosed: what the tables do not list changes nothing, and is
// complained of.
func TestTablesAreClosed(t *testing.T) {
	jobs := []history.State{history.Pending, history.Frozen, history.Running, history.Merging, history.Publishing, history.Done, history.Failed, history.Killed}
	datums := []DatumState{DatumNew, DatumHit, DatumPlanned, DatumRunning, DatumReported, DatumAccepted, DatumRetryWait, DatumFailed, DatumDropped}
	allowed := map[Transition]bool{}
	for _, x := range Transitions() {
		allowed[x] = true
	}
	check := func(x Transition, s *State, moved bool, now string) {
		want := x.From
		if allowed[x] {
			want = x.To
		}
		if moved != allowed[x] || now != want || (len(only[Complain](s.effects)) == 0) != allowed[x] {
			t.Errorf("%+v: moved %v to %s with %d effects, want %s", x, moved, now, len(s.effects), want)
		}
	}
	for _, from := range jobs {
		for _, to := range jobs {
			s := NewState(Options{}, Ledger{}, nil)
			j := &job{record: history.Job{State: from}}
			moved := s.moveJob(j, to)
			check(Transition{"job", string(from), string(to)}, s, moved, string(j.record.State))
		}
	}
	for _, from := range datums {
		for _, to := range datums {
			s := NewState(Options{}, Ledger{}, nil)
			w := &work{state: from}
			moved := s.moveWork(w, to)
			check(Transition{"datum", string(from), string(to)}, s, moved, string(w.state))
		}
	}
}

// TestManyDatumsAreCheap: the cost of a step does not grow with the job.
func TestManyDatumsAreCheap(t *testing.T) {
	const n = 100_000
	r := newRig(t, Options{Slots: 64})
	running := r.begin(testJob().Head, n)
	began := time.Now()
	done := 0
	for len(running) > 0 {
		s := running[0]
		running = append(running[1:], only[Start](r.accept(s))...)
		done++
	}
	if took := time.Since(began); done != n || took > 2*time.Minute {
		t.Errorf("%d of %d datums in %v", done, n, took)
	}
	if jobs := r.s.Jobs(); len(jobs) != 1 || jobs[0].State != history.Merging {
		t.Errorf("jobs %+v", jobs)
	}
}

// TestClockSetBack: waits do not become longer when the clock goes back.
func TestClockSetBack(t *testing.T) {
	r := newRig(t, Options{Slots: 1})
	s := r.begin(testJob().Head, 1)[0]
	r.finish(s, task.Crashed, "")
	r.now = r.now.Add(-24 * time.Hour)
	var effects []Effect
	for range 3 { // seconds
		effects = append(effects, r.feed(Tick{})...)
	}
	if len(only[Start](effects)) != 1 {
		t.Error("the next attempt waits for a day")
	}
}

// TestSwapIsTriedAgainInTime: what must be published is tried again after its
// wait, not at the next checkpoint.
func TestSwapIsTriedAgainInTime(t *testing.T) {
	r := newRig(t, Options{Slots: 1, CheckpointEvery: time.Hour})
	e := only[Enumerate](r.observe(testJob().Head))
	if early := only[Checkpoint](r.list(e[0], 1)); len(early) != 0 {
		t.Fatalf("%d checkpoints because a job has begun", len(early))
	}
	checkpoints := only[Checkpoint](r.feed(Tick{})) // a second later the job is recorded
	if len(checkpoints) != 1 {
		t.Fatalf("%d checkpoints", len(checkpoints))
	}
	wake := only[WakeAt](r.feed(Swapped{Seq: checkpoints[0].Seq, Verdict: Unsure}))
	if len(wake) != 1 || wake[0].Time.Sub(r.now) > time.Minute {
		t.Errorf("it is tried again at %v, now is %v", wake, r.now)
	}
}
