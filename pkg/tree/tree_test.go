package tree

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// walked returns the paths that Walk yields.
func walked(t *testing.T, s chunk.Reader, root Root, o WalkOptions) []string {
	t.Helper()
	paths := []string{}
	for e, err := range Open(s, root).Walk(context.Background(), o) {
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, e.Path)
	}
	return paths
}

// allPaths returns the paths of the model's files and of all directories.
func (m model) allPaths() []string {
	set := map[string]bool{}
	for path := range m {
		set[path] = true
		for i, c := range path {
			if c == '/' {
				set[path[:i+1]] = true
			}
		}
	}
	paths := make([]string, 0, len(set))
	for path := range set {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}

// expect filters paths as Walk's options say, one by one.
func expect(paths []string, o WalkOptions) []string {
	want := []string{}
	for _, p := range paths {
		if !strings.HasPrefix(p, o.Prefix) || p <= o.After {
			continue
		}
		isDir := strings.HasSuffix(p, "/")
		if o.Shallow {
			// The directory that stands for p: up to the first slash after the prefix.
			if i := strings.IndexByte(p[len(o.Prefix):], '/'); i >= 0 {
				if border := p[:len(o.Prefix)+i+1]; !slices.Contains(want, border) {
					want = append(want, border)
				}
				continue
			}
		}
		if isDir && !o.Dirs {
			continue
		}
		want = append(want, p)
	}
	return want
}

func TestWalkMatchesModel(t *testing.T) {
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(3, seed))
		s := &chunk.Mem{}
		m := randomModel(rng, rng.IntN(150))
		root := m.build(t, s, m.paths())
		all := m.allPaths()
		word := func() string {
			if len(all) == 0 || rng.IntN(3) == 0 {
				return ""
			}
			p := all[rng.IntN(len(all))]
			switch rng.IntN(4) {
			case 0:
				return p[:rng.IntN(len(p)+1)]
			case 1:
				return p + "\xff"
			default:
				return p
			}
		}
		for range 60 {
			o := WalkOptions{Prefix: word(), After: word(), Dirs: rng.IntN(2) == 0, Shallow: rng.IntN(2) == 0}
			if d := cmp.Diff(expect(all, o), walked(t, s, root, o)); d != "" {
				t.Fatalf("seed %d, %+v: %s", seed, o, d)
			}
		}
	}
}

func TestLookupAndEntries(t *testing.T) {
	ctx := context.Background()
	s := &chunk.Mem{}
	m := model{"a": file(1), "a-b": file(2), "a/x": file(3), "b/c/d": file(4), "e/": {Kind: Dir}}
	root := m.build(t, s, m.paths())
	tr := Open(s, root)
	for path, want := range map[string]Kind{"a": File, "a/": Dir, "a/x": File, "b": Dir, "b/c": Dir, "b/c/d": File, "e": Dir, "": Dir} {
		if e, err := tr.Lookup(ctx, path); err != nil || e.Kind != want {
			t.Errorf("Lookup(%q) = %v, %v; want kind %v", path, e, err, want)
		}
	}
	for path, want := range map[string]error{"c": fs.ErrNotExist, "a/x/": fs.ErrNotExist, "a-b/c": fs.ErrNotExist, "a//x": fs.ErrInvalid, "..": fs.ErrInvalid, "/a": fs.ErrInvalid} {
		if e, err := tr.Lookup(ctx, path); !errors.Is(err, want) {
			t.Errorf("Lookup(%q) = %v, %v; want %v", path, e, err, want)
		}
	}
	var keys []string
	for e, err := range tr.Entries(ctx, "", "a-b") {
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, e.Key())
	}
	if d := cmp.Diff([]string{"a/", "b/", "e/"}, keys); d != "" {
		t.Error(d)
	}
	for e, err := range tr.Entries(ctx, "a-b", "") {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("entries of a file: %v, %v", e, err)
		}
	}
	for e, err := range Open(s, Root{}).Entries(ctx, "", "") {
		t.Errorf("entry of a zero root: %v, %v", e, err)
	}
}

func TestFind(t *testing.T) {
	s := &chunk.Mem{}
	root := model{"a": file(1), "d/f": file(2)}.build(t, s, []string{"a", "d/f"})
	for path, want := range map[string]bool{
		"a": true, "a/": false, "d": false, "d/": true, "d/f": true, "d/f/": false, "x": false, "a/x": false, "x/y/": false,
	} {
		e, err := Open(s, root).Find(context.Background(), path)
		if err != nil || (e != nil) != want {
			t.Errorf("%s: found %v, %v; want %v", path, e, err, want)
		}
	}
	if _, err := Open(s, root).Find(context.Background(), "a//b"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("no path: error %v", err)
	}
	if e, err := Open(&chunk.Mem{}, root).Find(context.Background(), "a"); e != nil || !errors.Is(err, chunk.ErrNotFound) {
		t.Errorf("a lost chunk: %v, %v", e, err)
	}
}

