package repo

import (
	"errors"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/tree"
)

// TestSetBackUnderASession puts an older root back while a session is at work,
// and lets others go on from there, or not. What the session found in the store
// that was, and did not store itself, is not in the one that is: it must not
// publish it.
func TestSetBackUnderASession(t *testing.T) {
	for _, after := range []int{0, 1, 2, 5} {
		ctx, objects := ownerCtx(t), mem.New(mem.Options{})
		d := newDirect(t, objects, 1)
		move(t, d, CreateRepo{Repo: "a"})
		first := mustPut(t, d, "main", "f", "1")
		old, _, err := objstore.ReadAll(ctx, objects, rootObject, objstore.Range{}, RootSizeMax)
		if err != nil {
			t.Fatal(err)
		}
		mustPut(t, d, "main", "g", "2")
		second := mustPut(t, d, "main", "h", "3")
		s, err := d.newSession(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		lost, err := tree.Open(s, second.Commit.Tree).Lookup(ctx, "g")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := objects.Put(ctx, rootObject, objstore.Bytes(old), objstore.Condition{}); err != nil {
			t.Fatal(err)
		}
		head, others := first, openDirect(t, objects, uint64(10+after))
		for range after { // each an operation of its own: the generation of the session's base comes again
			head = mustPut(t, others, "main", "f", head.ID.String())
		}
		root, err := tree.Apply(ctx, s, first.Commit.Tree, []tree.Edit{{Op: tree.Put, Path: "copy", Entry: lost}})
		if err != nil {
			t.Fatal(err)
		}
		op, err := d.NewOp()
		if err != nil {
			t.Fatal(err)
		}
		id, err := commit.Save(ctx, s, commit.Commit{
			Tree: root, Parents: parentsOf(head.ID, nil), Author: "owner", Time: head.Commit.Time.AddDate(0, 0, 1), Op: op.String(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(ctx, chunk.Data, chunk.ID{1}); err == nil { // it looks whether the root of the day has it
			t.Error("what nobody stored is there")
		}
		_, err = s.Publish(ctx, Txn{Op: op, Ops: []Op{MoveBranch{Repo: "a", Branch: "main", Expect: head.ID, To: id}}})
		if !errors.Is(err, ErrDoomed) {
			t.Errorf("%d transactions later: %v", after, err)
		}
		checkStore(t, objects)
	}
}
