package repo

import (
	"errors"
	"slices"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/tree"
)

// left is a session that died: it flushed a directory with a file.
func left(t *testing.T, d *Direct, text string) (*session, tree.Root) {
	t.Helper()
	s, err := d.newSession(ownerCtx(t))
	if err != nil {
		t.Fatal(err)
	}
	id, err := s.Put(ownerCtx(t), chunk.Data, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	file := tree.Entry{Kind: tree.File, Content: chunk.Content{ID: id, Size: int64(len(text))}}
	root, err := tree.Apply(ownerCtx(t), s, tree.Root{}, []tree.Edit{{Op: tree.Put, Path: "f", Entry: file}})
	if err == nil {
		err = s.Flush(ownerCtx(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	return s, root
}

// TestAdopt takes over what a session left, once: what comes after finds it and
// stores nothing again.
func TestAdopt(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	move(t, d, CreateRepo{Repo: "a"})
	dead, root := left(t, d, "text")
	keys := dead.Segments()
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time there is nothing left to do
		s, err := d.newSession(ownerCtx(t))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		op, _ := d.NewOp()
		if _, err := d.PublishWith(ownerCtx(t), s, Txn{Op: op}, Attachments{Adopt: slices.Concat(keys, keys)}); err != nil {
			t.Fatal(err)
		}
		if b, err := s.Get(ownerCtx(t), chunk.Node, chunk.ID(root.ID)); err != nil || len(b) == 0 {
			t.Errorf("the session that adopted does not find it: %v", err)
		}
	}
	r, _ := d.Root(ownerCtx(t))
	if len(r.Segments) != 1 {
		t.Errorf("%d segments", len(r.Segments))
	}
	res := mustPut(t, d, "main", "f", "text")
	if res.Commit.Tree.Content != root.Content {
		t.Error("another directory")
	}
	if _, err := openDirect(t, objects, 2).ReadAny(ownerCtx(t)); err != nil {
		t.Fatal(err)
	}
	checkStore(t, objects)
}

// TestAdoptRefused takes over nothing that collection may have taken, or that
// is not complete.
func TestAdoptRefused(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	move(t, d, CreateRepo{Repo: "a"})
	adopt := func(keys []string) error {
		s, err := d.newSession(ownerCtx(t))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		op, _ := d.NewOp()
		_, err = d.PublishWith(ownerCtx(t), s, Txn{Op: op}, Attachments{Adopt: keys})
		return err
	}
	half, err := d.newSession(ownerCtx(t))
	if err != nil {
		t.Fatal(err)
	}
	defer half.Close()
	lost := chunk.Content{ID: chunk.Data.Sum([]byte("lost")), Size: 4}
	if _, err := tree.Apply(ownerCtx(t), half, tree.Root{}, []tree.Edit{{Op: tree.Put, Path: "f", Entry: tree.Entry{Kind: tree.File, Content: lost}}}); err != nil {
		t.Fatal(err)
	}
	if err := half.Flush(ownerCtx(t)); err != nil {
		t.Fatal(err)
	}
	if err := adopt(half.Segments()); !errors.Is(err, chunk.ErrNotFound) {
		t.Errorf("incomplete: %v", err)
	}
	dead, _ := left(t, d, "text")
	defer dead.Close()
	move(t, d, CreateBranch{Repo: "a", Branch: "b"})
	collect(t, d, func(r *Root) { r.Floor = r.Gen })
	if err := adopt(dead.Segments()); !errors.Is(err, ErrDoomed) {
		t.Errorf("below the floor: %v", err)
	}
	if err := adopt([]string{"idx/0000000000000009-x/00000000"}); err == nil {
		t.Error("a segment that is not there was adopted")
	}
	checkStore(t, objects)
}
