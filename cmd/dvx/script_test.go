package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/local"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/rpc"
	"github.com/dvx-io/dvx/pkg/tree"
)

// TestMain makes dvx itself a command of the scripts. Slots of its daemon are
// the test's executable again.
func TestMain(m *testing.M) {
	local.MaybeSlot()
	testscript.Main(m, map[string]func(){"dvx": main})
}

// TestScript runs the stories in testdata/script, one behaviour a file. Beside
// the commands of testscript they have
//
//	exits CODE dvx ARGS...   dvx ends with this exit code; on failure it prints one error and no output
//	serve STORE [FLAGS...]   start a daemon on a store and set DVX_SERVER, S3 and DVX_KEY_FILE
//	flip OFFSET PATTERN      change a byte of each file that the pattern matches
//	setvar NAME FROM TO      set a variable to what is between two texts in standard output
//
// With -short, as under the race detector, only those with a daemon are run:
// else most of the time goes into starting processes.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Files:               scripts(t),
		RequireExplicitExec: false,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			for name, value := range map[string]string{
				"HOME": filepath.Join(e.WorkDir, ".home"), "DVX_HOME": filepath.Join(e.WorkDir, ".home", "dvx"),
				"XDG_CACHE_HOME": filepath.Join(e.WorkDir, ".home", "cache"), "DVX_AUTHOR": "ada@example.com", "TZ": "UTC",
			} {
				e.Setenv(name, value)
			}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": scriptExits, "flip": scriptFlip, "serve": scriptServe, "setvar": scriptSetvar,
			"eventually": scriptEventually, "refused": scriptRefused,
		},
	})
}

// scripts lists the scripts to run.
func scripts(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join("testdata", "script", "*.txtar"))
	if err != nil || len(all) == 0 {
		t.Fatalf("found no script: %v", err)
	}
	if !testing.Short() {
		return all
	}
	return slices.DeleteFunc(all, func(name string) bool {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return !strings.Contains(string(text), "\nserve ")
	})
}

func scriptExits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE dvx ARGS...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	if out := ts.ReadFile("stdout"); got != 0 && out != "" {
		ts.Fatalf("a command that failed printed to standard output: %q", out)
	}
	if text := ts.ReadFile("stderr"); got != 0 && (!strings.HasPrefix(text, "dvx: ") && !strings.HasPrefix(text, "{") || !strings.HasSuffix(text, "\n")) {
		ts.Fatalf("an error that is not told as all others: %q", text)
	}
}

// hung is how long something may take: what takes longer never comes.
const hung = 5 * time.Minute

// scriptEventually repeats a command until it succeeds: what another process
// changed is seen after a moment.
func scriptEventually(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: eventually COMMAND ARGS...")
	}
	for deadline := time.Now().Add(hung); ts.Exec(args[0], args[1:]...) != nil; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("still fails after %v", hung)
		}
	}
}

// scriptRefused repeats a command until it is refused.
func scriptRefused(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: refused COMMAND ARGS...")
	}
	for deadline := time.Now().Add(hung); ; time.Sleep(20 * time.Millisecond) {
		var exit *exec.ExitError
		if errors.As(ts.Exec(args[0], args[1:]...), &exit) && exit.ExitCode() == exitDenied {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("still allowed after %v", hung)
		}
	}
}

func scriptServe(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: serve STORE [FLAGS...]")
	}
	ready := ts.MkAbs("ready")
	key := filepath.Join(ts.Getenv("DVX_HOME"), "owner.key")
	path, err := exec.LookPath("dvx")
	ts.Check(err)
	cmd := exec.Command(path, append([]string{
		"serve", "--store", ts.MkAbs(args[0]), "--listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0", "--ready-file", ready, "--key-file", key,
		"--state", ts.MkAbs(".home/state"),
	}, args[1:]...)...)
	cmd.Dir, cmd.Stderr = ts.MkAbs("."), os.Stderr
	ts.Check(cmd.Start())
	ts.Defer(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	for deadline := time.Now().Add(hung); ; time.Sleep(5 * time.Millisecond) {
		b, err := os.ReadFile(ready)
		if err == nil {
			ts.Setenv("DVX_SERVER", between(string(b), `"grpc":"`, `"`))
			ts.Setenv("S3", between(string(b), `"s3":"`, `"`))
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the daemon does not listen")
		}
	}
}

