package worker

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

func TestInputsAreLaidOutReadOnlyWithFixedTimes(t *testing.T) {
	s := &chunk.Mem{}
	root := build(t, s, map[string]any{
		"a.txt": "alpha", "sub/run": executable("#!/bin/sh\n"), "sub/deep/empty": "", "hollow": emptyDir{},
		"sub/up": linkTo("../a.txt"), "big": strings.Repeat("0123456789abcdef", 200<<10),
	})
	seen := map[string]string{}
	w := newWorker(t, program(t, func(dir string) {
		must(t, filepath.WalkDir(filepath.Join(dir, "in"), func(p string, d fs.DirEntry, err error) error {
			must(t, err)
			info, err := d.Info()
			must(t, err)
			if !info.ModTime().Equal(fixedTime) {
				t.Errorf("%s has time %v", p, info.ModTime())
			}
			rel, err := filepath.Rel(dir, p)
			must(t, err)
			seen[filepath.ToSlash(rel)] = info.Mode().String()
			return nil
		}))
		b, err := os.ReadFile(filepath.Join(dir, "in/r/sub/up"))
		if err != nil || string(b) != "alpha" {
			t.Errorf("through the link: %q, %v", b, err)
		}
		if info, err := os.Stat(filepath.Join(dir, "in/r/big")); err != nil || info.Size() != 3200<<10 {
			t.Errorf("big file: %v, %v", info, err)
		}
	}))
	res := succeed(t, w, aTask(whole("r", root)), s)
	want := map[string]string{
		"in": "dr-xr-xr-x", "in/r": "dr-xr-xr-x", "in/r/a.txt": "-r--r--r--", "in/r/sub": "dr-xr-xr-x",
		"in/r/sub/run": "-r-xr-xr-x", "in/r/sub/deep": "dr-xr-xr-x", "in/r/sub/deep/empty": "-r--r--r--",
		"in/r/hollow": "dr-xr-xr-x", "in/r/sub/up": "Lrwxrwxrwx", "in/r/big": "-r--r--r--",
	}
	for p, mode := range want {
		if seen[p] != mode {
			t.Errorf("%s has mode %q, want %q", p, seen[p], mode)
		}
	}
	if len(seen) != len(want) {
		t.Errorf("found %v", seen)
	}
	if res.Stats.BytesIn != root.Bytes {
		t.Errorf("%d bytes in, the tree has %d", res.Stats.BytesIn, root.Bytes)
	}
	if res.Output.Files != 0 || res.Output.ID.IsZero() {
		t.Errorf("nothing written gives %+v", res.Output)
	}
}

func TestInputItemsLieAtTheirPaths(t *testing.T) {
	s := &chunk.Mem{}
	sub := build(t, s, map[string]any{"x": "X"})
	in := task.Input{Name: "r", Items: []task.Item{
		{Path: "d/e/f.txt", Entry: entry(t, s, "F")},
		{Path: "d/g", Entry: tree.Entry{Kind: tree.Dir, Dir: sub}},
		{Path: "top", Entry: entry(t, s, executable("T"))},
		{Path: "l", Entry: entry(t, s, linkTo("d/e"))},
	}}
	w := newWorker(t, program(t, func(dir string) {
		for p, want := range map[string]string{"d/e/f.txt": "F", "d/g/x": "X", "top": "T", "l/f.txt": "F"} {
			if b, err := os.ReadFile(filepath.Join(dir, "in/r", p)); err != nil || string(b) != want {
				t.Errorf("%s: %q, %v", p, b, err)
			}
		}
	}))
	succeed(t, w, aTask(in, task.Input{Name: "none"}), s)
}

func TestInputsThatADiskCantHoldFailTheDatum(t *testing.T) {
	long := strings.Repeat("n", 256)
	cases := []struct {
		name    string
		entries map[string]any
		words   []string
	}{
		{"absolute link", map[string]any{"l": linkTo("/etc/passwd")}, []string{"r/l", "/etc/passwd", "absolute"}},
		{"link out of the input", map[string]any{"d/l": linkTo("../../other/x")}, []string{"r/d/l", "leaves"}},
		{"link out of the task", map[string]any{"l": linkTo("../../../x")}, []string{"leaves"}},
		{"chain of links", map[string]any{"x/y/up": linkTo("../.."), "l": linkTo("x/y/up/../../code")}, []string{"r/l", ".. behind a name"}},
		{"file beside directory", map[string]any{"a": "file", "a/b": "below"}, []string{"r/a", "file and a directory"}},
		{"link beside directory", map[string]any{"a": linkTo("b"), "a/b": "below"}, []string{"r/a", "file and a directory"}},
		{"long name", map[string]any{long: "x"}, []string{long, "name too long"}},
		{"long folder name", map[string]any{long + "/x": "x"}, []string{"name too long"}},
		{"long link name", map[string]any{long: linkTo("x")}, []string{"name too long"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := &chunk.Mem{}
			ran := false
			w := newWorker(t, program(t, func(string) { ran = true }))
			refuse(t, w, aTask(whole("r", build(t, s, c.entries))), s, c.words...)
			if ran {
				t.Error("the program ran all the same")
			}
			succeed(t, w, aTask(), s) // the worker is as good as new
		})
	}
}

