//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/worker"
)

// stubEnv makes this test binary a stub.
const stubEnv = "DVX_TEST_STUB"

// stubScratch names the folder that the stub is to empty.
const stubScratch = "DVX_TEST_STUB_SCRATCH"

// maybeStub turns the process into a stub if it was started as one.
func maybeStub() {
	if socket := os.Getenv(stubEnv); socket != "" {
		if err := Stub(context.Background(), socket, []string{os.Getenv(stubScratch)}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// startStub starts a stub beside the test, as a container would, and waits for
// its call.
func startStub(t *testing.T) (*StubClient, *exec.Cmd) {
	t.Helper()
	scratch := t.TempDir()
	t.Setenv("SCRATCH", scratch)
	socket := filepath.Join(t.TempDir(), "s")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), stubEnv+"="+socket, stubScratch+"="+scratch)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c, err := AwaitStub(t.Context(), socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = c.Close()
		_ = cmd.Wait()
	})
	if _, err := os.Stat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is there for others to call: %v", err)
	}
	return c, cmd
}

// sh runs a shell script in a worker's folder through a stub.
func sh(ctx context.Context, t *testing.T, c *StubClient, dir, script string) (worker.Exit, string, error) {
	t.Helper()
	for _, name := range []string{"task/out", "task/tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(dir, "log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	exit, err := StubFolder{Client: c, Dir: dir}.Exec(ctx, worker.Process{
		Argv: []string{"sh", "-c", script}, Env: []string{"PATH=" + Path, "SCRATCH=" + os.Getenv("SCRATCH")}, Dir: filepath.Join(dir, "task"), Log: log,
	})
	said, rerr := os.ReadFile(log)
	if rerr != nil {
		t.Fatal(rerr)
	}
	return exit, string(said), err
}

func TestStubRunsOneProgramAfterTheOther(t *testing.T) {
	c, _ := startStub(t)
	dir := t.TempDir()
	for _, tt := range []struct {
		script, said string
		code         int
	}{
		{"echo hello; exit 3", "hello\n", 3},
		{"pwd | sed 's,.*/,,'", "task\n", 0},
		{"umask", "0022\n", 0},
	} {
		exit, said, err := sh(t.Context(), t, c, dir, tt.script)
		if err != nil || exit.Code != tt.code || said != tt.said {
			t.Errorf("%s: %+v, %q, %v", tt.script, exit, said, err)
		}
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("between programs the folder is open to them: %v, %v", info.Mode(), err)
	}
}

func TestStubSaysWhatTheImageLacks(t *testing.T) {
	c, _ := startStub(t)
	dir := t.TempDir()
	_, _, _ = sh(t.Context(), t, c, dir, "true")
	exit, err := StubFolder{Client: c, Dir: dir}.Exec(t.Context(), worker.Process{
		Argv: []string{"no-such-program"}, Env: []string{"PATH=/bin"}, Dir: filepath.Join(dir, "task"), Log: filepath.Join(dir, "log"),
	})
	if err != nil || exit.Code != 127 || !strings.HasSuffix(exit.Failure, "the image does not have it") {
		t.Errorf("%+v, %v", exit, err)
	}
}

// What a program leaves running is killed, and what it wrote can be read and
// removed by the group.
func TestStubLeavesNothing(t *testing.T) {
	c, _ := startStub(t)
	dir := t.TempDir()
	left := t.TempDir()
	exit, _, err := sh(t.Context(), t, c, dir, "mkdir -m 700 out/d && echo x > out/d/f && chmod 600 out/d/f && (setsid sh -c 'echo $$ >"+left+"/a.pid; sleep 600' &); while [ ! -s "+left+"/a.pid ]; do :; done")
	noneAlive(t, left, 1)
	if err != nil || exit.Left == 0 {
		t.Errorf("%+v, %v", exit, err)
	}
	for name, want := range map[string]os.FileMode{"d": 0o770, "d/f": 0o640} {
		if info, err := os.Stat(filepath.Join(dir, "task/out", name)); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v, want %v", name, info.Mode(), err, want)
		}
	}
	if _, said, err := sh(t.Context(), t, c, dir, `mkdir -p "$SCRATCH/a" && echo x >"$SCRATCH/a/b" && chmod 500 "$SCRATCH/a"`); err != nil || said != "" {
		t.Errorf("%q, %v", said, err)
	}
	if left, err := os.ReadDir(os.Getenv("SCRATCH")); err != nil || len(left) != 0 {
		t.Errorf("left in the shared folder: %v, %v", left, err)
	}
}

func TestStubKills(t *testing.T) {
	c, _ := startStub(t)
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	left := t.TempDir()
	go func() {
		for ctx.Err() == nil {
			if b, err := os.ReadFile(filepath.Join(left, "a.pid")); err == nil && len(b) > 0 { // it runs
				cancel()
			}
			time.Sleep(time.Millisecond)
		}
	}()
	exit, _, err := sh(ctx, t, c, dir, "echo $$ >"+left+"/a.pid; sleep 600")
	noneAlive(t, left, 1)
	if err != nil || !exit.Killed {
		t.Errorf("%+v, %v", exit, err)
	}
	if exit, _, err := sh(t.Context(), t, c, dir, "exit 4"); err != nil || exit.Code != 4 {
		t.Errorf("the next program: %+v, %v", exit, err)
	}
}

func TestStubLost(t *testing.T) {
	c, cmd := startStub(t)
	dir := t.TempDir()
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := sh(t.Context(), t, c, dir, "true"); !IsLost(err) {
		t.Errorf("%v is no loss", err)
	}
}

func TestOOMKills(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"cgroups 2": {"memory.events": "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n"},
		"cgroups 1": {"memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"},
	} {
		dir := t.TempDir()
		if got := oomKills(dir); got != 0 {
			t.Errorf("%s, without a count: %d", name, got)
		}
		for file, text := range files {
			file = filepath.Join(dir, file)
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(text), 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		if got := oomKills(dir); got != 2 {
			t.Errorf("%s: %d, want 2", name, got)
		}
	}
}
