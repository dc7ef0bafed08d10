package gc

import (
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/repo"
)

// TestRulesOff switches off one rule at a time: the random histories must show
// that each is needed. Were one not found, the histories would be too tame. A
// plain test begins with a history that is known to show it; with DVX_SEEDS
// all are tried.
func TestRulesOff(t *testing.T) {
	for name, c := range map[string]struct {
		rules rules
		shown uint64
	}{
		"no floor":                       {rules{noFloor: true}, 116},
		"listing before the swap":        {rules{listFirst: true}, 15},
		"no mark after a lost swap":      {rules{noRemark: true}, 190},
		"open index":                     {rules{openIndex: true}, 11},
		"memo unmarked":                  {rules{ignoreMemo: true}, 11},
		"clean up on an unknown outcome": {rules{cleanUnknown: true}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			first := c.shown
			if os.Getenv("DVX_SEEDS") != "" {
				first = 1
			}
			started := time.Now()
			for seed := first; seed < first+400; seed++ {
				if problem, _ := play(t, seed, 40, c.rules); problem != "" {
					t.Logf("history %d, %v: %.200s", seed, time.Since(started).Round(time.Millisecond), problem)
					return
				}
			}
			t.Error("no history shows it")
		})
	}
}

// lateSession plays a session whose swap took effect without its knowing. Its
// packs became garbage, a collection ran, and then the session publishes again
// and names them. It returns what the check of the store finds.
func lateSession(t *testing.T, r rules) []Finding {
	w := newWorld(t)
	d := w.open(nil)
	ctx := w.ctx()
	w.move(d, repo.CreateRepo{Repo: "a"})
	w.write(d, "a", "main", map[string]string{"f": text(1, 9000)})
	lost := 0
	f := fault.New(w.objects, fault.Options{Plan: func(c fault.Call) fault.Effect {
		if c.Key != "root" || lost == 0 || lost == 3 && c.Kind != fault.Put {
			return fault.Effect{}
		}
		lost--
		return fault.Effect{Err: objstore.ErrUnknownOutcome, Apply: true}
	}})
	unsure := w.openFor(f, 1)
	s, err := unsure.Session(ctx, repo.Scope{Repo: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Put(ctx, chunk.Data, []byte("garbage as long as nothing names it")); err != nil {
		t.Fatal(err)
	}
	lost = 3
	op, _ := d.NewOp()
	if _, err := unsure.PublishWith(ctx, s, repo.Txn{Op: op}, repo.Attachments{}); !errors.Is(err, repo.ErrUnknown) {
		t.Fatalf("the answer was not lost: %v", err)
	}
	for range 2 { // the second deletes
		if _, err := Collect(ctx, d, Options{Now: w.clock.Now, KeepRoots: -1, Force: true, rules: r}); err != nil {
			t.Fatal(err)
		}
		w.clock.advance(GraceMin)
		if _, err := Collect(ctx, d, Options{Now: w.clock.Now, KeepRoots: -1, Force: true, Grace: GraceMin, rules: r}); err != nil {
			t.Fatal(err)
		}
	}
	op, _ = d.NewOp()
	if _, err := unsure.PublishWith(ctx, s, repo.Txn{Op: op}, repo.Attachments{}); err != nil {
		t.Logf("the session was refused: %v", err)
	}
	rep, err := Check(ctx, w.objects, w.options(), CheckOptions{Now: w.clock.Now, Level: CheckData})
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(rep.Findings, func(f Finding) bool { return f.Severity == Notice })
}

// TestPacksAboveTheFloor shows why packs of sessions that may still publish
// stay in the index.
func TestPacksAboveTheFloor(t *testing.T) {
	if found := lateSession(t, rules{}); len(found) != 0 {
		t.Errorf("found %+v", found)
	}
	if found := lateSession(t, rules{dropAnyPack: true}); len(found) == 0 {
		t.Error("without the rule nothing is found: the story is too tame")
	}
}
