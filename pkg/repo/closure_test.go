package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/tree"
)

// files makes a directory of one file per path, with the path as its bytes; a
// path that ends in "/" is an empty directory.
func files(ctx context.Context, t testing.TB, s chunk.Store, paths ...string) tree.Root {
	t.Helper()
	var edits []tree.Edit
	empty, err := tree.Empty(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if dir, ok := strings.CutSuffix(path, "/"); ok {
			edits = append(edits, tree.Edit{Op: tree.Put, Path: dir, Entry: tree.Entry{Kind: tree.Dir, Dir: empty}})
			continue
		}
		c, err := chunk.WriteContent(ctx, s, chunk.DefaultParams(), bytes.NewReader([]byte(path)))
		if err != nil {
			t.Fatal(err)
		}
		edits = append(edits, tree.Edit{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.File, Content: c}})
	}
	root, err := tree.Apply(ctx, s, tree.Root{}, edits)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// forge returns root with what old stands for replaced by bytes of equal
// length in the node at path, and the nodes above made to fit: each is sound
// by itself, and the content IDs say what they said.
func forge(ctx context.Context, t testing.TB, s chunk.Store, root tree.Root, path []string, old, fresh []byte) tree.Root {
	t.Helper()
	if len(path) > 0 {
		e, err := tree.Open(s, root).Lookup(ctx, path[0])
		if err != nil {
			t.Fatal(err)
		}
		below := forge(ctx, t, s, e.Dir, path[1:], old, fresh)
		old, fresh = e.Dir.ID[:], below.ID[:]
	}
	node, err := s.Get(ctx, chunk.Node, chunk.ID(root.ID))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(node, old) != 1 {
		t.Fatalf("node holds %x %d times", old, bytes.Count(node, old))
	}
	id, err := s.Put(ctx, chunk.Node, bytes.Replace(node, old, fresh, 1))
	if err != nil {
		t.Fatal(err)
	}
	root.ID = tree.ID(id)
	return root
}