func between(s, from, to string) string {
	_, rest, _ := strings.Cut(s, from)
	found, _, _ := strings.Cut(rest, to)
	return found
}

func scriptFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: flip OFFSET PATTERN")
	}
	at, err := strconv.Atoi(args[0])
	ts.Check(err)
	files, err := filepath.Glob(ts.MkAbs(args[1]))
	ts.Check(err)
	if len(files) == 0 {
		ts.Fatalf("no file matches %s", args[1])
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		ts.Check(err)
		b[at] ^= 0x40
		ts.Check(os.Remove(name)) // it is read-only
		ts.Check(os.WriteFile(name, b, 0o600))
	}
}

func scriptSetvar(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: setvar NAME FROM TO")
	}
	value := between(ts.ReadFile("stdout"), args[1], args[2])
	if value == "" {
		ts.Fatalf("nothing between %q and %q", args[1], args[2])
	}
	ts.Setenv(args[0], value)
}

// TestExitCode holds the code of each kind of error, alone and wrapped, as it
// comes from a store and as it comes from a daemon.
func TestExitCode(t *testing.T) {
	live := t.Context()
	interrupted, cancel := context.WithCancel(live)
	cancel()
	for _, c := range []struct {
		ctx  context.Context
		err  error
		want int
	}{
		{live, errors.New("whatever"), exitFailure},
		{live, usagef("no such thing"), exitUsage},
		{live, fs.ErrInvalid, exitUsage},
		{live, errors.ErrUnsupported, exitUsage},
		{live, chunk.ErrCorrupt, exitDamage},
		{live, fs.ErrNotExist, exitNotFound},
		{live, repo.ErrRepoNotFound, exitNotFound},
		{live, repo.ErrRefNotFound, exitNotFound},
		{live, tree.ErrNotFound, exitNotFound},
		{live, repo.ErrConflict, exitConflict},
		{live, fs.ErrExist, exitConflict},
		{live, repo.ErrUnknown, exitUnknown},
		{live, errors.Join(repo.ErrUnknown, rpc.ErrUnreachable), exitUnknown},
		{interrupted, errors.Join(repo.ErrUnknown, context.Canceled), exitUnknown},
		{live, fs.ErrPermission, exitDenied},
		{live, repo.ErrProtected, exitDenied},
		{live, auth.ErrDenied, exitDenied},
		{live, auth.ErrUnauthenticated, exitDenied},
		{live, syscall.ENOSPC, exitNoSpace},
		{live, syscall.EIO, exitNoSpace},
		{live, rpc.ErrUnreachable, exitUnreachable},
		{live, repo.ErrNoStore, exitNoStore},
		{interrupted, context.Canceled, exitInterrupted},
		{live, context.Canceled, exitFailure},
	} {
		if got := exitCode(c.ctx, fmt.Errorf("do something: %w", c.err)); got != c.want {
			t.Errorf("%v: exit code %d, want %d", c.err, got, c.want)
		}
	}
}

// TestEveryCommandIsHelpful holds each command's help to the same form: one line
// of what it does, and an example that begins with dvx.
func TestEveryCommandIsHelpful(t *testing.T) {
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: Short is %q, want a line without a full stop", cmd.CommandPath(), cmd.Short)
		}
		if !cmd.HasSubCommands() && !strings.Contains(cmd.Example, "dvx ") {
			t.Errorf("%s has no example", cmd.CommandPath())
		}
		cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s has no description", cmd.CommandPath(), f.Name)
			}
		})
	}
	visit(newApp(strings.NewReader(""), os.Stdout, os.Stderr).root())
}