// missing is a store that lost its data.
type missing struct{ chunk.Mem }

func (m *missing) Get(ctx context.Context, k chunk.Kind, id chunk.ID) ([]byte, error) {
	if k == chunk.Data {
		return nil, chunk.ErrNotFound
	}
	return m.Mem.Get(ctx, k, id)
}

func TestLostInputIsTheInfrastructuresFault(t *testing.T) {
	s := &missing{}
	root := build(t, s, map[string]any{"a": "alpha"})
	w := newWorker(t, program(t, func(string) { t.Error("the program ran") }))
	res, err := w.Run(context.Background(), aTask(whole("r", root)), s)
	if !errors.Is(err, chunk.ErrNotFound) || !strings.Contains(err.Error(), "r/a") {
		t.Errorf("result %+v, error %v", res, err)
	}
}

func TestNothingOfATaskIsLeftForTheNext(t *testing.T) {
	s := &chunk.Mem{}
	root := build(t, s, map[string]any{"d/a": "alpha"})
	outside := filepath.Join(t.TempDir(), "kept")
	write(t, outside, "kept", 0o600)
	mess := []func(dir string){
		func(dir string) {
			write(t, filepath.Join(dir, "tmp/x/y"), "", 0o600)
			must(t, os.Chmod(filepath.Join(dir, "tmp/x"), 0))
		},
		func(dir string) { must(t, os.Symlink(filepath.Dir(outside), filepath.Join(dir, "tmp/l"))) },
		func(dir string) { must(t, os.Chmod(filepath.Join(dir, "out"), 0o500)) },
		func(dir string) { must(t, os.Chmod(filepath.Join(dir, "tmp"), 0)) },
		func(dir string) {
			must(t, os.Remove(filepath.Join(dir, "tmp")))
			must(t, os.Symlink(filepath.Dir(outside), filepath.Join(dir, "tmp")))
		},
		func(dir string) { // a name more among the inputs, covertly
			must(t, os.Chmod(filepath.Join(dir, "in"), 0o755))
			write(t, filepath.Join(dir, "in/more"), "", 0o600)
			must(t, os.Chmod(filepath.Join(dir, "in"), 0o555))
			must(t, os.Chtimes(filepath.Join(dir, "in"), fixedTime, fixedTime))
		},
		func(dir string) { // an input moved away and a link left
			must(t, os.Chmod(filepath.Join(dir, "in"), 0o755))
			must(t, os.Chmod(filepath.Join(dir, "in/r"), 0o755))
			must(t, os.Rename(filepath.Join(dir, "in/r"), filepath.Join(dir, "tmp/r")))
			must(t, os.Symlink(filepath.Dir(outside), filepath.Join(dir, "in/r")))
			must(t, os.Chmod(filepath.Join(dir, "in"), 0o555))
			must(t, os.Chtimes(filepath.Join(dir, "in"), fixedTime, fixedTime))
		},
		func(dir string) { must(t, os.Chmod(filepath.Join(dir, "in/r"), 0)) },
		func(dir string) {
			must(t, clear(filepath.Join(dir, "in")))
			must(t, os.Remove(filepath.Join(dir, "in")))
			write(t, filepath.Join(dir, "in"), "a file", 0o400)
		},
	}
	for i, m := range mess {
		w := newWorker(t, program(t, m))
		succeed(t, w, aTask(whole("r", root)), s)
		w.opts.Exec = program(t, func(dir string) {
			var found []string
			must(t, filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
				rel, _ := filepath.Rel(dir, p)
				found = append(found, filepath.ToSlash(rel))
				return err
			}))
			if got := strings.Join(found, " "); got != ". code in in/r in/r/d in/r/d/a out tmp" {
				t.Errorf("after mess %d the next program finds %s", i, got)
			}
			for d, mode := range map[string]fs.FileMode{"out": 0o755, "tmp": 0o755, "in": 0o555, "in/r": 0o555, "in/r/d": 0o555} {
				info, err := os.Lstat(filepath.Join(dir, d))
				must(t, err)
				if info.Mode() != fs.ModeDir|mode || mode == 0o555 && !info.ModTime().Equal(fixedTime) {
					t.Errorf("after mess %d: %s is %v of %v", i, d, info.Mode(), info.ModTime())
				}
			}
		})
		succeed(t, w, aTask(whole("r", root)), s)
		if b, err := os.ReadFile(outside); err != nil || string(b) != "kept" {
			t.Errorf("mess %d reached out of the folder: %q, %v", i, b, err)
		}
	}
}

