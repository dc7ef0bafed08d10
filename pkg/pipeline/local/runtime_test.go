//go:build unix

package local

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// bin fills a folder with programs; the texts say what BIN stands for.
func bin(t *testing.T, programs map[string]string) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range programs {
		mode := os.FileMode(0o644)
		if n, ok := strings.CutSuffix(name, "*"); ok {
			name, mode = n, 0o755
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.ReplaceAll(text, "BIN", dir)), mode); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestRuntimeListsTheInterpreterChain(t *testing.T) {
	r, s := shared.get(t), &chunk.Mem{}
	dir := bin(t, map[string]string{
		"elf*": "\x7fELF", "script*": "#!BIN/elf -x\n", "nested*": "#! BIN/script\n", "byenv*": "#!/usr/bin/env -S A=1 elf -v\n",
		"plain": "text", "crlf*": "#!BIN/elf\r\n", "relative*": "#!elf\n", "lost*": "#!BIN/none\n", "bare*": "#!\n", "empty*": "",
		"loop*": "#!BIN/loop\n", "deep5*": "#!BIN/deep4\n", "deep4*": "#!BIN/deep3\n", "deep3*": "#!BIN/nested\n",
	})
	if err := os.Symlink("script", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	files := code(t, s, map[string]string{
		"run*": "#!" + dir + "/nested\n", "env*": "#!/usr/bin/env elf\n", "binary*": "\x7fELF", "plain": "#!/bin/sh\n", "empty*": "",
		"long*": "#!" + dir + "/elf " + strings.Repeat("x", 10<<10), "sub/run*": "#!" + dir + "/elf", "crlf*": "#!/bin/sh\r\n",
	})
	cases := []struct {
		cmd  string
		path string // declared PATH
		code tree.Root
		want string // names below dir, or words of the error
		err  error
	}{
		{cmd: "elf", path: dir, want: "elf"},
		{cmd: dir + "/elf", want: "elf"},
		{cmd: dir + "/script", want: "script elf"},
		{cmd: dir + "/link", want: "script elf"},
		{cmd: "nested", path: "/none:" + dir, want: "nested script elf"},
		{cmd: "byenv", path: "rel:" + dir, want: "byenv elf"},
		{cmd: dir + "/bare", want: "bare"},
		{cmd: dir + "/empty", want: "empty"},
		{cmd: dir + "/deep3", want: "deep3 nested script elf"},
		{cmd: "code/run", code: files, want: "nested script elf"},
		{cmd: "./code/sub/../run", code: files, want: "nested script elf"},
		{cmd: "code/env", path: dir, code: files, want: "elf"},
		{cmd: "code/binary", code: files, want: ""},
		{cmd: "code/empty", code: files, want: ""},
		{cmd: "code/long", code: files, want: "elf"},
		{cmd: "code/sub/run", code: files, want: "elf"},
		{cmd: "code/none", code: files, want: "the code folder has no none", err: fs.ErrNotExist},
		{cmd: "code/plain", code: files, want: "chmod +x", err: fs.ErrInvalid},
		{cmd: "code/sub", code: files, want: "not an executable file", err: fs.ErrInvalid},
		{cmd: "code/crlf", code: files, want: "Windows line ends", err: fs.ErrInvalid},
		{cmd: "code/run", want: "no code folder", err: fs.ErrNotExist},
		{cmd: "elf", want: "not on the fixed PATH of pipelines (" + Path + ")", err: fs.ErrNotExist},
		{cmd: "plain", path: dir, want: "the PATH that the pipeline declares (" + dir + ")", err: fs.ErrNotExist},
		{cmd: dir + "/plain", want: "not executable", err: fs.ErrPermission},
		{cmd: dir, want: "is no file", err: fs.ErrInvalid},
		{cmd: dir + "/none", want: dir + "/none", err: fs.ErrNotExist},
		{cmd: "sub/x", want: "as code/NAME", err: fs.ErrInvalid},
		{cmd: "code/../x", want: "as code/NAME", err: fs.ErrInvalid},
		{cmd: dir + "/crlf", want: "Windows line ends", err: fs.ErrInvalid},
		{cmd: dir + "/relative", want: "no absolute path", err: fs.ErrInvalid},
		{cmd: dir + "/lost", want: dir + "/none", err: fs.ErrNotExist},
		{cmd: dir + "/loop", want: "more than 4 interpreters", err: fs.ErrInvalid},
		{cmd: dir + "/deep5", want: "more than 4 interpreters", err: fs.ErrInvalid},
	}
	for _, c := range cases {
		x := spec.Transform{Cmd: []string{c.cmd}}
		if c.path != "" {
			x.Env = map[string]string{"PATH": c.path}
		}
		rt, err := r.Runtime(context.Background(), x, c.code, s)
		if c.err != nil {
			if !errors.Is(err, c.err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: error %v, want %q", c.cmd, err, c.want)
			}
			continue
		}
		var names []string
		for _, e := range rt.Execs {
			names = append(names, strings.TrimPrefix(e.Path, dir+"/"))
			if len(e.Digest) != 64 {
				t.Errorf("%s: digest %q", c.cmd, e.Digest)
			}
		}
		if got := strings.Join(names, " "); err != nil || got != c.want || rt.Host != hostFingerprint() || rt.Image != "" {
			t.Errorf("%s: %q of %+v, %v; want %q", c.cmd, got, rt, err, c.want)
		}
	}
	if _, err := r.Runtime(context.Background(), spec.Transform{}, tree.Root{}, s); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("no command: %v", err)
	}
}

