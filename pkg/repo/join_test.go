package repo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

// TestRebaseDisjoint joins changes of different paths, and refuses those of
// the same ones, naming them.
func TestRebaseDisjoint(t *testing.T) {
	d := newDirect(t, mem.New(mem.Options{}), 1)
	move(t, d, CreateRepo{Repo: "a"})
	base := mustPut(t, d, "main", "dir/f", "1").ID
	mustPut(t, d, "main", "dir/theirs", "theirs")
	o := CommitOptions{Policy: RebaseDisjoint, Expect: &base}
	if _, err := put(ownerCtx(t), d, o, "dir/mine", "mine"); err != nil {
		t.Fatal(err)
	}
	for expr, want := range map[string]string{"a:/dir/mine": "mine", "a:/dir/theirs": "theirs", "a:/dir/f": "1"} {
		if got := get(t, d, expr); got != want {
			t.Errorf("%s: %q", expr, got)
		}
	}
	_, err := put(ownerCtx(t), d, o, "dir/theirs", "other")
	var overlap *OverlapError
	if !errors.Is(err, ErrConflict) || !errors.As(err, &overlap) || strings.Join(overlap.Paths, " ") != "dir/theirs" {
		t.Errorf("the same path: %v", err)
	}
	if _, err := put(ownerCtx(t), d, o, "dir/theirs", "theirs"); err != nil {
		t.Errorf("the same path and content: %v", err)
	}
}

// TestRebaseDisjointRace commits from many goroutines, each its own paths:
// all that was acknowledged is there, in one line of versions.
func TestRebaseDisjointRace(t *testing.T) {
	const writers, commits = 4, 8
	objects := mem.New(mem.Options{})
	move(t, newDirect(t, objects, 1), CreateRepo{Repo: "a"})
	var wg sync.WaitGroup
	for w := range writers {
		d := openDirect(t, objects, uint64(10+w))
		wg.Go(func() {
			for i := range commits {
				if _, err := put(ownerCtx(t), d, CommitOptions{Policy: RebaseDisjoint}, fmt.Sprintf("%d/%d", w, i), "x"); err != nil {
					t.Errorf("writer %d: %v", w, err)
				}
			}
		})
	}
	wg.Wait()
	d := openDirect(t, objects, 2)
	n := 0
	for e, err := range Log(context.WithoutCancel(ownerCtx(t)), d, "a", commit.LogOptions{}) {
		if err != nil || len(e.Commit.Parents) > 1 {
			t.Fatalf("%+v, %v", e, err)
		}
		if n++; n == 1 && e.Commit.Tree.Files != writers*commits {
			t.Errorf("%d files", e.Commit.Tree.Files)
		}
	}
	if n != writers*commits {
		t.Errorf("%d versions", n)
	}
	checkStore(t, objects)
}
