package repo

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

func reflog(t testing.TB, s Store, repo, branch string) []RefMove {
	t.Helper()
	var all []RefMove
	for m, err := range Reflog(ownerCtx(t), s, repo, branch) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func undo(t testing.TB, d *Direct, o UndoOptions) (RefMove, error) {
	t.Helper()
	var err error
	if o.Op, err = d.NewOp(); err != nil {
		t.Fatal(err)
	}
	return Undo(ownerCtx(t), d, o)
}

func headNow(t testing.TB, d *Direct, repo, branch string) (commit.ID, bool) {
	t.Helper()
	v, err := d.View(ownerCtx(t))
	if err != nil {
		t.Fatal(err)
	}
	b, ok := v.Repos[repo].Branches[branch]
	return b.Commit, ok
}

// TestReflog follows a branch through commits, a reset, other branches'
// moves, its removal and its return, further back than one root remembers.
func TestReflog(t *testing.T) {
	d := newDirect(t, mem.New(mem.Options{}), 1)
	move(t, d, CreateRepo{Repo: "a"})
	c1 := mustPut(t, d, "dev", "f", "1").ID
	for i := range OpsMax + 5 {
		move(t, d, CreateBranch{Repo: "a", Branch: fmt.Sprint("b", i)})
	}
	c2 := mustPut(t, d, "dev", "f", "2").ID
	move(t, d, MoveBranch{Repo: "a", Branch: "dev", Expect: c2, To: c1, Force: true})
	move(t, d, DeleteBranch{Repo: "a", Branch: "dev", Expect: c1})
	move(t, d, CreateBranch{Repo: "a", Branch: "other"})

	want := []RefMove{
		{From: c1, Removed: true}, {From: c2, To: c1}, {From: c1, To: c2}, {To: c1, Made: true},
	}
	got := reflog(t, d, "a", "dev")
	if len(got) != len(want) {
		t.Fatalf("%d moves: %+v", len(got), got)
	}
	for i, m := range got {
		w := want[i]
		if m.From != w.From || m.To != w.To || m.Made != w.Made || m.Removed != w.Removed || m.Time.IsZero() {
			t.Errorf("move %d: %+v", i, m)
		}
	}
	if m := reflog(t, d, "a", "never"); len(m) != 0 {
		t.Errorf("moves of no branch: %+v", m)
	}
}

// TestUndo takes back each kind of move, and an undo.
func TestUndo(t *testing.T) {
	d := newDirect(t, mem.New(mem.Options{}), 1)
	move(t, d, CreateRepo{Repo: "a"})
	c1 := mustPut(t, d, "main", "f", "1").ID
	c2 := mustPut(t, d, "main", "f", "2").ID
	main := UndoOptions{Repo: "a", Branch: "main"}

	if m, err := undo(t, d, main); err != nil || m.To != c2 {
		t.Fatalf("undo a commit: %+v, %v", m, err)
	}
	if at, _ := headNow(t, d, "a", "main"); at != c1 {
		t.Errorf("main is at %v", at.Short())
	}
	if _, err := undo(t, d, main); err != nil {
		t.Fatalf("undo an undo: %v", err)
	}
	if at, _ := headNow(t, d, "a", "main"); at != c2 {
		t.Errorf("main is at %v", at.Short())
	}

	mustPut(t, d, "main", "f", "3")
	moves := reflog(t, d, "a", "main")
	if _, err := undo(t, d, UndoOptions{Repo: "a", Branch: "main", Gen: moves[1].Gen}); err != nil {
		t.Fatal(err)
	}
	if at, _ := headNow(t, d, "a", "main"); at != c1 {
		t.Errorf("before the undo of the undo main was at %v", at.Short())
	}

	move(t, d, CreateBranch{Repo: "a", Branch: "dev", From: c2})
	dev := UndoOptions{Repo: "a", Branch: "dev"}
	for _, there := range []bool{false, true, false} { // made, undone, undone again
		if _, err := undo(t, d, dev); err != nil {
			t.Fatal(err)
		}
		if at, ok := headNow(t, d, "a", "dev"); ok != there || ok && at != c2 {
			t.Errorf("dev is at %v, %v", at.Short(), ok)
		}
	}
	if _, err := undo(t, d, UndoOptions{Repo: "a", Branch: "main", Gen: 2}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("undo of the empty branch's making: %v", err)
	}
	if _, err := undo(t, d, UndoOptions{Repo: "a", Branch: "never"}); !errors.Is(err, ErrRefNotFound) {
		t.Errorf("undo of nothing: %v", err)
	}
}