// What Runtime lists is what Run runs.
func TestRunFollowsTheDeclaredPath(t *testing.T) {
	r, s := shared.get(t), &chunk.Mem{}
	dir := bin(t, map[string]string{"mine*": "#!/bin/sh\necho mine\n"})
	for _, cmd := range []string{"mine", dir + "/mine"} {
		k := task.Task{Transform: spec.Transform{Cmd: []string{cmd}, Env: map[string]string{"PATH": dir}}}
		if log := succeed(t, r, k, s); log != "mine\n" {
			t.Errorf("log %q", log)
		}
	}
	// How it is called stays as it is: many programs look.
	if err := os.Symlink("/bin/sh", filepath.Join(dir, "called")); err != nil {
		t.Fatal(err)
	}
	k := task.Task{Transform: spec.Transform{Cmd: []string{dir + "/called", "-c", `echo "$0"`}}}
	if log := succeed(t, r, k, s); log != dir+"/called\n" {
		t.Errorf("called %q", log)
	}
}

func TestDigestFollowsTheProgram(t *testing.T) {
	s := &chunk.Mem{}
	dir := bin(t, map[string]string{"a*": "version 1", "b*": "version 1"})
	for _, later := range []time.Duration{-time.Hour, time.Hour} { // without and with remembered hashes
		now := func() time.Time { return time.Now().Add(later) }
		r, err := New(Options{Dir: t.TempDir(), Params: chunk.DefaultParams(), Now: now})
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "a")
		runtime := func(file string) memo.Executable {
			rt, err := r.Runtime(context.Background(), spec.Transform{Cmd: []string{file}}, tree.Root{}, s)
			if err != nil {
				t.Fatal(err)
			}
			return rt.Execs[0]
		}
		if err := os.WriteFile(file, []byte("version 1"), 0o755); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		first := runtime(file)
		if again := runtime(file); again != first {
			t.Errorf("unchanged: %+v, then %+v", first, again)
		}
		if other := runtime(filepath.Join(dir, "b")); other.Digest != first.Digest || other.Path == first.Path {
			t.Errorf("a copy: %+v and %+v", first, other)
		}
		time.Sleep(12 * time.Millisecond) // a tick of the disk's clock
		if err := os.WriteFile(file, []byte("version 2"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, info.ModTime(), info.ModTime()); err != nil {
			t.Fatal(err)
		}
		second := runtime(file)
		if second.Digest == first.Digest {
			t.Errorf("with a clock ahead by %v: a changed program of the same size and time has the same digest", later)
		}
		if known := len(r.digests.known); (later > 0) != (known > 0) {
			t.Errorf("with a clock ahead by %v: %d hashes remembered", later, known)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestNewChecksItsOptions(t *testing.T) {
	if _, err := New(Options{Dir: t.TempDir(), Params: chunk.DefaultParams()}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("without a clock: %v", err)
	}
	if _, err := New(Options{Dir: t.TempDir(), Now: time.Now}); err == nil {
		t.Error("without parameters: no error")
	}
}
