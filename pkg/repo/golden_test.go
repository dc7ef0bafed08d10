package repo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/tree"
)

const goldenStore = "testdata/golden-store"

// TestGoldenStore opens a store that the first release wrote, and reads every
// version of every file in it. The files are never written again: a release
// that cannot read them breaks its word.
func TestGoldenStore(t *testing.T) {
	if *update {
		writeGoldenStore(t)
	}
	dir := t.TempDir()
	copyStore(t, goldenStore, dir)
	objects, err := disk.Create(t.Context(), dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	root := checkStore(t, objects)
	if len(root.Repos["images"].Branches["prod"].Protect) != 1 {
		t.Errorf("protection of images@prod: %+v", root.Repos["images"])
	}
	got := describeStore(t, openDirect(t, objects, 1))
	golden(t, "golden-store.txt", []byte(got))

	// And the store can be written to as before.
	d := openDirect(t, objects, 2)
	mustPut2(t, d, "images", "dir/a.txt", "of a later release")
	if got := get(t, d, "images:/dir/a.txt"); got != "of a later release" {
		t.Errorf("%q", got)
	}
	checkStore(t, objects)
}

func mustPut2(t testing.TB, d *Direct, repo, path, text string) {
	t.Helper()
	if _, err := put(ownerCtx(t), d, CommitOptions{Repo: repo}, path, text); err != nil {
		t.Fatal(err)
	}
}

func copyStore(t testing.TB, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil || rel == "lock" || rel == "tmp" {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// describeStore lists every name, every version and every file with the hash
// of its bytes.
func describeStore(t testing.TB, d *Direct) string {
	t.Helper()
	ctx := ownerCtx(t)
	v, err := d.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.ReadAny(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(v.Repos)) {
		repo := v.Repos[name]
		for _, n := range slices.Sorted(maps.Keys(repo.Branches)) {
			fmt.Fprintf(&b, "branch %s@%s %v\n", name, n, repo.Branches[n].Commit)
		}
		for _, n := range slices.Sorted(maps.Keys(repo.Tags)) {
			fmt.Fprintf(&b, "tag %s@%s %v\n", name, n, repo.Tags[n].Commit)
		}
		for _, n := range slices.Sorted(maps.Keys(repo.Specs)) {
			fmt.Fprintf(&b, "spec %s@%s %v\n", name, n, repo.Specs[n].Commit)
		}
		seen := map[commit.ID]bool{}
		for _, head := range heads(repo) {
			for e, err := range commit.Log(ctx, r, head, commit.LogOptions{}) {
				if err != nil {
					t.Fatal(err)
				}
				if !seen[e.ID] {
					seen[e.ID] = true
					describeCommit(ctx, t, &b, r, e)
				}
			}
		}
	}
	return b.String()
}

// describeCommit lists the files of a version; those of the directory "many"
// as one hash.
func describeCommit(ctx context.Context, t testing.TB, b *strings.Builder, r chunk.Reader, e commit.Entry) {
	t.Helper()
	fmt.Fprintf(b, "commit %v %s %q content %v\n", e.ID, e.Commit.Time.Format(time.RFC3339Nano), e.Commit.Message, e.Commit.Tree.Content)
	many := blake3.New()
	for f, err := range tree.Open(r, e.Commit.Tree).Walk(ctx, tree.WalkOptions{Dirs: true}) {
		if err != nil {
			t.Fatal(err)
		}
		line := describeFile(ctx, t, r, f)
		if strings.HasPrefix(f.Path, "many/") && f.Kind != tree.Dir {
			_, _ = io.WriteString(many, line)
		} else {
			b.WriteString(line)
		}
	}
	fmt.Fprintf(b, "  many %x\n", many.Sum(nil)[:8])
}

func describeFile(ctx context.Context, t testing.TB, r chunk.Reader, f tree.PathEntry) string {
	t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "  %q kind %d", f.Path, f.Kind)
	if f.Exec {
		b.WriteString(" exec")
	}
	b.WriteString(describeAttrs(f.Attrs))
	if f.Marker != nil {
		fmt.Fprintf(&b, " marker%s %s", describeAttrs(f.Marker.Attrs), describeContent(ctx, t, r, f.Marker.Content))
	}
	if f.Kind != tree.Dir {
		b.WriteString(" " + describeContent(ctx, t, r, f.Content))
	}
	b.WriteString("\n")
	return b.String()
}

func describeContent(ctx context.Context, t testing.TB, r chunk.Reader, c chunk.Content) string {
	t.Helper()
	content, err := chunk.OpenContent(ctx, r, c)
	if err != nil {
		t.Fatal(err)
	}
	h := blake3.New()
	n, err := io.Copy(h, content)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%d bytes depth %d blake3 %x", n, c.Depth, h.Sum(nil)[:8])
}

func describeAttrs(a tree.Attrs) string {
	var b strings.Builder
	if !a.Time.IsZero() {
		fmt.Fprintf(&b, " %s op %x", a.Time.Format(time.RFC3339Nano), a.Op)
	}
	if a.ContentType != "" {
		fmt.Fprintf(&b, " %s %v %v %x %s", a.ContentType, a.Headers, a.Meta, a.MD5, a.ETag)
	}
	return b.String()
}

// writeGoldenStore makes the store anew, the same each time. It refuses to
// replace one: the formats are frozen.
func writeGoldenStore(t *testing.T) {
	if _, err := os.Stat(filepath.Join(goldenStore, "root")); err == nil {
		return
	}
	objects, err := disk.Create(t.Context(), goldenStore, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer objects.Close()
	d := newDirect(t, objects, 1)
	ctx := ownerCtx(t)
	move(t, d, CreateRepo{Repo: "images", Description: "the golden store"}, CreateRepo{Repo: "empty", Branch: "trunk"})
	goldenCommit(t, d, "images", "main", "first", func(w func(string) chunk.Content) []tree.Edit {
		return []tree.Edit{
			{Op: tree.Put, Path: "dir/a.txt", Entry: tree.Entry{Kind: tree.File, Content: w("hello\n")}},
			{Op: tree.Put, Path: "dir/empty", Entry: tree.Entry{Kind: tree.File}},
			{Op: tree.Put, Path: "dir/deep/er/run.sh", Entry: tree.Entry{Kind: tree.File, Exec: true, Content: w("#!/bin/sh\n")}},
			{Op: tree.Put, Path: "link", Entry: tree.Entry{Kind: tree.Symlink, Content: w("dir/a.txt")}},
			{Op: tree.Put, Path: "large", Entry: tree.Entry{Kind: tree.File, Content: w(goldenLarge("x"))}},
		}
	})
	first, err := headOf(ctx, d, "images")
	if err != nil {
		t.Fatal(err)
	}
	move(t, d, CreateTag{Repo: "images", Tag: "v1.0", Commit: first},
		CreateBranch{Repo: "images", Branch: "prod", From: first, Fork: "main"},
		Protect{Repo: "images", Branch: "prod", Principals: []string{"release"}})
	goldenCommit(t, d, "images", "main", "second: <größer> & \"more\"", func(w func(string) chunk.Content) []tree.Edit {
		edits := []tree.Edit{
			{Op: tree.Put, Path: "large", Entry: tree.Entry{Kind: tree.File, Content: w(goldenLarge("y"))}},
			{Op: tree.Put, Path: "s3/object", SetAttrs: true, Entry: tree.Entry{Kind: tree.File, Content: w("s3"), Attrs: tree.Attrs{
				ContentType: "text/plain", Headers: map[string]string{"cache-control": "no-store"}, Meta: map[string]string{"k": "v"},
				MD5: bytes.Repeat([]byte{7}, 16), ETag: "etag-2",
			}}},
			{Op: tree.Mark, Path: "s3", Marker: &tree.Marker{Content: w("marker"), Attrs: tree.Attrs{ContentType: "application/x-directory"}}},
			{Op: tree.Delete, Path: "dir/empty"},
		}
		for i := range 2000 {
			edits = append(edits, tree.Edit{Op: tree.Put, Path: fmt.Sprintf("many/%04d", i), Entry: tree.Entry{Kind: tree.File, Content: w(fmt.Sprint(i % 7))}})
		}
		return edits
	})
	goldenCommit(t, d, "images", "dev/x", "on a branch of its own", func(w func(string) chunk.Content) []tree.Edit {
		return []tree.Edit{{Op: tree.Put, Path: "dev", Entry: tree.Entry{Kind: tree.File, Content: w("dev")}}}
	})
	goldenPipeline(t, d)
}

func goldenLarge(mark string) string {
	var b strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&b, "line %d of a large file\n", i)
		if i == 150_000 {
			b.WriteString(mark)
		}
	}
	return b.String()
}

func goldenCommit(t *testing.T, d *Direct, repo, branch, message string, edits func(w func(string) chunk.Content) []tree.Edit) commit.ID {
	t.Helper()
	o, err := d.NewOp()
	if err != nil {
		t.Fatal(err)
	}
	opt := CommitOptions{Repo: repo, Branch: branch, Message: message, Op: o, Time: d.o.Now(), Labels: map[string]string{"release": "1"}}
	res, err := Commit(ownerCtx(t), d, opt, func(ctx context.Context, dr *Draft) (tree.Root, error) {
		return dr.Apply(ctx, edits(func(text string) chunk.Content {
			c, err := chunk.WriteContent(ctx, dr, d.Config().Chunker, strings.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			return c
		}))
	})
	if err != nil {
		t.Fatal(err)
	}
	return res.ID
}

// goldenPipeline makes a repo as a pipeline has: a spec, and an output with
// its provenance.
func goldenPipeline(t *testing.T, d *Direct) {
	ctx := ownerCtx(t)
	s, err := d.Session(ctx, Scope{Repo: "edges", Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	in, err := headOf(ctx, d, "images")
	if err != nil {
		t.Fatal(err)
	}
	save := func(c commit.Commit) commit.ID {
		id, err := commit.Save(ctx, s, c)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	file := func(name, text string) tree.Root {
		c, err := chunk.WriteContent(ctx, s, d.Config().Chunker, strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		root, err := tree.Apply(ctx, s, tree.Root{}, []tree.Edit{{Op: tree.Put, Path: name, Entry: tree.Entry{Kind: tree.File, Content: c}}})
		if err != nil {
			t.Fatal(err)
		}
		return root
	}
	o, err := d.NewOp()
	if err != nil {
		t.Fatal(err)
	}
	at := commit.Stamp(d.o.Now())
	spec := save(commit.Commit{Tree: file("spec.json", "{}"), Author: "owner", Time: at, Op: o.String()})
	datums := file("0", "datum")
	out := save(commit.Commit{
		Tree: file("out", "1"), Author: "owner", Committer: "dvxd", Time: at, Op: o.String(), Run: "run-1",
		Origins: []commit.Ref{{Repo: "images", Branch: "main", Commit: in}},
		Prov: &commit.Provenance{
			Pipeline: "edges", Branch: "main", Spec: spec, Job: strings.Repeat("a1", 32), Principal: "owner",
			Inputs:     []commit.Input{{Name: "images", Ref: commit.Ref{Repo: "images", Branch: "main", Commit: in}}},
			Parameters: map[string]string{"threshold": "0.5"}, Code: strings.Repeat("b2", 32), Datums: &datums,
		},
	})
	if _, err := s.Publish(ctx, Txn{Op: o, Ops: []Op{
		MoveSpec{Repo: "edges", Branch: "main", To: spec}, MoveBranch{Repo: "edges", Branch: "main", To: out},
	}}); err != nil {
		t.Fatal(err)
	}
}
