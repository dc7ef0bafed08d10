package golden_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// clock moves on by a millisecond with every look.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock(hour int) *clock {
	return &clock{now: time.Date(2026, 11, 20, hour, 0, 0, 0, time.UTC)}
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Millisecond)
	return c.now
}

// at is a store that is worked on.
type at struct {
	testing.TB
	ctx   context.Context
	store *repo.Direct
	clock *clock
	texts map[chunk.Content]string // what file named, for keep to store
}

func options(hour int) (repo.Options, *clock) {
	c := newClock(hour)
	return repo.Options{Now: c.Now, Rand: rand.NewChaCha8([32]byte{byte(hour)}), WatchEvery: 2 * time.Millisecond}, c
}

func ownerCtx(t testing.TB) context.Context {
	return auth.With(context.WithoutCancel(t.Context()), auth.Owner)
}

// open opens the store in a folder; hour sets its clock and randomness. Its
// folder for temporary files is made if git left it out.
func open(t testing.TB, dir string, hour int) *at {
	t.Helper()
	objects, err := disk.Create(t.Context(), dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o, c := options(hour)
	d, err := repo.OpenDirect(ownerCtx(t), objects, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := objects.Close(); err != nil {
			t.Error(err)
		}
	})
	return &at{t, ownerCtx(t), d, c, map[chunk.Content]string{}}
}

// makeStore writes the golden store into a folder that does not exist.
func makeStore(t *testing.T, dir string) {
	objects, err := disk.Create(t.Context(), dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	o, c := options(9)
	d, err := repo.Init(ownerCtx(t), objects, repo.InitOptions{Options: o})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	a := &at{t, ownerCtx(t), d, c, map[chunk.Content]string{}}

	a.makeVersions()
	run := a.engine(&runner{})
	a.register("count", "texts", "/poems/*.txt", "main", map[string]string{"unit": "words"}, "count.py", "lib/words.py")
	a.register("shout", "count", "/*", "main", nil, "shout.py")
	a.settle()
	a.commit("main", "one poem edited, one gone, one new", a.file("poems/two.txt", "two, edited\n", tree.Entry{}),
		tree.Edit{Op: tree.Delete, Path: "poems/three.txt"}, a.file("poems/five.txt", "five\nfive\n", tree.Entry{}))
	a.settle()
	a.commit("main", "the edit taken back", a.file("poems/two.txt", "two\nroads\n", tree.Entry{}))
	a.settle()
	a.register("count", "texts", "/poems/*.txt", "main", map[string]string{"unit": "lines"}, "count.py", "lib/words.py")
	a.register("count", "texts", "/poems/*.txt", "staging", map[string]string{"unit": "lines"}, "count.py", "lib/words.py")
	a.register("picky", "texts", "/poems/*.txt", "main", nil, "picky.py")
	a.settle()
	run()
	if err := os.Remove(filepath.Join(dir, "tmp")); err != nil {
		t.Errorf("there is a temporary file, or none was made: %v", err)
	}
}

// makeVersions makes data that people put in.
func (a *at) makeVersions() {
	a.move(repo.CreateRepo{Repo: "texts", Description: "the golden store's <data>"}, repo.CreateRepo{Repo: "empty", Branch: "trunk"})
	first := []tree.Edit{
		a.file("poems/one.txt", "one\n", tree.Entry{}), a.file("poems/two.txt", "two\nroads\n", tree.Entry{}),
		a.file("poems/three.txt", "three\nwise\nmen\n", tree.Entry{}), a.file("poems/größer.txt", "Umlaute\n", tree.Entry{}),
		a.file("run.sh", "#!/bin/sh\n", tree.Entry{Exec: true}),
		a.file("link", "poems/one.txt", tree.Entry{Kind: tree.Symlink}),
		a.file("nothing", "", tree.Entry{}),
		a.file("big.log", lines(60_000, "-"), tree.Entry{}),
		a.file("sparse.bin", sparse(9<<20), tree.Entry{}),
		a.empty("deep/er/empty"),
	}
	for i := range 700 {
		first = append(first, a.file(fmt.Sprintf("many/%04d", i), fmt.Sprint(i%7), tree.Entry{}))
	}
	v1 := a.commit("main", "first", first...)
	a.move(repo.CreateTag{Repo: "texts", Tag: "v1.0", Commit: v1.ID},
		repo.CreateBranch{Repo: "texts", Branch: "prod", From: v1.ID, Fork: "main"},
		repo.Protect{Repo: "texts", Branch: "prod", Principals: []string{"release"}})
	a.commit("main", "an edit in the middle of a large file", a.file("big.log", lines(60_000, "+"), tree.Entry{}))
	a.commit("main", "as S3 clients write", tree.Edit{Op: tree.Put, Path: "s3/object", SetAttrs: true, Entry: tree.Entry{
		Kind: tree.File, Content: a.content("an object\n"), Attrs: tree.Attrs{
			ContentType: "text/plain", Headers: map[string]string{"cache-control": "no-store"}, Meta: map[string]string{"colour": "blå"},
			MD5: bytes.Repeat([]byte{7}, 16), ETag: "0123456789abcdef-2",
		},
	}}, tree.Edit{Op: tree.Mark, Path: "s3", Marker: &tree.Marker{
		Content: a.content("marker"), Attrs: tree.Attrs{ContentType: "application/x-directory"},
	}}, tree.Edit{Op: tree.Delete, Path: "nothing"})
	a.commit("dev/x", "a branch of its own", a.file("dev", "dev\n", tree.Entry{}))
}

// lines is a text that is cut into several chunks, with mark in its middle.
func lines(n int, mark string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "line %d of a large file\n", i)
		if i == n/2 {
			b.WriteString(mark)
		}
	}
	return b.String()
}

