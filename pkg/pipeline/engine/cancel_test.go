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
