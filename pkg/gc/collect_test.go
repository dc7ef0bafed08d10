package gc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
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

// TestCollectRepacksDamaged rewrites packs of which most is dead, where the copy
// of a live chunk that stands for it is damaged: another writer has stored the
// same chunk at the same time.
func TestCollectRepacksDamaged(t *testing.T) {
	keep := text(1, 300) // one chunk, the first of its packs
	for _, s := range []struct {
		name   string
		damage func(w *world, key string)
	}{
		{"chunk", func(w *world, key string) { w.flip(key, 30) }},
		{"footer", func(w *world, key string) { w.flip(key, -60) }},
		{"gone", remove},
	} {
		t.Run(s.name, func(t *testing.T) {
			w := newWorld(t)
			d := w.open(nil)
			w.move(d, repo.CreateRepo{Repo: "a"})
			w.write(d, "a", "main", map[string]string{"z": "z"})
			var other commit.ID
			one := w.put(d, "one", func() { other = w.put(w.open(nil), "other", nil, keep, text(3, 60_000)) }, keep, text(2, 60_000))
			w.write(d, "a", "main", map[string]string{"0": keep})
			last, err := repo.Resolve(w.ctx(), d, "a@main")
			if err != nil {
				t.Fatal(err)
			}
			w.move(d, repo.DeleteBranch{Repo: "a", Branch: "one", Expect: one}, repo.DeleteBranch{Repo: "a", Branch: "other", Expect: other})
			var twins []string
			for _, key := range w.keys(pack.PackPrefix) {
				if w.packHolds(key, keep) {
					twins = append(twins, key)
				}
			}
			if len(twins) != 2 {
				t.Fatalf("the chunk is in %d packs", len(twins))
			}
			s.damage(w, slices.Max(twins))
			r := w.collect(w.open(nil), Options{KeepRoots: -1, Immediate: true, Force: true})
			if r.RepackedPacks == 0 {
				t.Fatalf("nothing was rewritten: %+v", r)
			}
			if found := w.damage(); len(found) > 0 {
				t.Errorf("damage: %+v", found[0])
			}
			if got := w.read(w.open(nil), "a@"+last.ID.String()+":/0"); got != keep {
				t.Errorf("it is %.40q now", got)
			}
		})
	}
}

// put commits texts to a branch, each under its number; between them and the
// swap it calls meanwhile, if that is not nil.
func (w *world) put(d *repo.Direct, branch string, meanwhile func(), texts ...string) commit.ID {
	w.t.Helper()
	op, err := d.NewOp()
	if err != nil {
		w.fatal("%v", err)
	}
	o := repo.CommitOptions{Repo: "a", Branch: branch, Op: op, Author: "t", Time: w.clock.Now()}
	res, err := repo.Commit(w.ctx(), d, o, func(ctx context.Context, dr *repo.Draft) (tree.Root, error) {
		var edits []tree.Edit
		for i, text := range texts {
			c, err := chunk.WriteContent(ctx, dr, d.Config().Chunker, strings.NewReader(text))
			if err != nil {
				return tree.Root{}, err
			}
			edits = append(edits, tree.Edit{Op: tree.Put, Path: fmt.Sprint(i), Entry: tree.Entry{Kind: tree.File, Content: c}})
		}
		if meanwhile != nil {
			meanwhile()
		}
		return dr.Apply(ctx, edits)
	})
	if err != nil {
		w.fatal("%v", err)
	}
	return res.ID
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

// TestSlowCollectionLeavesItsGrave has a collection take longer than its grace:
// a session that began before still learns of it.
func TestSlowCollectionLeavesItsGrave(t *testing.T) {
	w := newWorld(t)
	d := w.open(nil)
	w.move(d, repo.CreateRepo{Repo: "a"})
	w.write(d, "a", "main", map[string]string{"f": text(1, 500)})
	before, err := d.Root(w.ctx())
	if err != nil {
		t.Fatal(err)
	}
	w.collect(w.open(nil), Options{Progress: func(p Progress) {
		if p.Phase == "list" {
			w.clock.advance(48 * time.Hour)
		}
	}})
	after, err := w.open(nil).Root(w.ctx())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(after.Graveyard); n != 1 || after.Graveyard[0].Gen <= before.Gen {
		t.Errorf("graves %+v after generation %d", after.Graveyard, before.Gen)
	}
}