func TestFS(t *testing.T) {
	ctx := context.Background()
	s := &chunk.Mem{}
	put := func(text string) chunk.Content {
		c, err := chunk.WriteContent(ctx, s, chunk.DefaultParams(), strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	when := time.UnixMilli(1_700_000_000_000).UTC()
	m := model{
		"hello.txt":    {Kind: File, Content: put("hello, world\n"), Attrs: Attrs{Time: when}},
		"bin/run":      {Kind: File, Exec: true, Content: put("#!/bin/sh\n")},
		"bin/latest":   {Kind: Symlink, Content: put("run")},
		"deep/er/link": {Kind: Symlink, Content: put("../../bin")},
		"empty":        {Kind: File},
		"void/":        {Kind: Dir},
		"twin":         {Kind: File, Content: put("file")},
		"twin/inner":   {Kind: File, Content: put("hidden")},
	}
	for i := range 500 {
		m[fmt.Sprintf("many/f%03d", i)] = Entry{Kind: File, Content: put(fmt.Sprint(i))}
	}
	fsys := Open(s, m.build(t, s, m.paths())).FS(ctx)
	if err := fstest.TestFS(fsys, "hello.txt", "bin/run", "deep/er/link", "empty", "void", "many/f499", "twin"); err != nil {
		t.Fatal(err)
	}
	if b, err := fs.ReadFile(fsys, "deep/er/link/latest"); err != nil || string(b) != "#!/bin/sh\n" {
		t.Errorf("read through links: %q, %v", b, err)
	}
	if fi, err := fs.Stat(fsys, "hello.txt"); err != nil || !fi.ModTime().Equal(when) {
		t.Errorf("stat: %v, %v", fi, err)
	}

	bad := apply(t, s, Root{},
		Edit{Op: Put, Path: "loop", Entry: Entry{Kind: Symlink, Content: put("loop")}},
		Edit{Op: Put, Path: "out", Entry: Entry{Kind: Symlink, Content: put("../etc")}},
		Edit{Op: Put, Path: "abs", Entry: Entry{Kind: Symlink, Content: put("/etc")}})
	for _, name := range []string{"loop", "out", "abs", "../x", "none"} {
		if f, err := Open(s, bad).FS(ctx).Open(name); err == nil {
			t.Errorf("opened %q: %v", name, f)
		}
	}
}

func TestVisitNamesEveryChunk(t *testing.T) {
	ctx := context.Background()
	s := &chunk.Mem{}
	big := make([]byte, 12<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(big)
	content, err := chunk.WriteContent(ctx, s, chunk.DefaultParams(), bytes.NewReader(big))
	if err != nil || content.Depth == 0 {
		t.Fatal(content, err)
	}
	small, err := chunk.WriteContent(ctx, s, chunk.DefaultParams(), strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	_, before := s.Counts()
	root := apply(t, s, Root{},
		Edit{Op: Put, Path: "a/big", Entry: Entry{Kind: File, Content: content}},
		Edit{Op: Put, Path: "b/big", Entry: Entry{Kind: File, Content: content}},
		Edit{Op: Mark, Path: "m", Marker: &Marker{Content: small}})
	const nodes = 3 // of the root, of a and b alike, of m
	seen := map[chunk.ID]bool{}
	visits := 0
	err = Visit(ctx, s, root, func(id chunk.ID) bool { return seen[id] }, func(_ chunk.Kind, id chunk.ID) error {
		seen[id] = true
		visits++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	unnamed := maps.Clone(seen)
	if want := before + nodes; len(seen) != want {
		t.Errorf("visited %d chunks, want %d", len(seen), want)
	}
	for id := range seen {
		b, err := s.Get(ctx, chunk.Node, id)
		if err != nil {
			continue // a chunk of another kind
		}
		refs, err := NodeRefs(b)
		if err != nil {
			t.Fatal(err)
		}
		for _, ref := range refs {
			if _, err := s.Get(ctx, ref.Kind, ref.ID); err != nil || !seen[ref.ID] {
				t.Errorf("node %v points to %v, which was not visited: %v", id, ref, err)
			}
			delete(unnamed, ref.ID)
		}
	}
	if _, ok := unnamed[content.ID]; ok || len(unnamed) == len(seen) {
		t.Error("nodes do not name what they point to")
	}
	stop := errors.New("stop")
	if err := Visit(ctx, s, root, nil, func(chunk.Kind, chunk.ID) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("error of fn: %v", err)
	}
}
