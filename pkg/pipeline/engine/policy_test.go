package engine

import (
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// fail takes a started datum to its failure, and returns what follows.
func (r *rig) fail(s Start, o task.Outcome) []Effect {
	r.Helper()
	first := r.finish(s, o, "")
	p := only[Persist](first)
	if len(p) != 1 {
		r.Fatalf("%d results are made durable, want 1", len(p))
	}
	return append(first, r.feed(Persisted{Key: s.Key, Seq: p[0].Seq})...)
}

// policed returns a pipeline with a policy.
func policed(change func(*spec.Spec)) PipelineHead {
	p := testJob().Head
	change(&p.Version.Spec)
	return p
}

func lastJob(effects []Effect) history.Job {
	var last history.Job
	for _, x := range only[Record](effects) {
		if x.Record.Job != nil {
			last = *x.Record.Job
		}
	}
	return last
}

// TestMaxFailed: the job does without as many datums as the spec allows, and
// one more ends it at once.
func TestMaxFailed(t *testing.T) {
	r := newRig(t, Options{Slots: 9})
	s := r.begin(policed(func(s *spec.Spec) { s.MaxFailed.Count = 1 }), 4)
	r.fail(s[0], task.Failed)
	r.accept(s[1])
	r.accept(s[2])
	m := only[Merge](r.accept(s[3]))
	if len(m) != 1 || m[0].Delta.Total != 3 || m[0].Delta.Lacks != 1 || len(m[0].Delta.Changed) != 3 {
		t.Fatalf("merges %+v", m)
	}

	r = newRig(t, Options{Slots: 9})
	s = r.begin(policed(func(s *spec.Spec) { s.MaxFailed.Count = 1 }), 4)
	r.fail(s[0], task.Failed)
	effects := r.fail(s[1], task.Failed)
	if j := lastJob(effects); j.State != history.Failed || len(only[Kill](effects)) != 2 {
		t.Errorf("job %+v, %d attempts are stopped, want 2", j, len(only[Kill](effects)))
	}
}

// TestMaxFailedPart: a percentage of a job's datums, rounded down.
func TestMaxFailedPart(t *testing.T) {
	half := policed(func(s *spec.Spec) { s.MaxFailed.Hundreds = 5000 })
	r := newRig(t, Options{Slots: 9})
	s := r.begin(half, 3)
	r.fail(s[0], task.Failed)
	r.accept(s[1])
	if m := only[Merge](r.accept(s[2])); len(m) != 1 || m[0].Delta.Total != 2 {
		t.Fatalf("one of three failed: merges %+v", m)
	}

	r = newRig(t, Options{Slots: 9})
	s = r.begin(half, 3)
	r.fail(s[0], task.Failed)
	if j := lastJob(r.fail(s[1], task.Failed)); j.State != history.Failed {
		t.Errorf("two of three failed: job %+v", j)
	}
}

// TestRecovered: a datum whose error command succeeded is no failure.
func TestRecovered(t *testing.T) {
	r := newRig(t, Options{Slots: 9})
	s := r.begin(policed(func(s *spec.Spec) { s.Datum.Tries = 3 }), 2)
	if s[0].Last {
		t.Error("the first of three tries is called the last")
	}
	r.accept(s[1])
	m := only[Merge](r.fail(s[0], task.Recovered))
	if len(m) != 1 || m[0].Delta.Total != 1 || m[0].Delta.Lacks != 1 {
		t.Fatalf("merges %+v", m)
	}
	if j := r.s.Jobs()[0]; j.Counts.Recovered != 1 || j.Counts.Failed != 0 {
		t.Errorf("counts %+v", j.Counts)
	}
}

// TestBackoff: a failed datum is tried again after its wait, longer each time
// and by up to a quarter more; the last try is marked.
func TestBackoff(t *testing.T) {
	r := newRig(t, Options{Slots: 9})
	s := r.begin(policed(func(s *spec.Spec) { s.Datum.Tries, s.Datum.Backoff = 3, "1m" }), 1)[0]
	for try, least := range []time.Duration{time.Minute, 2 * time.Minute} {
		effects := r.fail(s, task.Failed)
		wake := only[WakeAt](effects)
		wait := time.Duration(0)
		if len(wake) > 0 {
			wait = wake[len(wake)-1].Time.Sub(r.now)
		}
		if len(only[Start](effects)) != 0 || wait < least-2*time.Second || wait > least*5/4 {
			t.Fatalf("try %d: it waits for %v, want %v and up to a quarter more", try+2, wait, least)
		}
		r.now = r.now.Add(wait)
		again := only[Start](r.feed(Tick{}))
		if len(again) != 1 || again[0].Last != (try == 1) || again[0].Attempt != try+2 {
			t.Fatalf("try %d: %+v", try+2, again)
		}
		s = again[0]
	}
	if j := lastJob(r.fail(s, task.Failed)); j.State != history.Failed {
		t.Errorf("after three tries the job is %s", j.State)
	}
}

func TestJobTimeout(t *testing.T) {
	r := newRig(t, Options{Slots: 1})
	r.begin(policed(func(s *spec.Spec) { s.JobTimeout = "10m" }), 2)
	r.now = r.now.Add(9 * time.Minute)
	if effects := r.feed(Tick{}); len(only[Kill](effects)) != 0 {
		t.Fatal("the job ends too early")
	}
	r.now = r.now.Add(time.Minute)
	effects := r.feed(Tick{})
	if j := lastJob(effects); j.State != history.Failed || !strings.Contains(j.Reason, "10m") || len(only[Kill](effects)) != 1 {
		t.Errorf("job %+v, %d attempts are stopped", j, len(only[Kill](effects)))
	}
}

// TestCancelCascades: with the wish, and only then, jobs of what depends on the
// pipeline end too, and say why.
func TestCancelCascades(t *testing.T) {
	for _, cascade := range []bool{false, true} {
		r := newRig(t, Options{Slots: 9})
		up, down := testHead("up", "main", "src"), testHead("down", "main", "up")
		up.Inputs[0].Head, down.Inputs[0].Head = headAt("src 1", 1), headAt("up 1", 1)
		r.observe(up, down)
		effects := r.feed(Cancel{Job: Ledger{}.Current(up).ID, By: "somebody", Reason: "wrong data", Cascade: cascade})
		ended := 0
		for _, x := range only[Record](effects) {
			if j := x.Record.Job; j != nil && j.By == "somebody" && strings.Contains(j.Reason, "wrong data") {
				ended++
			}
		}
		if want := map[bool]int{false: 1, true: 2}[cascade]; ended != want {
			t.Errorf("cascade %v: %d jobs end, want %d", cascade, ended, want)
		}
	}
}

// TestPriority: a slot that becomes free goes to the pipeline with the highest
// priority, whichever came first.
func TestPriority(t *testing.T) {
	r := newRig(t, Options{Slots: 1})
	low, high := testHead("low", "main", "src"), testHead("high", "main", "src")
	high.Version.Spec.Scheduling.Priority = 5
	low.Inputs[0].Head, high.Inputs[0].Head = headAt("src", 1), headAt("src", 1)
	running := r.begin(low, 3)
	e := only[Enumerate](r.observe(high, low))
	a := Enumerated{Job: e[0].Job.ID, Epoch: e[0].Epoch, Total: 2}
	for i := range 2 {
		a.Items = append(a.Items, Item{Identity: "h", Key: testKey(100 + i)})
	}
	r.feed(a)
	var order []string
	for len(running) > 0 {
		order = append(order, running[0].Identity[:1])
		running = append(running[1:], only[Start](r.accept(running[0]))...)
	}
	if got := strings.Join(order, ""); got != "dhhdd" {
		t.Errorf("datums run in the order %s", got)
	}
}
