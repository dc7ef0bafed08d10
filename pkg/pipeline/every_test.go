package pipeline_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
)

// chain returns the contents of a branch's versions, oldest first.
func (b *bench) chain(name string) (all []string) {
	b.Helper()
	view, err := b.store.View(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	for id := view.Repos[name].Branches["main"].Commit; !id.IsZero(); {
		r, err := b.store.Reader(b.ctx, repo.Scope{Repo: name, Commit: id})
		if err != nil {
			b.Fatal(err)
		}
		c, err := commit.Load(b.ctx, r, id)
		if err != nil {
			b.Fatal(err)
		}
		all = append([]string{fmt.Sprint(c.Tree.Files)}, all...)
		if id = (commit.ID{}); len(c.Parents) > 0 {
			id = c.Parents[0]
		}
	}
	return all
}

// TestEveryCommitOrTheNewest: a pipeline that evaluates every commit has an
// output of each, in order, also of those that came while it did not run, and so
// has one behind it; the others take the newest, and record what they passed
// over.
func TestEveryCommitOrTheNewest(t *testing.T) {
	b := newBench(t)
	every := func(s *spec.Spec) { s.Commits = spec.CommitsEvery }
	b.register("all", "src", "main", every)
	b.register("behind", "all", "main", every)
	b.register("newest", "src", "main", nil)
	stop := b.start()
	b.wait()
	stop()
	files := map[string]string{"a": "one", "b": "two", "c": "three"}
	for i := range 4 {
		files[fmt.Sprint("d", i)] = fmt.Sprint("more ", i)
		b.commit(fmt.Sprint("more ", i), files)
	}
	b.start()
	b.wait()
	for _, name := range []string{"all", "behind"} {
		if got := strings.Join(b.chain(name), " "); got != "3 4 5 6 7" {
			t.Errorf("%s has versions of %s files", name, got)
		}
	}
	if got := strings.Join(b.chain("newest"), " "); got != "3 7" {
		t.Errorf("newest has versions of %s files", got)
	}
	if j := b.newest("newest"); len(j.Skipped) != 3 || j.Skipped[0].Repo != "src" {
		t.Errorf("it records %+v as passed over", j.Skipped)
	}
	if j := b.newest("all"); len(j.Skipped) != 0 {
		t.Errorf("who evaluates every commit passes over %+v", j.Skipped)
	}
	b.wantRuns(14) // what two pipelines do alike runs once: 7 files, and 7 in capitals
}

// TestEveryStartsWithTheFirst: without an output, it begins with the oldest
// commit.
func TestEveryStartsWithTheFirst(t *testing.T) {
	b := newBench(t)
	b.commit("second", map[string]string{"a": "one"})
	b.commit("third", map[string]string{"a": "one", "b": "two"})
	b.register("all", "src", "main", func(s *spec.Spec) { s.Commits = spec.CommitsEvery })
	b.start()
	b.wait()
	if got := strings.Join(b.chain("all"), " "); got != "3 1 2" {
		t.Errorf("versions of %s files", got)
	}
}
