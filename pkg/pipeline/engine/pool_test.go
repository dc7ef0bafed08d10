package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

func TestParsePool(t *testing.T) {
	for text, want := range map[string]Pool{
		"gpu=1":         {Limit: 1},
		"api=10/s":      {Rate: 10, Per: time.Second},
		"a.b-c_d=2,3/m": {Limit: 2, Rate: 3, Per: time.Minute},
		"x=5/h,7":       {Limit: 7, Rate: 5, Per: time.Hour},
	} {
		name, p, err := ParsePool(text)
		if before, _, _ := strings.Cut(text, "="); err != nil || name != before || p != want {
			t.Errorf("%s: %q %+v, %v", text, name, p, err)
		}
	}
	for _, text := range []string{"", "gpu", "=1", "gpu=", "gpu=0", "gpu=-1", "gpu=x", "gpu=1,2", "gpu=1/s,2/s", "gpu=1/d", "gpu=1/", "gpu=10001/s", "a b=1", "ä=1"} {
		if _, _, err := ParsePool(text); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// needing returns a pipeline that needs units of pools.
func needing(name string, needs map[string]int) PipelineHead {
	p := testHead(name, "main", "src")
	p.Inputs[0].Head = headAt("src", 1)
	p.Version.Spec.Concurrency = needs
	return p
}

// TestPoolIsSharedByPipelines: two pipelines hold no more of a pool than it
// has, and what an attempt held is free when it is over, however it ended.
func TestPoolIsSharedByPipelines(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		limit := rapid.IntRange(2, 5).Draw(rt, "limit")
		r := newRig(t, Options{Slots: 9, Pools: map[string]Pool{"gpu": {Limit: limit}}})
		a, b := needing("a", map[string]int{"gpu": 1}), needing("b", map[string]int{"gpu": 2})
		var running []Start
		needs := map[string]int{}
		note := func(effects []Effect) {
			for _, s := range only[Start](effects) {
				needs[s.Key.String()] = 1
				if s.Identity[:1] == "b" {
					needs[s.Key.String()] = 2
				}
				running = append(running, s)
			}
			held := 0
			for _, s := range running {
				held += needs[s.Key.String()]
			}
			if held > limit || r.s.Pools()[0].Used != held {
				rt.Fatalf("%d units are held, the engine says %d, the pool has %d", held, r.s.Pools()[0].Used, limit)
			}
		}
		for i, e := range only[Enumerate](r.observe(a, b)) {
			answer := Enumerated{Job: e.Job.ID, Epoch: e.Epoch, Total: 5}
			for k := range 5 {
				answer.Items = append(answer.Items, Item{Identity: fmt.Sprint(e.Job.Head.Name, k), Key: testKey(100*i + k)})
			}
			note(r.feed(answer))
		}
		for steps := 0; len(running) > 0; steps++ {
			if steps > 1000 {
				rt.Fatal("it does not come to an end")
			}
			i := rapid.IntRange(0, len(running)-1).Draw(rt, "which")
			s := running[i]
			running = append(running[:i:i], running[i+1:]...)
			switch rapid.IntRange(0, 3).Draw(rt, "how") {
			case 0:
				note(r.finish(s, task.Crashed, ""))
			case 1:
				note(r.fail(s, task.Failed))
			default:
				note(r.accept(s))
			}
			if len(running) == 0 { // what was lost waits for its time
				r.now = r.now.Add(time.Hour)
				note(r.feed(Tick{}))
			}
		}
		if n := r.s.Pools()[0].Used; n != 0 || len(r.s.Jobs()) > 0 && r.s.Jobs()[0].State == history.Running {
			rt.Fatalf("%d units are held in the end, jobs %+v", n, r.s.Jobs())
		}
	})
}

