package repo

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/tree"
)

// collect stands in for garbage collection: it changes the root as that may.
func collect(t testing.TB, d *Direct, change func(*Root)) {
	t.Helper()
	base, err := d.load(ownerCtx(t))
	if err != nil {
		t.Fatal(err)
	}
	o, err := d.NewOp()
	if err != nil {
		t.Fatal(err)
	}
	next, _, err := Apply(base.root, Txn{Op: o}, envOf("gc"))
	if err != nil {
		t.Fatal(err)
	}
	change(next)
	b, err := EncodeRoot(next)
	if err != nil {
		t.Fatal(err)
	}
	for key, c := range map[string]objstore.Condition{rootKey(next.Gen, next.Op): {IfAbsent: true}, rootObject: {IfVersion: base.version}} {
		if _, err := d.objects.Put(ownerCtx(t), key, objstore.Bytes(b), c); err != nil {
			t.Fatal(err)
		}
	}
}

// oneShot reads once, and runs an action before the end.
type oneShot struct {
	io.Reader
	before func()
}

func (o *oneShot) Read(p []byte) (int, error) {
	n, err := o.Reader.Read(p)
	if err == io.EOF && o.before != nil {
		o.before()
		o.before = nil
	}
	return n, err
}

// seekShot can be read again.
type seekShot struct {
	oneShot
	s *strings.Reader
}

func (s *seekShot) Seek(off int64, whence int) (int64, error) { return s.s.Seek(off, whence) }

// TestDoomedSession lets collection overtake sessions: one that began before
// the floor, and one that relies on a pack that was collected. The commit is
// made again in a new session if its bytes can be read again.
func TestDoomedSession(t *testing.T) {
	for name, change := range map[string]func(*Root){
		"floor":          func(r *Root) { r.Floor = r.Gen },
		"collected pack": func(r *Root) { r.Segments = nil },
	} {
		objects := mem.New(mem.Options{})
		d := newDirect(t, objects, 1)
		move(t, d, CreateRepo{Repo: "a"})
		loose(t, d, 1) // "loose 0": garbage that the session takes over
		ctx := ownerCtx(t)
		before := func() { collect(t, openDirect(t, objects, 7), change) }

		text := strings.NewReader("loose 0")
		o, _ := d.NewOp()
		opt := CommitOptions{Repo: "a", Op: o, Time: testTime}
		if _, err := PutFile(ctx, d, opt, "f", tree.Entry{}, &seekShot{oneShot{text, before}, text}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := get(t, d, "a:/f"); got != "loose 0" {
			t.Errorf("%s: %q", name, got)
		}
		checkStore(t, objects)
	}
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	move(t, d, CreateRepo{Repo: "a"})
	o, _ := d.NewOp()
	before := func() { collect(t, openDirect(t, objects, 7), func(r *Root) { r.Floor = r.Gen }) }
	_, err := PutFile(ownerCtx(t), d, CommitOptions{Repo: "a", Op: o, Time: testTime}, "f", tree.Entry{}, &oneShot{strings.NewReader("x"), before})
	if !errors.Is(err, ErrDoomed) {
		t.Errorf("bytes that can't be read again: %v", err)
	}
}

// TestReaderOutlivesRoot reads through a reader that was opened before what it
// reads was published, and before segments were merged.
func TestReaderOutlivesRoot(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	move(t, d, CreateRepo{Repo: "a"})
	ctx := context.WithoutCancel(ownerCtx(t))
	r, err := d.Reader(ctx, Scope{Repo: "a"})
	if err != nil {
		t.Fatal(err)
	}
	res := mustPut(t, openDirect(t, objects, 2), "main", "f", "text")
	if e, err := tree.Open(r, res.Commit.Tree).Lookup(ctx, "f"); err != nil || e.Content.Size != 4 {
		t.Errorf("%+v, %v", e, err)
	}
	if _, err := d.Reader(ctx, Scope{Repo: "b"}); !errors.Is(err, ErrRepoNotFound) {
		t.Errorf("reader of no repo: %v", err)
	}
}
