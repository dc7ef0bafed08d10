package repo

import (
	"context"
	"errors"
	"io/fs"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

func TestCollect(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	ctx := ownerCtx(t)
	move(t, d, CreateRepo{Repo: "a"})
	old, err := d.Session(ctx, Scope{Repo: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer old.Close()
	mustPut(t, d, "main", "f", "text")
	g, err := d.Collector(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := objects.Stat(ctx, SessionPrefix+g.Name); err != nil {
		t.Error(err)
	}
	tries := 0
	root, err := d.Collect(ctx, fixedOp(1), func(ctx context.Context, base *Root) (Collection, error) {
		if tries++; tries == 1 {
			mustPut(t, openDirect(t, objects, 2), "main", "g", "another was faster")
		}
		key, err := d.packs.MergeSegments(ctx, g.Name, tries, base.segmentKeys())
		snap, err2 := d.packs.Snapshot(ctx, []string{key})
		if err = errors.Join(err, err2); err != nil {
			return Collection{}, err
		}
		return Collection{Start: g.Start, Drop: base.segmentKeys(), Add: describe(snap), Floor: g.Start, Bury: []Grave{{List: "gc/x/y"}}}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if tries != 2 || len(root.Segments) != 1 || root.Floor != g.Start || len(root.Graveyard) != 1 || root.Graveyard[0].Gen != root.Gen {
		t.Errorf("after %d tries %+v", tries, root)
	}
	if _, err := old.Put(ctx, chunk.Data, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.PublishWith(ctx, old, Txn{Op: fixedOp(2)}, Attachments{}); !errors.Is(err, ErrDoomed) {
		t.Errorf("a session below the floor: %v", err)
	}
	if _, err := d.PublishWith(ctx, nil, Txn{Op: fixedOp(3)}, Attachments{AddMemo: []string{"memo/000000000001-x"}}); !errors.Is(err, ErrDoomed) {
		t.Errorf("a memo segment below the floor: %v", err)
	}
	for name, c := range map[string]struct {
		c    Collection
		kind error
	}{
		"floor ahead":     {Collection{Floor: root.Gen + 1}, fs.ErrInvalid},
		"doomed":          {Collection{Start: 1}, ErrDoomed},
		"segment is gone": {Collection{Drop: []string{"idx/x"}}, errMoved},
		"list is gone":    {Collection{Unbury: []string{"gc/x"}}, ErrConflict},
	} {
		op, _ := d.NewOp()
		_, err := d.Collect(ctx, op, func(context.Context, *Root) (Collection, error) { return c.c, nil })
		if !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	op, _ := d.NewOp()
	if root, err = d.Collect(ctx, op, func(context.Context, *Root) (Collection, error) {
		return Collection{Unbury: []string{"gc/x/y"}}, nil
	}); err != nil || root.Graveyard != nil {
		t.Errorf("%+v, %v", root, err)
	}
	checkStore(t, objects)
}

func TestAttachedGen(t *testing.T) {
	for key, want := range map[string]uint64{"memo/000000000012-ab": 12, "history/1234567890123-x": 1234567890123} {
		if gen, ok := AttachedGen(key); !ok || gen != want {
			t.Errorf("%s: %d, %v", key, gen, ok)
		}
	}
	for _, key := range []string{"memo/1", "memo/12-x", "memo/00000000001x-y", "memo", "memo/00000000000000001-x"} {
		if gen, ok := AttachedGen(key); ok {
			t.Errorf("%s: %d", key, gen)
		}
	}
}
