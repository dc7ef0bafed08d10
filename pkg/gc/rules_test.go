package gc

import (
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// tales show, each, why one rule of collection is needed.
func tales() map[string]tale {
	return map[string]tale{
		"no floor":                       {rules{noFloor: true}, unpublished},
		"listing before the swap":        {rules{listFirst: true}, betweenListAndSwap},
		"no mark after a lost swap":      {rules{noRemark: true}, revived},
		"open index":                     {rules{openIndex: true}, halfDead},
		"packs above the floor":          {rules{dropAnyPack: true}, lateSession},
		"named while it expires":         {rules{noBack: true}, namedMeanwhile},
		"memo unmarked":                  {rules{ignoreMemo: true}, remembered},
		"clean up on an unknown outcome": {rules{cleanUnknown: true}, unsure},
	}
}

type tale struct {
	rules rules
	play  func(t *testing.T, w *world, r rules)
}

// TestRulesOff plays each story with all rules, when the store is sound
// afterwards, and without the one, when it is not: the tests would notice.
func TestRulesOff(t *testing.T) {
	for name, s := range tales() {
		t.Run(name, func(t *testing.T) {
			for _, r := range []rules{{}, s.rules} {
				w := newWorld(t)
				d := w.open(nil)
				w.move(d, repo.CreateRepo{Repo: "a"})
				w.write(d, "a", "main", map[string]string{"f": text(1, 9000)})
				s.play(t, w, r)
				found := w.damage()
				if r == (rules{}) && len(found) > 0 {
					t.Errorf("with all rules: %+v", found[0])
				}
				if r != (rules{}) && len(found) == 0 {
					t.Errorf("without the rule nothing is found: the story is too tame")
				}
			}
		})
	}
}

// TestRulesOffInHistories looks for the same in random histories, which know
// nothing of the rules. It takes many minutes, so only nightly runs do it.
func TestRulesOffInHistories(t *testing.T) {
	if n, _ := strconv.Atoi(os.Getenv("DVX_SEEDS")); n < 2000 {
		t.Skip("set DVX_SEEDS to 2000 or more, as nightly runs do")
	}
	for name, s := range tales() {
		if s.rules.dropAnyPack {
			continue // it takes a writer that gives up and goes on, which histories do not have
		}
		t.Run(name, func(t *testing.T) {
			started := time.Now()
			for seed := uint64(1); seed <= 2000; seed++ {
				if problem, _ := play(t, seed, 40, s.rules); problem != "" {
					t.Logf("history %d, %v: %.200s", seed, time.Since(started).Round(time.Millisecond), problem)
					return
				}
			}
			t.Error("no history shows it")
		})
	}
}

// damage checks the store in full, and returns what is damaged or indexed
// without what is below it.
func (w *world) damage() []Finding {
	w.t.Helper()
	rep, err := Check(w.ctx(), w.objects, w.options(), CheckOptions{Now: w.clock.Now, Level: CheckData})
	if err != nil {
		w.fatal("%v", err)
	}
	return slices.DeleteFunc(rep.Findings, func(f Finding) bool { return f.Severity == Notice && f.Kind != MissingChunk })
}

// session opens a session and stores a chunk that nothing names yet.
func (w *world) session(d *repo.Direct, text string) repo.Session {
	w.t.Helper()
	s, err := d.Session(w.ctx(), repo.Scope{Repo: "a"})
	if err != nil {
		w.fatal("%v", err)
	}
	w.t.Cleanup(func() { s.Close() })
	if _, err := s.Put(w.ctx(), chunk.Data, []byte(text)); err != nil {
		w.fatal("%v", err)
	}
	if err := s.Flush(w.ctx()); err != nil {
		w.fatal("%v", err)
	}
	return s
}

// publish names what a session wrote in the index.
func (w *world) publish(d *repo.Direct, s repo.Session) error {
	w.t.Helper()
	op, err := d.NewOp()
	if err == nil {
		_, err = d.PublishWith(w.ctx(), s, repo.Txn{Op: op}, repo.Attachments{})
	}
	return err
}

// run collects at once, and does something just before the first swap.
func (w *world) run(r rules, before func()) {
	w.t.Helper()
	first := true
	f := fault.New(w.objects, fault.Options{Delay: func(_ context.Context, c fault.Call) error {
		if first && c.Kind == fault.Put && c.Key == "root" {
			first = false
			before()
		}
		return nil
	}})
	o := Options{Now: w.clock.Now, KeepRoots: -1, Force: true, Immediate: true, rules: r}
	if _, err := Collect(w.ctx(), w.open(f), o); err != nil {
		w.t.Logf("collection: %v", err)
	}
}

// unpublished is about a session that publishes after its packs were orphans.
func unpublished(t *testing.T, w *world, r rules) {
	d := w.open(nil)
	s := w.session(d, "slow")
	w.write(d, "a", "main", map[string]string{"g": "makes the session older than the root"})
	w.run(r, func() {})
	if err := w.publish(d, s); err != nil && !errors.Is(err, repo.ErrDoomed) {
		t.Error(err)
	}
}

// betweenListAndSwap is about a session that publishes while a collection is
// under way.
func betweenListAndSwap(t *testing.T, w *world, r rules) {
	d := w.open(nil)
	s := w.session(d, "slow")
	w.write(d, "a", "main", map[string]string{"g": "makes the session older than the root"})
	w.run(r, func() {
		if err := w.publish(d, s); err != nil {
			t.Error(err)
		}
	})
}

// revived is about a dead version that gets a name while a collection is under
// way.
func revived(_ *testing.T, w *world, r rules) {
	d := w.open(nil)
	dead := w.write(d, "a", "dead", map[string]string{"x": text(2, 9000)})
	w.move(d, repo.DeleteBranch{Repo: "a", Branch: "dead", Expect: dead})
	w.run(r, func() { w.move(d, repo.CreateBranch{Repo: "a", Branch: "alive", From: dead}) })
}

// halfDead is about metadata packs of which a part is dead, with the data below
// that part.
func halfDead(t *testing.T, w *world, r rules) {
	d, ctx := w.open(nil), w.ctx()
	both := w.write(d, "a", "both", map[string]string{"keep/x": "x", "drop/y": text(3, 20_000)})
	s := w.session(d, "new")
	v, err := commit.Load(ctx, s, both)
	if err != nil {
		t.Fatal(err)
	}
	op, _ := d.NewOp()
	v.Parents, v.Op = nil, op.String()
	if v.Tree, err = tree.Apply(ctx, s, v.Tree, []tree.Edit{{Op: tree.Delete, Path: "drop/y"}}); err != nil {
		t.Fatal(err)
	}
	id, err := commit.Save(ctx, s, v)
	if err == nil {
		_, err = s.Publish(ctx, repo.Txn{Op: op, Ops: []repo.Op{repo.MoveBranch{Repo: "a", Branch: "one", To: id}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	w.move(d, repo.DeleteBranch{Repo: "a", Branch: "both", Expect: both})
	w.run(r, func() {})
}

// remembered is about results that only the memo knows.
func remembered(t *testing.T, w *world, r rules) {
	d := w.open(nil)
	out := w.write(d, "a", "out", map[string]string{"result": text(4, 9000)})
	c, err := repo.Resolve(w.ctx(), d, "a@out")
	if err != nil {
		t.Fatal(err)
	}
	w.addMemo(d, c.Commit.Tree, 1)
	w.move(d, repo.DeleteBranch{Repo: "a", Branch: "out", Expect: out})
	w.run(r, func() {})
}

// unsure is about a swap that took effect though its answer was lost.
func unsure(_ *testing.T, w *world, r rules) {
	d := w.open(nil)
	tmp := w.write(d, "a", "tmp", map[string]string{"half": text(2, 9000), "y": text(4, 30_000)})
	w.write(d, "a", "main", map[string]string{"half": text(2, 9000)})
	w.move(d, repo.DeleteBranch{Repo: "a", Branch: "tmp", Expect: tmp})
	lost := 0
	f := fault.New(w.objects, fault.Options{Plan: func(c fault.Call) fault.Effect {
		if c.Kind == fault.Put && c.Key == "root" {
			lost = 1000
		} else if lost == 0 || c.Key != "root" {
			return fault.Effect{}
		}
		lost--
		return fault.Effect{Err: objstore.ErrUnknownOutcome, Apply: true}
	}})
	o := Options{Now: w.clock.Now, KeepRoots: -1, Force: true, Immediate: true, rules: r}
	if _, err := Collect(w.ctx(), w.openFor(f, 1), o); !errors.Is(err, repo.ErrUnknown) {
		w.fatal("the answer was not lost: %v", err)
	}
}

// lateSession plays a session whose swap took effect without its knowing. Its
// packs became garbage, a collection ran, and then the session publishes again
// and names them.
func lateSession(t *testing.T, w *world, r rules) {
	d, ctx := w.open(nil), w.ctx()
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
}
