package mirror

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// source is a store with one repo, whose branch main is set to any files.
type source struct {
	*testing.T
	store *repo.Direct
	ctx   context.Context
	now   time.Time
}

func newSource(t *testing.T) *source {
	t.Helper()
	s := &source{T: t, now: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), ctx: auth.With(t.Context(), auth.Owner)}
	clock := func() time.Time { return s.now }
	var err error
	s.store, err = repo.Init(s.ctx, mem.New(mem.Options{Now: clock}), repo.InitOptions{Options: repo.Options{Now: clock, Rand: rand.Reader}})
	s.must(err)
	_, err = s.store.Move(s.ctx, repo.Txn{Op: s.op(), Ops: []repo.Op{repo.CreateRepo{Repo: "data"}}})
	s.must(err)
	return s
}

func (s *source) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func (s *source) op() repo.OpID {
	s.now = s.now.Add(time.Second)
	op, err := repo.NewOpID(s.now, rand.Reader)
	s.must(err)
	return op
}

// commit makes a version that holds just these files; a text that starts with
// "-> " is a link, with "#!" a program.
func (s *source) commit(files map[string]string) {
	s.Helper()
	o := repo.CommitOptions{Repo: "data", Branch: "main", Op: s.op(), Time: s.now, AllowEmpty: true}
	_, err := repo.Commit(s.ctx, s.store, o, func(ctx context.Context, d *repo.Draft) (tree.Root, error) {
		empty, err := tree.Empty(ctx, d)
		if err != nil {
			return tree.Root{}, err
		}
		d.Base = empty
		var edits []tree.Edit
		for _, path := range slices.Sorted(maps.Keys(files)) {
			text, kind := files[path], tree.File
			if target, ok := strings.CutPrefix(text, "-> "); ok {
				text, kind = target, tree.Symlink
			}
			content, err := chunk.WriteContent(ctx, d, s.store.Config().Chunker, strings.NewReader(text))
			if err != nil {
				return tree.Root{}, err
			}
			edits = append(edits, tree.Edit{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: kind, Content: content, Exec: strings.HasPrefix(text, "#!")}})
		}
		return d.Apply(ctx, edits)
	})
	s.must(err)
}

// holds fails unless a folder holds just these files, and a mark.
func (s *source) holds(dir string, files map[string]string) {
	s.Helper()
	got := map[string]string{}
	s.must(filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, p)
		name = filepath.ToSlash(name)
		if d.IsDir() {
			if left, _ := os.ReadDir(p); len(left) == 0 {
				s.Errorf("folder %s is empty", name)
			}
			return nil
		}
		if d.Type() == fs.ModeSymlink {
			target, err := os.Readlink(p)
			got[name] = "-> " + target
			return err
		}
		b, err := os.ReadFile(p)
		got[name] = string(b)
		if info, _ := d.Info(); strings.HasPrefix(string(b), "#!") != (info.Mode()&0o100 != 0) {
			s.Errorf("%s has mode %v", name, info.Mode())
		}
		return err
	}))
	if _, ok := got[MarkName]; !ok {
		s.Error("there is no mark")
	}
	delete(got, MarkName)
	if !maps.Equal(got, files) {
		s.Fatalf("the mirror holds\n%v\nwant\n%v", got, files)
	}
}

// brittle is a Sink that fails at the operation number at.
type brittle struct {
	Sink
	at, n atomic.Int64
}

var errBroken = errors.New("the sink broke")

func (b *brittle) step() error {
	if b.n.Add(1) >= b.at.Load() {
		return errBroken
	}
	return nil
}

func (b *brittle) Put(ctx context.Context, name string, f File) error {
	if err := b.step(); err != nil {
		return err
	}
	return b.Sink.Put(ctx, name, f)
}

func (b *brittle) Delete(ctx context.Context, name string) error {
	if err := b.step(); err != nil {
		return err
	}
	return b.Sink.Delete(ctx, name)
}

func (b *brittle) SetMark(ctx context.Context, mark []byte) error {
	if err := b.step(); err != nil {
		return err
	}
	return b.Sink.SetMark(ctx, mark)
}

// randomFiles draws files whose names are often in each other's way.
func randomFiles(rng *mathrand.Rand) map[string]string {
	files := map[string]string{}
	for range rng.IntN(9) {
		name := string(rune('a' + rng.IntN(3)))
		for range rng.IntN(3) {
			name += "/" + string(rune('a'+rng.IntN(3)))
		}
		taken := false
		for other := range files {
			taken = taken || strings.HasPrefix(other, name+"/") || strings.HasPrefix(name, other+"/")
		}
		if !taken {
			files[name] = []string{"", "text ", "#!/bin/sh ", "-> elsewhere/"}[rng.IntN(4)] + fmt.Sprint(rng.IntN(3))
		}
	}
	return files
}

