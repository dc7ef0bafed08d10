package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// newMemoryWorker makes a worker of which the second folder counts as one in
// memory.
func newMemoryWorker(t *testing.T, exec Executor) *Worker {
	t.Helper()
	dir := t.TempDir()
	w, err := New(chunk.DefaultParams(), Options{
		Dir: filepath.Join(dir, "disk"), Memory: filepath.Join(dir, "memory"), Exec: exec, Path: "/bin", Now: clock(),
	})
	must(t, err)
	w.room = func(string) int64 { return 1 << 40 }
	t.Cleanup(func() {
		if err := errors.Join(clear(w.opts.Dir), clear(w.opts.Memory)); err != nil {
			t.Error(err)
		}
	})
	return w
}

func inMemory(w *Worker, dir string) bool { return strings.HasPrefix(dir, w.opts.Memory) }

// look lists what a program finds, with modes, and times that are not the fixed
// one.
func look(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		must(t, err)
		info, err := d.Info()
		must(t, err)
		rel, err := filepath.Rel(dir, p)
		must(t, err)
		if rel == "." || rel == "tmp" { // a file in tmp is seen
			return nil
		}
		_, _ = fmt.Fprintf(&b, "%s %v", rel, info.Mode())
		if rel != "out" && rel != "code" && !info.ModTime().Equal(fixedTime) {
			_, _ = fmt.Fprintf(&b, " %v", info.ModTime())
		}
		if info.Mode().IsRegular() {
			text, err := os.ReadFile(p)
			must(t, err)
			_, _ = fmt.Fprintf(&b, " %q", text)
		}
		_ = b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

// TestMemory: small datums move into memory, where each finds what it finds on
// the disk and nothing of the one before, whatever that did.
func TestMemory(t *testing.T) {
	elsewhere := t.TempDir()
	must(t, os.WriteFile(filepath.Join(elsewhere, "a"), []byte("mine"), 0o600))
	mischief := []func(dir string){
		func(string) {},
		func(dir string) { must(t, os.WriteFile(filepath.Join(dir, "stray"), nil, 0o600)) },
		func(dir string) {
			must(t, os.Chmod(filepath.Join(dir, "in", "r"), 0o700))
			must(t, os.WriteFile(filepath.Join(dir, "in", "r", "more"), nil, 0o600))
		},
		func(dir string) { removeAll(t, filepath.Join(dir, "in")) },
		func(dir string) {
			must(t, os.MkdirAll(filepath.Join(dir, "tmp", "d"), 0o700))
			must(t, os.WriteFile(filepath.Join(dir, "tmp", "d", "x"), nil, 0o600))
		},
		func(dir string) {
			removeAll(t, filepath.Join(dir, "in", "r"))
			must(t, os.Symlink(elsewhere, filepath.Join(dir, "in", "r")))
		},
		func(dir string) { must(t, os.Chmod(filepath.Join(dir, "in", "r", "a"), 0o000)) },
		func(dir string) {
			must(t, os.MkdirAll(filepath.Join(dir, "out", "d", "e"), 0o700))
			must(t, os.Chmod(filepath.Join(dir, "out", "d", "e"), 0o500))
			must(t, os.Chmod(filepath.Join(dir, "out"), 0o500))
		},
	}
	s := &chunk.Mem{}
	var w *Worker
	found, moved, round := "", 0, 0
	w = newMemoryWorker(t, program(t, func(dir string) {
		found = look(t, dir)
		if inMemory(w, dir) {
			moved++
		}
		must(t, os.WriteFile(filepath.Join(dir, "out", "x"), fmt.Append(nil, round), 0o666))
		mischief[round%len(mischief)](dir)
	}))
	const rounds = memoryAfter + 20
	for round = range rounds {
		k := aTask(whole("r", build(t, s, map[string]any{"a": fmt.Sprint("text ", round), "b/c": executable("do"), "e": ""})))
		k.Code = build(t, s, map[string]any{"main": executable("x")})
		res := succeed(t, w, k, s)
		want := fmt.Sprintf(`code dr-xr-xr-x
code/main -r-xr-xr-x "x"
in dr-xr-xr-x
in/r dr-xr-xr-x
in/r/a -r--r--r-- "text %d"
in/r/b dr-xr-xr-x
in/r/b/c -r-xr-xr-x "do"
in/r/e -r--r--r-- ""
out drwxr-xr-x
`, round)
		if found != want {
			t.Fatalf("round %d found\n%swant\n%s", round, found, want)
		}
		e, err := tree.Open(s, res.Output).Lookup(context.Background(), "x")
		must(t, err)
		if content(t, s, e.Content) != fmt.Sprint(round) {
			t.Fatalf("round %d has another output", round)
		}
	}
	if moved != rounds-memoryAfter {
		t.Errorf("%d of %d ran in memory", moved, rounds)
	}
	if _, err := os.Lstat(filepath.Join(w.memory.dir, "in")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("inputs are left in memory: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(elsewhere, "a")); err != nil {
		t.Errorf("a file behind a link is gone: %v", err)
	}
}

// removeAll removes a folder that is read-only, with what is in it.
func removeAll(t *testing.T, dir string) {
	t.Helper()
	must(t, os.Chmod(filepath.Dir(dir), 0o700))
	must(t, removeWhole(dir))
}

// TestMemoryIsDoubted: what fails in memory has failed, unless there was no room
// left; what uses up the room is ended. Both are run again on the disk, and so
// are the pipeline's next datums.
func TestMemoryIsDoubted(t *testing.T) {
	s := &chunk.Mem{}
	var w *Worker
	var free atomic.Int64
	var ran []bool // in memory or not
	succeeds := func(context.Context, bool) (Exit, error) { return Exit{}, nil }
	run := succeeds
	w = newMemoryWorker(t, inProcess(func(ctx context.Context, p Process) (Exit, error) {
		here := inMemory(w, p.Dir)
		ran = append(ran, here)
		return run(ctx, here)
	}))
	w.room = func(string) int64 { return free.Load() }
	k := aTask(whole("r", build(t, s, map[string]any{"a": "1"})))
	settle := func() {
		free.Store(1 << 40)
		run = succeeds
		for range memoryAfter {
			succeed(t, w, k, s)
		}
		ran = nil
	}
	want := func(places string) {
		t.Helper()
		if fmt.Sprint(ran) != places {
			t.Errorf("ran in memory: %v, want %s", ran, places)
		}
	}
	settle()
	run = func(context.Context, bool) (Exit, error) { return Exit{Code: 1}, nil }
	refuse(t, w, k, s, "exit status 1")
	refuse(t, w, k, s, "exit status 1")
	want("[true false]")

	settle()
	run = func(_ context.Context, here bool) (Exit, error) {
		if here {
			free.Store(0)
			return Exit{Code: 1}, nil
		}
		return Exit{}, nil
	}
	succeed(t, w, k, s)
	succeed(t, w, k, s)
	want("[true false false]")

	settle()
	run = func(_ context.Context, here bool) (Exit, error) { // what did not fit may not have been missed
		if here {
			free.Store(0)
		}
		return Exit{}, nil
	}
	succeed(t, w, k, s)
	want("[true false]")

	settle()
	run = func(_ context.Context, here bool) (Exit, error) {
		if here {
			return Exit{Signal: "SIGKILL"}, nil // for want of memory, perhaps
		}
		return Exit{}, nil
	}
	succeed(t, w, k, s)
	want("[true false]")

	settle()
	run = func(ctx context.Context, here bool) (Exit, error) {
		if here {
			free.Add(-memorySpend - 1)
			<-ctx.Done()
			return Exit{Killed: true, Signal: "SIGKILL"}, nil
		}
		return Exit{}, nil
	}
	succeed(t, w, k, s)
	want("[true false]")
}

// TestMemoryIsForTheSmall: what is large, or no plain file, stays on the disk.
func TestMemoryIsForTheSmall(t *testing.T) {
	s := &chunk.Mem{}
	many := map[string]any{}
	for i := range memoryFiles {
		many[fmt.Sprint(i)] = "x"
	}
	lazy := whole("r", build(t, s, map[string]any{"a": "x"}))
	lazy.Mode = task.Lazy
	for name, c := range map[string]struct {
		in   task.Input
		want bool
	}{
		"a file":  {whole("r", build(t, s, map[string]any{"a": "x"})), true},
		"large":   {whole("r", build(t, s, map[string]any{"a": strings.Repeat("x", memoryBytes+1)})), false},
		"many":    {whole("r", build(t, s, many)), false},
		"a link":  {whole("r", build(t, s, map[string]any{"a": "x", "l": linkTo("a")})), false},
		"a pipe":  {lazy, false},
		"nothing": {whole("r", build(t, s, nil)), true},
	} {
		t.Run(name, func(t *testing.T) {
			var w *Worker
			last := false
			w = newMemoryWorker(t, program(t, func(dir string) { last = inMemory(w, dir) }))
			for range memoryAfter + 1 {
				succeed(t, w, aTask(c.in), s)
			}
			if last != c.want {
				t.Errorf("ran in memory: %v", last)
			}
		})
	}
}

// TestLogIsBounded: a program that prints without end does not fill the disk,
// and its log has its beginning and its end.
func TestLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	l := &logFile{name: filepath.Join(dir, "log")}
	must(t, l.begin())
	f, err := os.OpenFile(l.name, os.O_WRONLY|os.O_APPEND, 0)
	must(t, err)
	defer func() { _ = f.Close() }()
	_, err = f.WriteString("before")
	must(t, err)
	must(t, l.begin())
	stop := l.watch()
	_, err = f.WriteString(strings.Repeat("first ", LogSizeMax/12) + strings.Repeat("0123456789", LogSizeMax/2))
	must(t, err)
	for deadline := time.Now().Add(5 * time.Minute); allocated(t, l.name) > 3*LogSizeMax; {
		if time.Now().After(deadline) {
			t.Fatalf("the log takes %d bytes", allocated(t, l.name))
		}
		time.Sleep(10 * time.Millisecond)
	}
	stop()
	text, err := os.ReadFile(l.name)
	must(t, err)
	if !strings.HasPrefix(string(text), "beforefirst first") || !strings.HasSuffix(string(text[:6+LogSizeMax/12*6]), "first ") ||
		strings.Count(string(text[len(text)-LogSizeMax/2:]), "0123456789") < LogSizeMax/20-1 {
		t.Error("an end of the log is damaged")
	}
}

// allocated returns the bytes of the disk that a file takes.
func allocated(t *testing.T, name string) int64 {
	t.Helper()
	var st syscall.Stat_t
	must(t, syscall.Stat(name, &st))
	return st.Blocks * 512
}
