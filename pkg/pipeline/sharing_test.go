package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
)

func (b *bench) move(ops ...repo.Op) {
	b.Helper()
	if _, err := b.store.Move(b.ctx, repo.Txn{Op: b.op(), Ops: ops}); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) head(expr string) repo.Resolved {
	b.Helper()
	h, err := repo.Resolve(b.ctx, b.store, expr)
	if err != nil {
		b.Fatal(err)
	}
	return h
}

// TestSameWorkRunsOnce: a pipeline that was made again or under another name, a
// copy of its input under another name and a staging copy execute nothing.
func TestSameWorkRunsOnce(t *testing.T) {
	b := newBench(t)
	b.register("up", "src", "main", nil)
	b.start()
	b.wait()
	b.wantRuns(3)
	want := b.files("up@main")

	if err := pipeline.Unregister(b.ctx, b.store, "up", "main", false, b.op()); err != nil {
		t.Fatal(err)
	}
	b.register("up", "src", "main", nil)
	b.register("again", "src", "main", nil)
	b.commitTo("renamed", "", "the same", map[string]string{"a": "one", "b": "two", "c": "three"})
	b.register("other", "renamed", "main", func(s *spec.Spec) { s.Input.Name = "src" })
	b.move(repo.CreateBranch{Repo: "src", Branch: "staging", From: b.head("src@main").ID, Fork: "main"})
	b.register("up", "src", "staging", nil)
	if s := b.wait(); s.Err() != nil {
		t.Fatal(s.Err())
	}
	b.wantRuns(3)
	for _, expr := range []string{"up@main", "again@main", "other@main", "up@staging"} {
		b.wantFiles(expr, want)
	}
}

// TestSuccessesOfAFailedJobStay: after the fix only what failed runs.
func TestSuccessesOfAFailedJobStay(t *testing.T) {
	b := newBench(t)
	b.runner.fail = map[string]bool{"b": true}
	b.register("up", "src", "main", nil)
	stop := b.start()
	if s := b.wait(); len(s.Failed) != 1 {
		t.Fatalf("settlement %+v", s)
	}
	b.wantRuns(3)
	stop()
	b.runner.fail = nil
	b.register("up", "src", "main", func(s *spec.Spec) { s.Transform.AcceptReturnCode = []int{3} })
	b.start()
	b.wait()
	b.wantRuns(4)
	b.wantFiles("up@main", map[string]string{"a": "ONE", "b": "TWO", "c": "THREE"})
}

// diamond registers b and c over src, d over both, and e over d.
func (b *bench) diamond() {
	b.register("b", "src", "main", nil)
	b.register("c", "src", "main", nil)
	b.register("d", "", "main", func(s *spec.Spec) { s.Input = joined() })
	b.register("e", "d", "main", nil)
}

func joined() spec.Input {
	return spec.Input{Cross: []spec.Input{{Repo: "b", Glob: "/*"}, {Repo: "c", Glob: "/"}}}
}

// wantOneOrigin checks every commit of a branch.
func (b *bench) wantOneOrigin(expr string) (commits int) {
	b.Helper()
	for id := b.head(expr).ID; !id.IsZero(); commits++ {
		r, err := b.store.ReadAny(b.ctx)
		if err != nil {
			b.Fatal(err)
		}
		c, err := commit.Load(b.ctx, r, id)
		if err != nil {
			b.Fatal(err)
		}
		if len(c.Origins) != 1 {
			b.Fatalf("commit %s of %s derives from %v", id.Short(), expr, c.Origins)
		}
		if id = (commit.ID{}); len(c.Parents) > 0 {
			id = c.Parents[0]
		}
	}
	return commits
}

// TestDiamond: while commits come in at any moment, each output of the joined
// pipelines is of one version of the source, and the last of the last.
func TestDiamond(t *testing.T) {
	b := newBench(t)
	b.diamond()
	b.start()
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 12 {
		b.commit("more", map[string]string{"a": fmt.Sprint("version ", i), "b": "two"})
		for range r.IntN(4) {
			b.next(b.ctx, pipeline.OpenJobs(b.store, "test"))
		}
	}
	if s := b.wait(); s.Err() != nil {
		t.Fatal(s.Err())
	}
	for _, name := range []string{"d@main", "e@main"} {
		b.wantOneOrigin(name)
	}
	b.wantFiles("e@main", map[string]string{"a": "VERSION 11", "b": "TWO"})
	if d, e := b.head("d@main").Commit.Run, b.head("c@main").Commit.Run; d == "" || d != e {
		t.Errorf("runs %q and %q", d, e)
	}
}

