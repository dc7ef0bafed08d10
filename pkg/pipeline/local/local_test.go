//go:build unix

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// ownerEnv makes the test binary a process that owns a runner.
const ownerEnv = "DVX_TEST_OWNER"

func TestMain(m *testing.M) {
	MaybeSlot()
	if os.Getenv("DVX_BATCH") != "" {
		serveBatch()
	}
	maybeStub()
	if dir := os.Getenv(ownerEnv); dir != "" {
		own(dir)
	}
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// shared is the runner of the tests that leave nothing behind: of one slot, so
// that they also show that nothing is left.
var shared sharedRunner

type sharedRunner struct {
	*Runner
	dir string
}

// get returns the runner, made on first use.
func (r *sharedRunner) get(t testing.TB) *Runner {
	t.Helper()
	if r.Runner == nil {
		var err error
		if r.dir, err = os.MkdirTemp("", "local"); err != nil {
			t.Fatal(err)
		}
		if r.Runner, err = New(Options{Dir: r.dir, Slots: 1, Params: chunk.DefaultParams(), Now: time.Now}); err != nil {
			t.Fatal(err)
		}
	}
	return r.Runner
}

func (r *sharedRunner) close() error {
	if r.Runner == nil {
		return nil
	}
	err := r.Close()
	unlock(r.dir)
	return errors.Join(err, os.RemoveAll(r.dir))
}

// unlock makes folders writable: what is read-only only root can remove.
func unlock(dir string) {
	_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			_ = os.Chmod(p, 0o700)
		}
		return nil
	})
}

// own runs the script dir/script in a runner, to be killed while it runs.
func own(dir string) {
	r, err := New(Options{Dir: filepath.Join(dir, "slots"), Slots: 1, Params: chunk.DefaultParams(), Now: time.Now})
	if err == nil {
		_, err = r.Run(context.Background(), shell(". "+filepath.Join(dir, "script")), &chunk.Mem{})
	}
	fmt.Fprintln(os.Stderr, "not killed:", err)
	os.Exit(1)
}

func newRunner(t testing.TB, slots int) *Runner {
	t.Helper()
	return newRunnerWith(t, Options{Slots: slots})
}

// newRunnerWith makes a runner in a folder of its own.
func newRunnerWith(t testing.TB, o Options) *Runner {
	t.Helper()
	dir := t.TempDir()
	o.Dir, o.Params, o.Now = dir, chunk.DefaultParams(), time.Now
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		unlock(dir)
	})
	return r
}

// shell makes a task of a shell script.
func shell(script string) task.Task {
	return task.Task{
		Key: memo.Key(chunk.Data.Sum([]byte(script))), Attempt: 1,
		Transform: spec.Transform{Cmd: []string{"sh", "-c", script}},
	}
}

// hung is how long something may take: what takes longer never ends.
const hung = 5 * time.Minute

// run runs a task that must come to an end.
func run(t testing.TB, r *Runner, k task.Task, s chunk.Store) task.Result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), hung)
	defer cancel()
	res, err := r.Run(ctx, k, s)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// succeed runs a task that must succeed and returns its log.
func succeed(t testing.TB, r *Runner, k task.Task, s chunk.Store) string {
	t.Helper()
	res := run(t, r, k, s)
	log := content(t, s, res.Log)
	if res.Outcome != task.Succeeded {
		t.Fatalf("outcome %q: %s\n%s", res.Outcome, res.Reason, log)
	}
	return log
}

func content(t testing.TB, s chunk.Store, c chunk.Content) string {
	t.Helper()
	r, err := chunk.OpenContent(context.Background(), s, c)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// code stores a code tree; names that end in * are executable.
func code(t testing.TB, s chunk.Store, files map[string]string) tree.Root {
	t.Helper()
	ctx := context.Background()
	b := tree.NewBuilder(s)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		c, err := chunk.WriteContent(ctx, s, chunk.DefaultParams(), strings.NewReader(files[name]))
		if err != nil {
			t.Fatal(err)
		}
		e := tree.Entry{Kind: tree.File, Exec: strings.HasSuffix(name, "*"), Content: c}
		if err := b.Add(ctx, strings.TrimSuffix(name, "*"), e); err != nil {
			t.Fatal(err)
		}
	}
	root, err := b.Finish(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// eventually fails the test unless ok holds in the end.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(hung); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("not within %v: %s", hung, what)
		}
	}
}

// pids reads the process numbers that programs left in files below dir.
func pids(t *testing.T, dir string) []int {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.pid"))
	if err != nil {
		t.Fatal(err)
	}
	var all []int
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range strings.Fields(string(b)) {
			pid, err := strconv.Atoi(word)
			if err != nil {
				t.Fatalf("%s: %v", f, err)
			}
			all = append(all, pid)
		}
	}
	return all
}

// alive reports whether a process runs (zombies do not).
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return !os.IsNotExist(err)
	}
	rest := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	return len(rest) > 0 && rest[0] != "Z"
}

// noneAlive fails the test unless at least want processes left their numbers in
// dir and none of them lives.
func noneAlive(t *testing.T, dir string, want int) {
	t.Helper()
	all := pids(t, dir)
	if len(all) < want {
		t.Errorf("%d processes left their number, want %d", len(all), want)
	}
	for _, pid := range all {
		if alive(pid) {
			t.Errorf("process %d is alive", pid)
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// startOwner starts a process that runs script in a runner of its own.
func startOwner(t *testing.T, dir, script string) *exec.Cmd {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "script"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), ownerEnv+"="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func dirEntry(root tree.Root) tree.Entry { return tree.Entry{Kind: tree.Dir, Dir: root} }
