package gc

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
)

// crashWorld is a store in which a collection finds something of everything:
// dead packs, packs to rewrite, orphans, a full grave, old roots, old sessions.
func crashWorld(t *testing.T) *world {
	w := newWorld(t)
	d := w.open(nil)
	w.move(d, repo.CreateRepo{Repo: "a"})
	w.write(d, "a", "main", map[string]string{"keep": text(1, 9000), "half": text(2, 9000)})
	gone := w.write(d, "a", "gone", map[string]string{"x": text(3, 9000)})
	w.move(d, repo.DeleteBranch{Repo: "a", Branch: "gone", Expect: gone})
	w.collect(d, Options{KeepRoots: -1, Force: true})
	w.clock.advance(25 * time.Hour)
	dead, err := d.Session(w.ctx(), repo.Scope{Repo: "a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dead.Put(w.ctx(), 1, []byte("never published")); err != nil {
		t.Fatal(err)
	}
	if err := dead.Flush(w.ctx()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { dead.Close() })
	tmp := w.write(d, "a", "tmp", map[string]string{"half": text(2, 9000), "y": text(4, 20_000)})
	w.write(d, "a", "other", map[string]string{"half": text(2, 9000)})
	w.move(d, repo.DeleteBranch{Repo: "a", Branch: "tmp", Expect: tmp})
	w.clock.advance(25 * time.Hour)
	return w
}

// fork returns a world with a copy of the objects.
func (w *world) fork() *world {
	c := *w
	now := w.clock.Now
	c.objects = mem.New(mem.Options{Now: func() time.Time { return now() }})
	defer func() { now = w.clock.Now }()
	for _, key := range w.keys("") {
		b, info, err := objstore.ReadAll(w.t.Context(), w.objects, key, objstore.Range{}, 1<<30)
		now = func() time.Time { return info.ModTime }
		if err == nil {
			_, err = c.objects.Put(w.t.Context(), key, objstore.Bytes(b), objstore.Condition{})
		}
		if err != nil {
			w.fatal("%v", err)
		}
	}
	return &c
}

// sound checks the store in full, and that the files are as they were.
func (w *world) sound(what string) {
	w.t.Helper()
	rep, err := Check(w.ctx(), w.objects, w.options(), CheckOptions{Now: w.clock.Now, Level: CheckData, Workers: 2})
	if err != nil {
		w.t.Fatalf("%s: %v", what, err)
	}
	for _, f := range rep.Findings {
		if f.Severity != Notice {
			w.t.Fatalf("%s: %+v", what, f)
		}
	}
	d := w.open(nil)
	for expr, want := range map[string]string{"a@main:/keep": text(1, 9000), "a@main:/half": text(2, 9000), "a@other:/half": text(2, 9000)} {
		if got := w.read(d, expr); got != want {
			w.t.Fatalf("%s: %s is %.40q", what, expr, got)
		}
	}
}

// TestCrashPoints kills a collection at each of its store calls, before and
// after the call took effect, and in the middle of writes. The store is sound
// at once, and another collection finishes the work.
func TestCrashPoints(t *testing.T) {
	base := crashWorld(t)
	for _, immediate := range []bool{false, true} {
		o := Options{Now: base.clock.Now, KeepRoots: -1, Force: true, Immediate: immediate, Workers: 1}
		whole := base.fork()
		counter := fault.New(whole.objects, fault.Options{})
		r, err := Collect(whole.ctx(), whole.openFor(counter, 1), o)
		if err != nil {
			t.Fatal(err)
		}
		if r.DeadPacks+r.RepackedPacks == 0 || r.Orphans == 0 || r.Deleted == 0 || r.OldRoots == 0 {
			t.Fatalf("the scenario is poor: %+v", r)
		}
		whole.sound("without a crash")
		points := 0
		for k := 1; k <= counter.Count(); k++ {
			for name, plan := range map[string]fault.Plan{"before": fault.CrashAt(k, false), "after": fault.CrashAt(k, true)} {
				w := base.fork()
				what := fmt.Sprintf("immediate %v, killed %s call %d", immediate, name, k)
				f := fault.New(w.objects, fault.Options{})
				d := w.openFor(f, 1)
				f.Revive(offset(plan, f.Count()))
				if _, err := Collect(w.ctx(), d, o); err != nil && !f.Crashed() {
					t.Fatalf("%s: %v", what, err)
				}
				w.sound(what)
				w.finish(what)
				points++
			}
		}
		t.Logf("immediate %v: %d crash points", immediate, points)
	}
}

// offset makes a plan count from the calls that were made before.
func offset(p fault.Plan, before int) fault.Plan {
	return func(c fault.Call) fault.Effect {
		c.N -= before
		return p(c)
	}
}

// finish collects to the end: nothing is left that nothing names.
func (w *world) finish(what string) {
	d := w.open(nil)
	o := Options{Now: w.clock.Now, KeepRoots: -1, Force: true, Immediate: true, Workers: 1}
	for range 2 {
		if _, err := Collect(w.ctx(), d, o); err != nil {
			w.t.Fatalf("%s: another collection: %v", what, err)
		}
	}
	w.sound(what + ", then collected")
	for _, needle := range []string{text(3, 9000)[:400], text(4, 20_000)[:400], "never published"} {
		if w.holds(needle) {
			w.t.Fatalf("%s: %.20q is still stored", what, needle)
		}
	}
	root, err := d.Root(w.ctx())
	if err != nil {
		w.t.Fatal(err)
	}
	if len(root.Graveyard) != 0 || len(w.keys(repo.SessionPrefix)) != 0 {
		w.t.Fatalf("%s: graves %v, sessions %v", what, root.Graveyard, w.keys(repo.SessionPrefix))
	}
}

// TestFaultyStore collects while calls fail at random: it succeeds, or fails
// and has broken nothing.
func TestFaultyStore(t *testing.T) {
	base := crashWorld(t)
	failed := 0
	for _, seed := range seedsOf(t, 40) {
		w := base.fork()
		f := fault.New(w.objects, fault.Options{})
		d := w.openFor(f, 1000*time.Hour)
		f.Revive(fault.Random(seed, fault.Rates{Throttled: 0.004, Failed: 0.002, NotSent: 0.004, AckLost: 0.01, FlipBit: 0.002, Truncate: 0.002}))
		o := Options{Now: w.clock.Now, KeepRoots: -1, Force: true, Immediate: seed%2 == 0, Workers: 2}
		if _, err := Collect(w.ctx(), d, o); err != nil {
			failed++
			if errors.Is(err, ErrGuard) {
				t.Errorf("seed %d: %v", seed, err)
			}
		}
		w.sound(fmt.Sprint("seed ", seed))
		w.finish(fmt.Sprint("seed ", seed))
	}
	t.Logf("%d collections failed", failed)
}
