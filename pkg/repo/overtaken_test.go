package repo

import (
	"context"
	"errors"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

// TestOvertakenRoot: while a session is about to publish on a root, a read moves
// it to a newer one, and it finds there what it then relies on. The older root
// lacks that, which says nothing against the session.
func TestOvertakenRoot(t *testing.T) {
	ctx, objects := ownerCtx(t), mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	move(t, d, CreateRepo{Repo: "a"})
	s, err := d.newSession(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	old, err := d.load(ctx)
	if err != nil {
		t.Fatal(err)
	}

	text := "what another has stored since, and the session finds"
	put := mustPut(t, openDirect(t, objects, 2), "main", "f", text)
	if _, err := s.Get(ctx, chunk.Commit, chunk.ID(put.ID)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Put(ctx, chunk.Data, []byte(text)); err != nil {
		t.Fatal(err)
	}
	op, err := d.NewOp()
	if err != nil {
		t.Fatal(err)
	}
	txn := Txn{Op: op, Ops: []Op{CreateBranch{Repo: "a", Branch: "b", From: put.ID}}}
	p := publication{s: s, t: txn}
	if err := p.ground(ctx, old); !errors.Is(err, errOvertaken) {
		t.Fatalf("on the older root: %v", err)
	}
	if _, err := s.Publish(ctx, txn); err != nil {
		t.Error(err)
	}
	checkStore(t, objects)
}

// TestSwapAfterOvertaken: a swap on a root that turned out to be old begins anew.
func TestSwapAfterOvertaken(t *testing.T) {
	ctx := ownerCtx(t)
	d := newDirect(t, mem.New(mem.Options{}), 1)
	op, err := d.NewOp()
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	_, _, err = d.swap(ctx, Txn{Op: op, Ops: []Op{CreateRepo{Repo: "a"}}}, func(ctx context.Context, _ *loaded) (Env, error) {
		if tries++; tries == 1 {
			return Env{}, errOvertaken
		}
		return d.env(ctx)
	})
	if err != nil || tries != 2 {
		t.Errorf("%v after %d tries", err, tries)
	}
}