// TestEnvironment: one stage of a diamond of four is tried out on a branch of
// its own. It reads main for the rest, a branch that is made later changes
// nothing, and it is promoted without running anything.
func TestEnvironment(t *testing.T) {
	b := newBench(t)
	b.diamond()
	b.start()
	b.wait()
	before := b.runner.count()
	main := b.head("d@main").ID

	b.move(repo.CreateBranch{Repo: "c", Branch: "test", From: b.head("c@main").ID, Fork: "main"})
	b.register("c", "src", "test", func(s *spec.Spec) { s.Reprocess = "another version" })
	if s := b.wait(); s.Err() != nil {
		t.Fatal(s.Err())
	}
	b.wantRuns(before + 3)
	if n := b.wantOneOrigin("c@test"); n != 2 {
		t.Errorf("the branch has %d commits, want that of main and its own", n)
	}
	if b.head("d@main").ID != main {
		t.Error("main has moved")
	}

	b.commitTo("src", "", "more", map[string]string{"a": "one", "b": "new"})
	b.wait()
	tested := b.head("c@test")
	b.move(repo.CreateBranch{Repo: "src", Branch: "test", From: b.head("src@main").ID, Fork: "main"})
	b.commitTo("src", "test", "later", map[string]string{"z": "not for the pipeline"})
	b.wait()
	if b.head("c@test").ID != tested.ID {
		t.Error("a branch that was made later has changed what the pipeline reads")
	}
	if in := tested.Commit.Prov.Inputs[0].Ref; in.Branch != "main" {
		t.Errorf("the pipeline reads %+v", in)
	}

	runs := b.runner.count()
	b.register("c", "src", "main", func(s *spec.Spec) { s.Reprocess = "another version" })
	if s := b.wait(); s.Err() != nil {
		t.Fatal(s.Err())
	}
	b.wantRuns(runs)
	if got := b.files("c@main"); strings.Join(keys(got), " ") != "a b" {
		t.Errorf("after the promotion: %v", got)
	}
}

func keys(m map[string]string) []string {
	var all []string
	for _, k := range []string{"a", "b", "c", "z"} {
		if _, ok := m[k]; ok {
			all = append(all, k)
		}
	}
	return all
}

// movedBefore is a store in which a branch moves just before each of the first
// moves of anybody.
type movedBefore struct {
	repo.Store

	times int
	move  func()
}

func (m *movedBefore) Move(ctx context.Context, t repo.Txn) (repo.Result, error) {
	if m.times > 0 {
		m.times--
		m.move()
	}
	return m.Store.Move(ctx, t)
}

// TestUnregisterBesideAJob: outputs that jobs publish meanwhile go too; another
// version of the spec does not.
func TestUnregisterBesideAJob(t *testing.T) {
	b := newBench(t)
	b.register("up", "src", "main", nil)
	b.commitTo("up", "", "main", map[string]string{"a": "main"})
	register := func(reprocess string) {
		b.register("up", "src", "try", func(s *spec.Spec) { s.Input.Branch, s.Reprocess = "main", reprocess })
	}
	n := 0
	publish := func() {
		n++
		b.commitTo("up", "try", "an output", map[string]string{"a": fmt.Sprint(n)})
	}
	register("")
	b.move(repo.CreateBranch{Repo: "up", Branch: "try", From: b.head("up@main").ID, Fork: "main"})
	store := &movedBefore{Store: b.store, times: 3, move: publish}
	if err := pipeline.Unregister(b.ctx, store, "up", "try", true, b.op()); err != nil || n != 3 {
		t.Fatalf("%v after %d outputs", err, n)
	}
	view, err := b.store.View(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := view.Repos["up"].Branches["try"]; ok {
		t.Error("the branch of the outputs is there")
	}

	register("")
	store.times, store.move = 1, func() { register("again") }
	if err := pipeline.Unregister(b.ctx, store, "up", "try", true, b.op()); !errors.Is(err, repo.ErrConflict) {
		t.Errorf("with another version: %v", err)
	}
}
