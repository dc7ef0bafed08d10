package gc

import (
	"errors"
	"io/fs"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/repo"
)

// TestCollectFrees takes a branch with a large file away: first its packs leave
// the index, after the grace the objects go, and nothing else does.
func TestCollectFrees(t *testing.T) {
	w := newWorld(t)
	d := w.open(nil)
	w.move(d, repo.CreateRepo{Repo: "a"})
	w.write(d, "a", "main", map[string]string{"keep": text(1, 50_000), "dir/x": "small"})
	drop := w.write(d, "a", "tmp", map[string]string{"drop": text(2, 60_000)})
	w.move(d, repo.DeleteBranch{Repo: "a", Branch: "tmp", Expect: drop})
	before := len(w.keys(""))
	r := w.collect(d, Options{DryRun: true, KeepRoots: -1})
	if after := len(w.keys("")); after != before || r.DeadPacks == 0 || r.FreedBytes < 30_000 || !r.DryRun {
		t.Fatalf("%d objects, then %d, report %+v", before, after, r)
	}
	if r := w.collect(d, Options{DryRun: true}); r.DeadPacks+r.RepackedPacks != 0 {
		t.Errorf("what a kept root reaches would go: %+v", r)
	}
	if _, err := Collect(w.ctx(), d, Options{Now: w.clock.Now, KeepRoots: -1}); !errors.Is(err, ErrGuard) || !errors.Is(err, fs.ErrPermission) {
		t.Errorf("more than 30 %%: %v", err)
	}
	first := w.collect(d, Options{KeepRoots: -1, Force: true})
	if first.DeadPacks != r.DeadPacks || first.Deleted != 0 || first.Waiting == 0 {
		t.Errorf("first run %+v", first)
	}
	if !w.holds(text(2, 60_000)[:500]) {
		t.Error("deleted before the grace was over")
	}
	w.clock.advance(25 * time.Hour)
	second := w.collect(d, Options{KeepRoots: -1})
	if second.Deleted == 0 || w.holds(text(2, 60_000)[:500]) {
		t.Errorf("second run %+v", second)
	}
	if got := w.read(w.open(nil), "a:/keep"); got != text(1, 50_000) {
		t.Error("a live file changed")
	}
	third := w.collect(d, Options{KeepRoots: -1, Immediate: true})
	if third.Packs == 0 || third.FreedBytes != 0 || third.DeadPacks != 0 {
		t.Errorf("third run %+v", third)
	}
	if n := len(w.keys(repo.RootPrefix)); n > 3 {
		t.Errorf("%d copies of roots are left", n)
	}
}

// TestCollectOrphans leaves packs of a writer that died: they go once its lease
// has run out, and not while it may live.
func TestCollectOrphans(t *testing.T) {
	w := newWorld(t)
	d := w.open(nil)
	w.move(d, repo.CreateRepo{Repo: "a"})
	dead, err := d.Session(w.ctx(), repo.Scope{Repo: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer dead.Close()
	if _, err := dead.Put(w.ctx(), 1, []byte(text(3, 30_000)[:8000])); err != nil {
		t.Fatal(err)
	}
	if err := dead.Flush(w.ctx()); err != nil {
		t.Fatal(err)
	}
	w.write(d, "a", "main", map[string]string{"f": "x"})
	if r := w.collect(d, Options{}); r.Orphans != 0 || r.Floor >= r.Gen-1 {
		t.Errorf("with a fresh lease: %+v", r)
	}
	w.clock.advance(25 * time.Hour)
	if r := w.collect(d, Options{}); r.Orphans != 2 || r.Deleted != 0 {
		t.Errorf("with an old lease: %+v", r)
	}
	op, _ := d.NewOp()
	if _, err := d.PublishWith(w.ctx(), dead, repo.Txn{Op: op}, repo.Attachments{}); !errors.Is(err, repo.ErrDoomed) {
		t.Errorf("publish below the floor: %v", err)
	}
	w.clock.advance(25 * time.Hour)
	if r := w.collect(d, Options{}); r.Deleted < 2 || w.holds(text(3, 30_000)[:500]) {
		t.Errorf("after the grace: %+v", r)
	}
	if n := len(w.keys(repo.SessionPrefix)); n != 0 {
		t.Errorf("%d session objects are left", n)
	}
}

// TestCollectRepacks rewrites a pack of which most is dead.
func TestCollectRepacks(t *testing.T) {
	w := newWorld(t)
	d := w.open(nil)
	w.move(d, repo.CreateRepo{Repo: "a"})
	w.write(d, "a", "main", map[string]string{"keep": text(1, 20_000), "drop": text(2, 60_000)})
	w.write(d, "a", "other", map[string]string{"keep": text(1, 20_000)})
	main, err := repo.Resolve(w.ctx(), d, "a@main")
	if err != nil {
		t.Fatal(err)
	}
	other, err := repo.Resolve(w.ctx(), d, "a@other")
	if err != nil {
		t.Fatal(err)
	}
	w.move(d, repo.MoveBranch{Repo: "a", Branch: "main", Expect: main.ID, To: other.ID, Force: true})
	r := w.collect(d, Options{KeepRoots: -1, Immediate: true, Force: true})
	if r.RepackedPacks == 0 || r.CopiedBytes < 10_000 || w.holds(text(2, 60_000)[:500]) {
		t.Errorf("report %+v", r)
	}
	if w.read(w.open(nil), "a@main:/keep") != text(1, 20_000) {
		t.Error("a live file changed")
	}
	if again := w.collect(d, Options{KeepRoots: -1, Immediate: true}); again.RepackedPacks+again.DeadPacks != 0 {
		t.Errorf("a second run finds more: %+v", again)
	}
}