// sparse is mostly zeros, so that it is cut only where a chunk must end.
func sparse(n int) string {
	b := make([]byte, n)
	for i := 0; i < n; i += 64 << 10 {
		binary.BigEndian.PutUint32(b[i:], uint32(i))
	}
	return string(b)
}

func (a *at) op() repo.OpID {
	a.Helper()
	op, err := a.store.NewOp()
	if err != nil {
		a.Fatal(err)
	}
	return op
}

func (a *at) move(ops ...repo.Op) {
	a.Helper()
	if _, err := a.store.Move(a.ctx, repo.Txn{Op: a.op(), Ops: ops}); err != nil {
		a.Fatal(err)
	}
}

// content names a text that keep stores.
func (a *at) content(text string) chunk.Content {
	a.Helper()
	c, err := chunk.WriteContent(a.ctx, new(chunk.Mem), a.store.Config().Chunker, strings.NewReader(text))
	if err != nil {
		a.Fatal(err)
	}
	a.texts[c] = text
	return c
}

// file is an edit that puts a file, or what e says.
func (a *at) file(path, text string, e tree.Entry) tree.Edit {
	a.Helper()
	if e.Kind == 0 {
		e.Kind = tree.File
	}
	e.Content = a.content(text)
	return tree.Edit{Op: tree.Put, Path: path, Entry: e}
}

func (a *at) empty(path string) tree.Edit {
	a.Helper()
	root, err := tree.Empty(a.ctx, new(chunk.Mem))
	if err != nil {
		a.Fatal(err)
	}
	return tree.Edit{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.Dir, Dir: root}}
}

// commit commits edits to the repo texts.
func (a *at) commit(branch, message string, edits ...tree.Edit) repo.CommitResult {
	a.Helper()
	o := repo.CommitOptions{
		Repo: "texts", Branch: branch, Message: message, Op: a.op(), Time: a.clock.Now(), Labels: map[string]string{"release": "1"},
	}
	res, err := repo.Commit(a.ctx, a.store, o, func(ctx context.Context, d *repo.Draft) (tree.Root, error) {
		if err := a.keep(ctx, d, edits); err != nil {
			return tree.Root{}, err
		}
		return d.Apply(ctx, edits)
	})
	if err != nil {
		a.Fatal(err)
	}
	return res
}

// text reads the file that expr names.
func (a *at) text(expr string) string {
	a.Helper()
	r, _, err := repo.GetFile(a.ctx, a.store, expr)
	if err != nil {
		a.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		a.Fatal(err)
	}
	return string(b)
}

// keep stores what edits name.
func (a *at) keep(ctx context.Context, s chunk.Store, edits []tree.Edit) error {
	for _, e := range edits {
		named := []chunk.Content{e.Entry.Content}
		if e.Marker != nil {
			named = append(named, e.Marker.Content)
		}
		for _, c := range named {
			if _, err := chunk.WriteContent(ctx, s, a.store.Config().Chunker, strings.NewReader(a.texts[c])); err != nil {
				return err
			}
		}
	}
	_, err := tree.Empty(ctx, s)
	return err
}

// register makes a version of a pipeline whose code has the files named.
func (a *at) register(name, input, glob, branch string, params map[string]string, code ...string) {
	a.Helper()
	s := spec.Spec{
		Pipeline: name, Description: "made for the golden store",
		Transform:  spec.Transform{Cmd: []string{"golden", name}, Env: map[string]string{"LANG": "C"}},
		Input:      spec.Input{Repo: input, Branch: "main", Glob: glob},
		Parameters: params,
	}
	var edits []tree.Edit
	for _, path := range code {
		edits = append(edits, a.file(path, "# "+path+" of "+name+"\n", tree.Entry{}))
	}
	_, _, err := pipeline.Register(a.ctx, a.store, pipeline.Registration{
		Spec: s.WithDefaults(), Source: []byte("pipeline: " + name + "\n"), Branch: branch, Author: "owner", Message: "version of " + name,
		Op: a.op(), Time: a.clock.Now(),
		Code: func(ctx context.Context, s chunk.Store) (tree.Root, error) {
			if err := a.keep(ctx, s, edits); err != nil {
				return tree.Root{}, err
			}
			return tree.Apply(ctx, s, tree.Root{}, edits)
		},
	})
	if err != nil {
		a.Fatal(err)
	}
}
