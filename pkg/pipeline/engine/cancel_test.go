package engine

import (
	"slices"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// TestCancelOfADatum: one datum of a job ends, whether it runs or waits, with
// who wished it; the others go on, and the job fails in the end.
func TestCancelOfADatum(t *testing.T) {
	r := newRig(t, Options{Slots: 2})
	p := testJob().Head
	job := Ledger{}.Current(p).ID
	started := r.begin(p, 4)
	items := r.s.Datums(job)
	wish := func(i int) Cancel {
		return Cancel{Job: job, Datums: []string{items[i].Identity}, By: "somebody", Reason: "too big"}
	}
	ran := slices.IndexFunc(items, func(d DatumStatus) bool { return d.Key == started[0].Key })
	waits := slices.IndexFunc(items, func(d DatumStatus) bool { return d.State == DatumPlanned })

	if _, can := r.s.Cancels(job, "nothing"); can {
		t.Error("a datum that is none can be cancelled")
	}
	effects := r.feed(wish(ran))
	if k := only[Kill](effects); len(k) != 1 || k[0].Key != started[0].Key || len(only[Start](effects)) != 0 {
		t.Errorf("kills %+v, want that of the datum, and no start before its end", k)
	}
	if known, can := r.s.Cancels(job, items[ran].Identity); !known || can {
		t.Errorf("known %v, can be cancelled again %v", known, can)
	}
	effects = r.feed(wish(waits))
	if k := only[Kill](effects); len(k) != 0 {
		t.Errorf("a datum that waits is killed: %+v", k)
	}
	wantCancelled(t, effects, items[waits].Identity)
	effects = r.finish(started[0], task.Cancelled, "stopped")
	wantCancelled(t, effects, items[ran].Identity)
	next := only[Start](effects)
	if len(next) != 1 || next[0].Key == items[waits].Key {
		t.Fatalf("started %+v, want the one that is left", next)
	}
	r.accept(next[0])
	effects = r.accept(started[1])
	i := slices.IndexFunc(only[Record](effects), func(x Record) bool { return x.Record.Job != nil })
	if i < 0 {
		t.Fatal("the job does not end")
	}
	j := only[Record](effects)[i].Record.Job
	if j.State != history.Failed || j.Counts.Ran != 2 || j.Counts.Failed != 2 || !strings.Contains(j.Reason, "cancelled by somebody: too big") {
		t.Errorf("the job ends as %+v", j)
	}
	if len(r.s.work) != 0 || len(r.s.stray) != 0 || len(r.s.running) != 0 {
		t.Errorf("left: %d datums, %d strays, %d attempts", len(r.s.work), len(r.s.stray), len(r.s.running))
	}
}

// TestCancelOfASharedDatum: a datum that two jobs want is cancelled for the one
// that started it. It runs on for the other, whose attempt it is from then on:
// on record the first has it as cancelled, and nothing else.
func TestCancelOfASharedDatum(t *testing.T) {
	for _, whole := range []bool{false, true} {
		r := newRig(t, Options{Slots: 9})
		a, b := testHead("a", "main", "src"), testHead("a", "staging", "src")
		a.Inputs[0].Head, b.Inputs[0].Head = headAt("src", 1), headAt("src", 1)
		started := r.begin(a, 1)
		first, second := started[0].Job, Ledger{}.Current(b).ID
		r.list(only[Enumerate](r.observe(a, b))[0], 1)
		wish := Cancel{Job: first, By: "somebody", Reason: "too big"}
		if !whole {
			wish.Datums = []string{started[0].Identity}
		}
		effects := r.feed(wish)
		if k := only[Kill](effects); len(k) != 0 {
			t.Fatalf("whole job %v: it is stopped for the other job too: %+v", whole, k)
		}
		if !whole {
			wantCancelled(t, effects, started[0].Identity)
		}
		for _, x := range only[Record](effects) {
			if a := x.Record.Attempt; a != nil && a.Job != first {
				t.Errorf("whole job %v: recorded for job %v, was cancelled for %v", whole, a.Job, first)
			}
		}
		p := only[Persist](r.finish(started[0], task.Succeeded, ""))
		if len(p) != 1 || p[0].Attempt.Job != second {
			t.Fatalf("whole job %v: the attempt that runs on is recorded as %+v, want job %v", whole, p, second)
		}
	}
}

// wantCancelled wants an attempt on record that somebody cancelled.
func wantCancelled(t *testing.T, effects []Effect, identity string) {
	t.Helper()
	for _, x := range only[Record](effects) {
		a := x.Record.Attempt
		if a == nil {
			continue
		}
		if a.Identity != identity || a.Outcome != string(task.Cancelled) || a.By != "somebody" || a.Reason != "cancelled by somebody: too big" || a.Attempt != 1 {
			t.Errorf("recorded %+v", a)
		}
		return
	}
	t.Errorf("nothing is recorded of %s", identity)
}