// TestPoolIsFair: a pipeline that needs all of a pool is overtaken by one that
// needs little at a time, but not for ever; by one of a higher priority it is.
func TestPoolIsFair(t *testing.T) {
	const limit = 3
	for _, priority := range []int{0, 1, -1} {
		r := newRig(t, Options{Slots: 9, Pools: map[string]Pool{"gpu": {Limit: limit}}})
		small, big := needing("a", map[string]int{"gpu": 1}), needing("b", map[string]int{"gpu": limit})
		small.Version.Spec.Scheduling.Priority = priority
		var running []Start
		overtaken, most, bigs := 0, 0, 0
		note := func(effects []Effect) {
			for _, s := range only[Start](effects) {
				running = append(running, s)
				if s.Identity[:1] == "a" {
					overtaken++
					continue
				}
				most, overtaken = max(most, overtaken), 0
				bigs++
			}
		}
		for i, e := range only[Enumerate](r.observe(small, big)) {
			answer := Enumerated{Job: e.Job.ID, Epoch: e.Epoch, Total: 20}
			for k := range 20 {
				answer.Items = append(answer.Items, Item{Identity: fmt.Sprint(e.Job.Head.Name, k), Key: testKey(100*i + k)})
			}
			note(r.feed(answer))
		}
		for len(running) > 0 {
			s := running[0]
			running = running[1:]
			note(r.accept(s))
		}
		switch {
		case bigs != 20:
			t.Fatalf("priority %d: %d of 20 have started", priority, bigs)
		case priority == 0 && most > 3*limit:
			t.Errorf("%d have overtaken one, of a pool of %d", most, limit)
		case priority > 0 && most != 20:
			t.Errorf("those of a higher priority come first: %d of 20 did", most)
		case priority < 0 && most > limit:
			t.Errorf("%d of a lower priority have overtaken one", most)
		}
	}
}

// TestPoolRate: no span as long as the rate's has more starts than it allows,
// and time alone lets the next ones start.
func TestPoolRate(t *testing.T) {
	r := newRig(t, Options{Slots: 99, Pools: map[string]Pool{"api": {Rate: 3, Per: time.Minute}}})
	var starts []time.Time
	for range r.begin(needing("a", map[string]int{"api": 5}), 10) {
		starts = append(starts, r.now)
	}
	for len(starts) < 10 {
		w := r.s.woken
		if !w.After(r.now) {
			t.Fatalf("%d have started, and nothing is to wake the engine", len(starts))
		}
		r.now = w.Add(-time.Second) // feed adds one
		for range only[Start](r.feed(Tick{})) {
			starts = append(starts, r.now)
		}
	}
	for i := 3; i < len(starts); i++ {
		if d := starts[i].Sub(starts[i-3]); d < time.Minute {
			t.Errorf("starts %d to %d are within %v", i-3, i, d)
		}
	}
	if d := starts[9].Sub(starts[0]); d != 3*time.Minute {
		t.Errorf("ten starts at 3 a minute take %v", d)
	}
}

// TestPoolProblems: a job that could never have what it needs fails and says
// so, unless it needs nothing.
func TestPoolProblems(t *testing.T) {
	for _, c := range []struct {
		needs map[string]int
		says  string
	}{
		{map[string]int{"gpu": 3}, "needs 3 of pool gpu, which has 2"},
		{map[string]int{"gpu": 1, "tpu": 1}, "pool tpu is not known here"},
	} {
		r := newRig(t, Options{Pools: map[string]Pool{"gpu": {Limit: 2}}})
		e := only[Enumerate](r.observe(needing("a", c.needs)))
		effects := r.list(e[0], 2)
		if j := lastJob(effects); j.State != history.Failed || !strings.Contains(j.Reason, c.says) || len(only[Start](effects)) > 0 {
			t.Errorf("job %+v", j)
		}
	}
	r := newRig(t, Options{})
	e := only[Enumerate](r.observe(needing("a", map[string]int{"tpu": 1})))
	hits := Enumerated{Job: e[0].Job.ID, Epoch: e[0].Epoch, Total: 1, Items: []Item{{Identity: "x", Key: testKey(1), Hit: true}}}
	if len(only[Merge](r.feed(hits))) != 1 {
		t.Error("a job of hits needs a pool")
	}
}