// TestInputsAreUsedAgain: whatever a worker laid out before, and whatever the
// program did to it, the next program finds exactly its own inputs.
func TestInputsAreUsedAgain(t *testing.T) {
	s := &chunk.Mem{}
	trees := []map[string]any{
		{"a": "alpha"},
		{"b": "much longer than alpha"},
		{"b": executable("#!")},
		{"a": "1", "b": "2", "c": "3"},
		{"d/a": "alpha", "d/e/f": "x"},
		{"d": "a file now"},
		{"d/e": "a file here", "a": ""},
		{"a/d": "a folder now"},
		{"l": linkTo("a"), "a": "alpha"},
		{"a": linkTo("l"), "l": "alpha"},
		{},
	}
	outside := filepath.Join(t.TempDir(), "kept")
	mess := []func(in string){
		func(string) {},
		func(in string) { // more names, other modes
			write(t, filepath.Join(in, "zz/more"), "left", 0o600)
			write(t, filepath.Join(in, "more"), "left", 0o600)
		},
		func(in string) { // a file has another name elsewhere
			must(t, filepath.WalkDir(in, func(p string, d fs.DirEntry, err error) error {
				if err == nil && d.Type().IsRegular() {
					_ = os.Remove(outside)
					err = os.Link(p, outside)
				}
				return err
			}))
		},
		func(in string) { must(t, os.Symlink(filepath.Dir(outside), filepath.Join(in, "link"))) },
	}
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorker(t, program(t, func(string) {}))
		for range rapid.IntRange(2, 6).Draw(rt, "tasks") {
			entries := rapid.SampledFrom(trees).Draw(rt, "input")
			do := rapid.SampledFrom(mess).Draw(rt, "mess")
			_ = os.Remove(outside)
			w.opts.Exec = program(t, func(dir string) {
				in := filepath.Join(dir, "in/r")
				if diff := cmp.Diff(wantIn(entries), foundIn(t, in)); diff != "" {
					rt.Errorf("(-want +found):\n%s", diff)
				}
				must(t, os.Chmod(in, 0o755))
				do(in)
			})
			succeed(t, w, aTask(whole("r", build(t, s, entries))), s)
			linked, err := os.ReadFile(outside)
			w.opts.Exec = program(t, func(string) {})
			succeed(t, w, aTask(whole("r", build(t, s, map[string]any{"other": "text"}))), s)
			if now, again := os.ReadFile(outside); err == nil && (again != nil || !bytes.Equal(now, linked)) {
				rt.Errorf("a file with another name, outside, was %q and is %q", linked, now)
			}
		}
	})
}

// wantIn spells what a program is to find, as foundIn does.
func wantIn(entries map[string]any) map[string]string {
	want := map[string]string{}
	for p, v := range entries {
		switch v := v.(type) {
		case string:
			want[p] = "-r--r--r-- " + v
		case executable:
			want[p] = "-r-xr-xr-x " + string(v)
		case linkTo:
			want[p] = "link " + string(v)
		}
	}
	return want
}

func foundIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		info, err := d.Info()
		must(t, err)
		if !info.ModTime().Equal(fixedTime) || d.IsDir() && info.Mode().Perm() != 0o555 {
			t.Errorf("%s is %v of %v", rel, info.Mode(), info.ModTime())
		}
		switch {
		case d.Type() == fs.ModeSymlink:
			to, err := os.Readlink(p)
			must(t, err)
			found[rel] = "link " + to
		case d.Type().IsRegular():
			b, err := os.ReadFile(p)
			must(t, err)
			found[rel] = info.Mode().String() + " " + string(b)
		case d.IsDir():
			entries, err := os.ReadDir(p)
			must(t, err)
			if len(entries) == 0 && rel != "." {
				found[rel] = "empty folder"
			}
		}
		return nil
	}))
	return found
}