// TestForgedBelowGraft publishes directories of nodes that are sound one by
// one, of which the deepest is not what the one above says. It comes in as a
// new directory, under a new name, and through chunks that were in the store
// before, where no commit reached them.
func TestForgedBelowGraft(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	ctx := ownerCtx(t)
	move(t, d, CreateRepo{Repo: "a"})
	mustPut(t, d, "main", "x/f", "text")
	mustPut(t, d, "main", "x/y/z/f", "text")

	attrs := tree.Attrs{Time: testTime, ContentType: "text/plain"}
	graft := func(path string, e tree.Entry) func(Session, tree.Root, tree.Root) (tree.Root, error) {
		return func(s Session, base, dir tree.Root) (tree.Root, error) {
			e.Kind, e.Dir = tree.Dir, dir
			return tree.Apply(ctx, s, base, []tree.Edit{{Op: tree.Put, Path: path, Entry: e, SetAttrs: true}})
		}
	}
	for name, into := range map[string]func(s Session, base, dir tree.Root) (tree.Root, error){
		"added":             graft("new", tree.Entry{}),
		"added deeper":      graft("x/y/new", tree.Entry{}),
		"added with attrs":  graft("new", tree.Entry{Attrs: attrs}),
		"added with marker": graft("new", tree.Entry{Marker: &tree.Marker{}}),
		"in place of another, with marker and attrs": graft("x/y", tree.Entry{Marker: &tree.Marker{Attrs: attrs}, Attrs: attrs}),
		"the whole tree": func(_ Session, _, dir tree.Root) (tree.Root, error) { return dir, nil },
	} {
		for i := range 4 {
			before, lie := i%2 == 1, [2]string{"file", "elif"}
			if i/2 == 1 {
				lie = [2]string{"none/", "more/"}
			}
			s, err := d.Session(ctx, Scope{Repo: "a", Branch: "main"})
			if err != nil {
				t.Fatal(err)
			}
			honest, forged := forgery(ctx, t, s, lie)
			if before {
				o, _ := d.NewOp()
				if _, err := d.PublishWith(ctx, s, Txn{Op: o}, Attachments{}); err != nil {
					t.Fatal(err)
				}
			}
			for dir, want := range map[tree.Root]error{honest: nil, forged: chunk.ErrCorrupt} {
				if err := publishTree(ctx, t, d, s, func(base tree.Root) (tree.Root, error) { return into(s, base, dir) }); !errors.Is(err, want) {
					t.Errorf("%s, %s, stored before: %v, honest: %v: %v", name, lie[0], before, want == nil, err)
				}
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	checkStore(t, objects)
}

// TestForgedParent publishes a directory that was made of a forged one: first as
// the child of a commit with that one, then of a sound commit. What was verified
// only against the forged one is not taken for sound.
func TestForgedParent(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	ctx := ownerCtx(t)
	move(t, d, CreateRepo{Repo: "a"})
	head := mustPut(t, d, "main", "f", "text")
	s, err := d.Session(ctx, Scope{Repo: "a", Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_, forged := forgery(ctx, t, s, [2]string{"file", "elif"})
	made, err := tree.Apply(ctx, s, forged, []tree.Edit{{Op: tree.Put, Path: "s", Entry: tree.Entry{Kind: tree.File}}})
	if err != nil {
		t.Fatal(err)
	}
	save := func(root tree.Root, parent commit.ID, after time.Duration) commit.ID {
		id, err := commit.Save(ctx, s, commit.Commit{
			Tree: root, Parents: []commit.ID{parent}, Author: "x", Time: head.Commit.Time.Add(after), Op: fixedOp(1).String(),
		})
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	for i, to := range []commit.ID{save(made, save(forged, head.ID, time.Second), time.Minute), save(made, head.ID, time.Minute)} {
		o, err := d.NewOp()
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Publish(ctx, Txn{Op: o, Ops: []Op{MoveBranch{Repo: "a", Branch: "main", Expect: head.ID, To: to}}})
		if !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("try %d: %v", i, err)
		}
	}
	checkStore(t, objects)
}

// forgery returns a directory that holds lie[0] at p/q/deep, and one that says
// the same and holds lie[1] there.
func forgery(ctx context.Context, t testing.TB, s chunk.Store, lie [2]string) (honest, forged tree.Root) {
	t.Helper()
	deep := func(name string) (root tree.Root, at tree.Entry) {
		root = files(ctx, t, s, "p/q/deep/"+name, "p/q/other", "r")
		at, err := tree.Open(s, root).Lookup(ctx, "p/q/deep")
		if err != nil {
			t.Fatal(err)
		}
		return root, at
	}
	honest, said := deep(lie[0])
	_, held := deep(lie[1])
	return honest, forge(ctx, t, s, honest, []string{"p", "q"}, said.Dir.ID[:], held.Dir.ID[:])
}

// publishTree commits what change makes of the head's tree, by hand.
func publishTree(ctx context.Context, t testing.TB, d *Direct, s Session, change func(tree.Root) (tree.Root, error)) error {
	t.Helper()
	res, err := Resolve(ctx, d, "a@main")
	if err != nil {
		t.Fatal(err)
	}
	root, err := change(res.Commit.Tree)
	if err != nil {
		t.Fatal(err)
	}
	o, err := d.NewOp()
	if err != nil {
		t.Fatal(err)
	}
	id, err := commit.Save(ctx, s, commit.Commit{
		Tree: root, Parents: []commit.ID{res.ID}, Author: "x", Time: res.Commit.Time.Add(time.Second), Op: o.String(),
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Publish(ctx, Txn{Op: o, Ops: []Op{MoveBranch{Repo: "a", Branch: "main", Expect: res.ID, To: id}}})
	return err
}

// counting counts what is read through it.
type counting struct {
	chunk.Reader
	n int
}

func (c *counting) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	c.n++
	return c.Reader.Get(ctx, kind, id)
}

// TestClosureCost checks commits to a directory of 30,000 files: what is read
// follows the change.
func TestClosureCost(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	ctx := ownerCtx(t)
	move(t, d, CreateRepo{Repo: "a"})
	mustPut(t, d, "main", "f", "text")
	s, err := d.Session(ctx, Scope{Repo: "a", Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var edits []tree.Edit
	for i := range 30_000 {
		edits = append(edits, tree.Edit{Op: tree.Put, Path: fmt.Sprintf("d%03d/f%05d", i/300, i), Entry: tree.Entry{Kind: tree.File}})
	}
	big, err := tree.Apply(ctx, s, tree.Root{}, edits)
	if err != nil {
		t.Fatal(err)
	}
	if err := publishTree(ctx, t, d, s, func(tree.Root) (tree.Root, error) { return big, nil }); err != nil {
		t.Fatal(err)
	}
	small := files(ctx, t, s, "p/q/deep/file", "p/q/other", "r")
	for name, tt := range map[string]struct {
		edit tree.Edit
		max  int
	}{
		"a file":               {tree.Edit{Op: tree.Put, Path: "d050/f15050", Entry: tree.Entry{Kind: tree.File, Exec: true}}, 30},
		"a file in a new dir":  {tree.Edit{Op: tree.Put, Path: "n/e/w", Entry: tree.Entry{Kind: tree.File, Exec: true}}, 30},
		"a directory":          {tree.Edit{Op: tree.Put, Path: "d050/new", Entry: tree.Entry{Kind: tree.Dir, Dir: small}}, 40},
		"a directory marked":   {tree.Edit{Op: tree.Put, Path: "d050/new", Entry: tree.Entry{Kind: tree.Dir, Dir: small, Marker: &tree.Marker{}}}, 40},
		"only a marker":        {tree.Edit{Op: tree.Mark, Path: "d050", Marker: &tree.Marker{}}, 30},
		"a directory is gone":  {tree.Edit{Op: tree.Delete, Path: "d051"}, 20},
		"nothing but a commit": {tree.Edit{Op: tree.Delete, Path: "none"}, 10},
	} {
		res, err := Resolve(ctx, d, "a@main")
		if err != nil {
			t.Fatal(err)
		}
		root, err := tree.Apply(ctx, s, res.Commit.Tree, []tree.Edit{tt.edit})
		if err != nil {
			t.Fatal(err)
		}
		id, err := commit.Save(ctx, s, commit.Commit{Tree: root, Parents: []commit.ID{res.ID}, Author: "x", Time: res.Commit.Time.Add(time.Second), Op: fixedOp(1).String()})
		if err != nil {
			t.Fatal(err)
		}
		l, err := d.load(ctx)
		if err != nil {
			t.Fatal(err)
		}
		snap, err := d.snapshot(ctx, l)
		if err != nil {
			t.Fatal(err)
		}
		r := &counting{Reader: s}
		c := closure{root: l.root, base: snap, r: r, has: s.(*session).Has, owner: true, written: s.(*session).wrote}
		o, _ := d.NewOp()
		if err := c.check(auth.With(ctx, auth.Owner), Txn{Op: o, Ops: []Op{MoveBranch{Repo: "a", Branch: "main", Expect: res.ID, To: id}}}); err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d reads", name, r.n)
		if r.n > tt.max {
			t.Errorf("%s: %d reads, want at most %d", name, r.n, tt.max)
		}
	}
}