// TestRetryClasses: only failures that the spec names are tried again, and the
// budgets for failures and for losses are apart.
func TestRetryClasses(t *testing.T) {
	r := newRig(t, Options{Slots: 9})
	s := r.begin(policed(func(s *spec.Spec) {
		s.Datum.Tries, s.Datum.RetryOn, s.Datum.CrashTries = 3, []string{"timeout"}, 2
	}), 3)
	as := func(s Start, o task.Outcome, f task.Failure) []Effect {
		effects := r.feed(Finished{Key: s.Key, Attempt: s.Attempt, Serial: s.Serial, Result: task.Result{Outcome: o, Failure: f, Reason: string(f)}})
		for _, p := range only[Persist](effects) {
			effects = append(effects, r.feed(Persisted{Key: s.Key, Seq: p.Seq})...)
		}
		return effects
	}
	again := only[Start](as(s[0], task.TimedOut, task.FailedTimeout))
	if len(again) != 1 || again[0].Attempt != 2 {
		t.Fatalf("after a time-out: %+v", again)
	}
	if again := only[Start](as(s[1], task.Failed, task.FailedExit)); len(again) != 0 {
		t.Errorf("after an exit status: %+v", again)
	}
	if again := only[Start](as(again[0], task.Failed, task.FailedExit)); len(again) != 0 {
		t.Errorf("a failure that is not named was tried again: %+v", again)
	}
	as(s[2], task.Crashed, "")
	r.now = r.now.Add(time.Hour)
	again = only[Start](r.feed(Tick{}))
	if len(again) != 1 || again[0].Attempt != 2 {
		t.Fatalf("after a loss: %+v", again)
	}
	if j := lastJob(as(again[0], task.Crashed, "")); j.State != history.Failed || j.Counts.Failed != 3 {
		t.Errorf("after two losses: %+v", j)
	}
}

// TestRetryOfOneDatum: a rerun that names a datum runs that one; the job ends as
// the others stand.
func TestRetryOfOneDatum(t *testing.T) {
	r := newRig(t, Options{Slots: 9})
	p := policed(func(*spec.Spec) {})
	s := r.begin(p, 3)
	id := s[0].Job
	r.accept(s[0])
	r.fail(s[1], task.Failed)
	r.fail(s[2], task.Failed)
	listing := func(effects []Effect, hits ...int) []Effect {
		e := only[Enumerate](effects)
		if len(e) != 1 {
			t.Fatalf("%d jobs are listed, want 1", len(e))
		}
		id = e[0].Job.ID
		a := Enumerated{Job: id, Epoch: e[0].Epoch, Total: 3}
		for i := range 3 {
			a.Items = append(a.Items, Item{Identity: fmt.Sprint("d", i), Key: testKey(i)})
		}
		for _, i := range hits {
			a.Items[i].Hit, a.Items[i].Output = true, testRoot("out")
		}
		return r.feed(a)
	}
	starts := only[Start](listing(r.feed(Rerun{Job: id, Only: []string{"d2"}}), 0))
	if len(starts) != 1 || starts[0].Identity != "d2" {
		t.Fatalf("%+v are started", starts)
	}
	j := lastJob(r.accept(starts[0]))
	if j.State != history.Failed || j.Counts.Failed != 1 || j.Counts.Ran != 1 || j.Counts.Hit != 1 || !strings.Contains(j.Reason, "d1") || len(j.Only) != 1 {
		t.Errorf("job %+v", j)
	}
	if j := lastJob(listing(r.feed(Rerun{Job: id, Only: []string{"d0"}}), 0, 2)); j.State != history.Failed {
		t.Errorf("with nothing to do: %+v", j)
	}
	starts = only[Start](listing(r.feed(Rerun{Job: id}), 0, 2))
	if len(starts) != 1 || starts[0].Identity != "d1" || len(only[Merge](r.accept(starts[0]))) != 1 {
		t.Errorf("all that failed: %+v", starts)
	}
}

// TestRetryOfOneDatumTriesWhatItEmits: what a datum emits is not among those that
// the rerun named, and the job can't be complete without it.
func TestRetryOfOneDatumTriesWhatItEmits(t *testing.T) {
	r := newRig(t, Options{Slots: 9})
	p := policed(func(s *spec.Spec) { s.Growth = &spec.Growth{Depth: 3, Max: 10} })
	s := r.begin(p, 1)
	r.fail(s[0], task.Failed)
	e := only[Enumerate](r.feed(Rerun{Job: s[0].Job, Only: []string{"d0"}}))
	s = only[Start](r.list(e[0], 1))
	g := only[Grow](r.accept(s[0]))
	if len(g) != 1 {
		t.Fatalf("%d levels are asked for", len(g))
	}
	s = only[Start](r.feed(Grown{Job: g[0].Job.ID, Epoch: g[0].Epoch, Items: []Emitted{{Item: Item{Identity: "more", Key: testKey(9)}, From: "d0"}}}))
	if len(s) != 1 || s[0].Identity != "more" {
		t.Errorf("%+v are started", s)
	}
}