func TestCodeIsReusedOnlyWhenUntouched(t *testing.T) {
	s := &chunk.Mem{}
	k := aTask()
	k.Code = build(t, s, map[string]any{"run.sh": executable("echo 1"), "lib/data": "123"})
	inode := func(w *Worker) uint64 {
		info, err := os.Stat(w.path("code/lib/data"))
		must(t, err)
		return VersionOf(info).Inode
	}
	check := func(dir string) {
		b, err := os.ReadFile(filepath.Join(dir, "code/lib/data"))
		if err != nil || string(b) != "123" {
			t.Errorf("code/lib/data: %q, %v", b, err)
		}
		if info, err := os.Stat(filepath.Join(dir, "code/run.sh")); err != nil || info.Mode().String() != "-r-xr-xr-x" {
			t.Errorf("code/run.sh: %v, %v", info, err)
		}
		if names, err := filepath.Glob(filepath.Join(dir, "code/*")); err != nil || len(names) != 2 {
			t.Errorf("code/ holds %v, %v", names, err)
		}
	}
	w := newWorker(t, program(t, check))
	succeed(t, w, k, s)
	first := inode(w)
	succeed(t, w, k, s)
	if inode(w) != first {
		t.Error("untouched code was laid out again")
	}
	// What a program with its owner's rights can do to it, as covertly as it may.
	edits := map[string]func(dir string){
		"rewritten in place": func(dir string) {
			file := filepath.Join(dir, "lib/data")
			must(t, os.Chmod(file, 0o600))
			must(t, os.WriteFile(file, []byte("666"), 0))
			must(t, os.Chmod(file, 0o444))
			must(t, os.Chtimes(file, fixedTime, fixedTime))
		},
		"added file": func(dir string) {
			must(t, os.Chmod(dir, 0o700))
			write(t, filepath.Join(dir, "sitecustomize.py"), "evil", 0o444)
			must(t, os.Chmod(dir, 0o555))
			must(t, os.Chtimes(dir, fixedTime, fixedTime))
		},
		"mode": func(dir string) { must(t, os.Chmod(filepath.Join(dir, "run.sh"), 0o777)) },
		"replaced": func(dir string) {
			must(t, clear(dir))
			write(t, filepath.Join(dir, "lib/data"), "666", 0o444)
		},
		"linked away": func(dir string) {
			must(t, os.Chmod(dir, 0o755))
			must(t, os.Rename(dir, filepath.Join(filepath.Dir(dir), "tmp/moved")))
			must(t, os.Symlink("tmp/moved", dir))
		},
	}
	for name, edit := range edits {
		w.opts.Exec = program(t, func(dir string) { check(dir); edit(filepath.Join(dir, "code")) })
		succeed(t, w, k, s)
		w.opts.Exec = program(t, func(dir string) { t.Log(name); check(dir) })
		succeed(t, w, k, s)
	}
	k.Code = tree.Root{}
	w.opts.Exec = program(t, func(dir string) {
		if names, err := os.ReadDir(filepath.Join(dir, "code")); err != nil || len(names) != 0 {
			t.Errorf("without code: %v, %v", names, err)
		}
	})
	succeed(t, w, k, s)
}

func TestProcessIsDescribedWhole(t *testing.T) {
	s := &chunk.Mem{}
	var got Process
	var stdin string
	w := newWorker(t, inProcess(func(_ context.Context, p Process) (Exit, error) {
		got, stdin = p, ""
		if p.Stdin != "" {
			b, err := os.ReadFile(p.Stdin)
			must(t, err)
			stdin = string(b)
		}
		return Exit{}, nil
	}))
	cases := []struct {
		name   string
		change func(*spec.Transform)
		path   string // below the task's folder
		dir    string
		stdin  string
	}{
		{"plain", func(*spec.Transform) {}, "", "", ""},
		{"stdin", func(x *spec.Transform) { x.Stdin = []string{"a", "", "b"} }, "", "", "a\n\nb\n"},
		{"one empty line", func(x *spec.Transform) { x.Stdin = []string{""} }, "", "", "\n"},
		{"folder", func(x *spec.Transform) { x.WorkingDir = "code/sub" }, "", "code/sub", ""},
		{"out", func(x *spec.Transform) { x.WorkingDir = "./out" }, "", "out", ""},
		{"program of the code", func(x *spec.Transform) { x.Cmd = []string{"./code//run.sh", "x"} }, "code/run.sh", "", ""},
	}
	for _, c := range cases {
		k := aTask()
		k.Code = build(t, s, map[string]any{"sub/x": "", "run.sh": executable("")})
		c.change(&k.Transform)
		succeed(t, w, k, s)
		wantPath := ""
		if c.path != "" {
			wantPath = w.path(c.path)
		}
		if got.Path != wantPath || got.Dir != w.path(c.dir) || stdin != c.stdin || got.Argv[0] != k.Transform.Cmd[0] {
			t.Errorf("%s: %+v, stdin %q", c.name, got, stdin)
		}
	}
	for dir, word := range map[string]string{"../x": "leaves", "/etc": "leaves", "code/none": "no folder", "code/run.sh": "no folder"} {
		k := aTask()
		k.Transform.WorkingDir = dir
		refuse(t, w, k, s, "working_dir", dir, word)
	}
	k := aTask()
	k.Transform.Cmd = nil
	refuse(t, w, k, s, "no command")
}