// TestMirrorFollows holds a mirror against each version of random histories,
// with runs that break off anywhere.
func TestMirrorFollows(t *testing.T) {
	for seed := range uint64(6) {
		rng := mathrand.New(mathrand.NewPCG(seed, 7))
		s := newSource(t)
		dir := filepath.Join(t.TempDir(), "m")
		f, err := OpenFolder(dir)
		s.must(err)
		for range 8 {
			files := randomFiles(rng)
			s.commit(files)
			b := &brittle{Sink: f}
			b.at.Store(int64(1 + rng.IntN(12)))
			if _, err := Run(s.ctx, s.store, b, Options{Ref: "data@main", Parallel: 1 + rng.IntN(4)}); err != nil {
				if !errors.Is(err, errBroken) {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if rng.IntN(2) == 0 {
					continue // the branch goes on before the next run
				}
				_, err = Run(s.ctx, s.store, f, Options{Ref: "data@main"})
				s.must(err)
			}
			s.holds(dir, files)
			res, err := Run(s.ctx, s.store, f, Options{Ref: "data@main"})
			if err != nil || res.Put+res.Deleted != 0 {
				t.Fatalf("seed %d: a second run does %+v, %v", seed, res, err)
			}
		}
		s.must(f.Close())
	}
}

func TestMirrorCostsTheChange(t *testing.T) {
	s := newSource(t)
	files := map[string]string{}
	for i := range 500 {
		files[fmt.Sprintf("%d/%d", i%7, i)] = fmt.Sprint(i)
	}
	f, err := OpenFolder(filepath.Join(t.TempDir(), "m"))
	s.must(err)
	defer func() { _ = f.Close() }()
	s.commit(files)
	res, err := Run(s.ctx, s.store, f, Options{Ref: "data"})
	if err != nil || res.Put != 500 {
		t.Fatalf("%+v, %v", res, err)
	}
	files["3/3"] = "changed"
	delete(files, "4/4")
	s.commit(files)
	res, err = Run(s.ctx, s.store, f, Options{Ref: "data@main"})
	if err != nil || res.Put != 1 || res.Deleted != 1 || res.Bytes != int64(len("changed")) {
		t.Fatalf("one changed, one deleted: %+v, %v", res, err)
	}
}

func TestMirrorRefuses(t *testing.T) {
	s := newSource(t)
	s.commit(map[string]string{"a": "1"})
	dir := t.TempDir()
	s.must(os.WriteFile(filepath.Join(dir, "mine"), nil, 0o600))
	f, err := OpenFolder(dir)
	s.must(err)
	defer func() { _ = f.Close() }()
	if _, err := Run(s.ctx, s.store, f, Options{Ref: "data@main"}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a folder that holds something: %v, want fs.ErrExist", err)
	}
	s.must(os.WriteFile(filepath.Join(dir, MarkName), []byte("{}"), 0o600))
	if _, err := Run(s.ctx, s.store, f, Options{Ref: "data@main"}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a damaged mark: %v, want fs.ErrInvalid", err)
	}
	s.must(os.WriteFile(filepath.Join(dir, MarkName), []byte(`{"format":1,"store":"another","repo":"data"}`), 0o600))
	if _, err := Run(s.ctx, s.store, f, Options{Ref: "data@main"}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a mirror of another store: %v, want fs.ErrExist", err)
	}
	other, err := OpenFolder(filepath.Join(t.TempDir(), "m"))
	s.must(err)
	defer func() { _ = other.Close() }()
	s.commit(map[string]string{MarkName: "x"})
	if _, err := Run(s.ctx, s.store, other, Options{Ref: "data@main"}); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a version with a file of the mark's name: %v, want fs.ErrExist", err)
	}
}

// TestFolderStaysInside: a link that somebody put into the folder leads a
// mirror nowhere.
func TestFolderStaysInside(t *testing.T) {
	s := newSource(t)
	base := t.TempDir()
	outside, dir := filepath.Join(base, "outside"), filepath.Join(base, "m")
	s.must(os.Mkdir(outside, 0o700))
	s.commit(map[string]string{"a/b": "1"})
	f, err := OpenFolder(dir)
	s.must(err)
	defer func() { _ = f.Close() }()
	_, err = Run(s.ctx, s.store, f, Options{Ref: "data@main"})
	s.must(err)
	s.must(os.RemoveAll(filepath.Join(dir, "a")))
	s.must(os.Symlink(outside, filepath.Join(dir, "a")))
	s.commit(map[string]string{"a/b": "2", "a/c": "3"})
	if _, err := Run(s.ctx, s.store, f, Options{Ref: "data@main"}); err == nil {
		t.Error("the mirror wrote through a link")
	}
	if left, _ := os.ReadDir(outside); len(left) != 0 {
		t.Errorf("outside there is %v", left)
	}
}

// TestFileIsWholeOrAbsent: a source that fails in the middle leaves the file of
// before, and nothing else.
func TestFileIsWholeOrAbsent(t *testing.T) {
	dir := t.TempDir()
	f, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	put := func(r io.Reader) error {
		return f.Put(t.Context(), "d/a", File{Kind: tree.File, Open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(r), nil }})
	}
	if err := put(strings.NewReader("before")); err != nil {
		t.Fatal(err)
	}
	if err := put(io.MultiReader(strings.NewReader("half"), broken{})); !errors.Is(err, errBroken) {
		t.Fatalf("%v, want errBroken", err)
	}
	names, _ := os.ReadDir(filepath.Join(dir, "d"))
	b, _ := os.ReadFile(filepath.Join(dir, "d", "a"))
	if string(b) != "before" || len(names) != 1 {
		t.Errorf("holds %q beside %v", b, names)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }
