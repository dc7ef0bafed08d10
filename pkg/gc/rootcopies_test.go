package gc

import (
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
)

// TestBackupBesideCollection copies a store as docs/BACKUP.md says, with a
// commit and collections between the first step and the second: the copy is
// sound, also if the root that it began with was weeks old, and whatever undo
// is to be kept.
func TestBackupBesideCollection(t *testing.T) {
	for name, o := range map[string]Options{
		"no undo": {KeepRoots: -1, Grace: time.Hour, Force: true},
		"undo":    {KeepRoots: time.Hour, Grace: time.Hour, Force: true},
		"purged":  {Grace: time.Hour, Force: true},
	} {
		w := newWorld(t)
		d := w.open(nil)
		w.move(d, repo.CreateRepo{Repo: "a"})
		w.write(d, "a", "main", map[string]string{"keep": text(1, 9000), "drop": text(2, 9000)})
		w.clock.advance(40 * 24 * time.Hour)
		root, _, err := objstore.ReadAll(w.ctx(), w.objects, "root", objstore.Range{}, repo.RootSizeMax)
		if err != nil {
			t.Fatal(err)
		}
		w.write(d, "a", "main", map[string]string{"drop": ""})
		if name == "purged" {
			if _, err := Purge(w.ctx(), d, PurgeOptions{Now: w.clock.Now, Repo: "a", Paths: []string{"drop"}}); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			w.collect(d, o)
			w.clock.advance(20 * time.Minute)
		}
		backup := w.fork()
		if _, err := backup.objects.Put(w.ctx(), "root", objstore.Bytes(root), objstore.Condition{}); err != nil {
			t.Fatal(err)
		}
		backup.check(t, name)
		w.clock.advance(time.Hour)
		w.collect(d, o)
		w.check(t, name+", original")
		if n := len(w.keys(repo.RootPrefix)); n > 5 {
			t.Errorf("%s: %d copies of roots are left after the grace", name, n)
		}
	}
}

// check finds no damage.
func (w *world) check(t *testing.T, what string) {
	t.Helper()
	rep, err := Check(w.ctx(), w.objects, w.options(), CheckOptions{Now: w.clock.Now, Level: CheckData, Workers: 2})
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	for _, f := range rep.Findings {
		if f.Severity != Notice {
			t.Errorf("%s: %+v", what, f)
		}
	}
}

// TestUndoAfterIdleness moves a branch away from a version after months in
// which nothing happened: that can be undone for as long as any other move.
func TestUndoAfterIdleness(t *testing.T) {
	w := newWorld(t)
	d := w.open(nil)
	w.move(d, repo.CreateRepo{Repo: "a"})
	first := w.write(d, "a", "main", map[string]string{"f": text(1, 9000)})
	second := w.write(d, "a", "main", map[string]string{"f": text(2, 9000)})
	w.clock.advance(100 * 24 * time.Hour)
	w.move(d, repo.MoveBranch{Repo: "a", Branch: "main", Expect: second, To: first, Force: true})
	for range 2 {
		w.collect(d, Options{})
		w.clock.advance(29 * 12 * time.Hour)
	}
	op, err := d.NewOp()
	if err == nil {
		_, err = repo.Undo(w.ctx(), d, repo.UndoOptions{Repo: "a", Branch: "main", Op: op})
	}
	if err != nil || w.read(d, "a:/f") != text(2, 9000) {
		t.Errorf("undo: %v", err)
	}
}

// TestReplaced names, for copies of roots in order of their generation, when
// each was replaced.
func TestReplaced(t *testing.T) {
	at := func(hour int) time.Time {
		if hour < 0 {
			return time.Time{}
		}
		return time.Date(2026, 11, 20, hour, 0, 0, 0, time.UTC)
	}
	for _, x := range []struct {
		gens, times, want []int // hours; -1: not known
	}{
		{nil, nil, nil},
		{[]int{1}, []int{1}, []int{-1}},
		{[]int{1, 2, 3}, []int{1, 2, 3}, []int{2, 3, -1}},
		{[]int{1, 2, 2, 3}, []int{1, 2, 5, 7}, []int{5, 7, 7, -1}},
		{[]int{1, 4}, []int{1, 4}, []int{4, -1}},
		{[]int{1, 2, 3}, []int{1, -1, 3}, []int{-1, 3, -1}},
		{[]int{1, 2}, []int{5, 2}, []int{5, -1}}, // copied in another order
	} {
		var all []rootCopy
		for i := range x.gens {
			all = append(all, rootCopy{gen: uint64(x.gens[i]), time: at(x.times[i])})
		}
		for i, got := range replaced(all) {
			if !got.Equal(at(x.want[i])) {
				t.Errorf("generations %v written at %v: number %d ends %v, want %v", x.gens, x.times, i, got, at(x.want[i]))
			}
		}
	}
}

// TestClocksDiffer collects with a clock that is days ahead of the store's, or
// behind it: what has just been given up stays for the grace, and no longer.
func TestClocksDiffer(t *testing.T) {
	for _, ahead := range []time.Duration{-100 * time.Hour, 100 * time.Hour} {
		w := newWorld(t)
		d := w.open(nil)
		w.move(d, repo.CreateRepo{Repo: "a"})
		w.write(d, "a", "main", map[string]string{"f": text(1, 9000)})
		drop := w.write(d, "a", "tmp", map[string]string{"f": text(2, 9000)})
		w.move(d, repo.DeleteBranch{Repo: "a", Branch: "tmp", Expect: drop})
		off := Options{Now: func() time.Time { return w.clock.Now().Add(ahead) }, KeepRoots: -1, Force: true}
		at := Options{Now: w.clock.Now, KeepRoots: -1, Force: true}
		for i, o := range []Options{off, at, off} {
			if r, err := Collect(w.ctx(), d, o); err != nil || r.Deleted != 0 {
				t.Errorf("%v ahead, run %d: %d objects deleted, %v", ahead, i, r.Deleted, err)
			}
		}
		w.clock.advance(25 * time.Hour)
		if r, err := Collect(w.ctx(), d, off); err != nil || r.Deleted == 0 || w.holds(text(2, 9000)[:500]) {
			t.Errorf("%v ahead, after the grace: %d objects deleted, %v", ahead, r.Deleted, err)
		}
	}
}
