//go:build scale

package scale

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// files is how many files the stores of these tests hold.
const files = 1_000_000

// program returns the command line tool of DVX_BIN.
func program(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("DVX_BIN")
	if dir == "" {
		t.Fatal("DVX_BIN must name the folder of the built binaries; make scale sets it")
	}
	return filepath.Join(dir, "dvx")
}

// measured is what a process took.
type measured struct {
	out  string
	took time.Duration
	rss  int64 // largest resident set, in bytes
}

// run runs the tool on a store.
func run(t *testing.T, store string, args ...string) measured {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t), args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "DVX_STORE="+store, "DVX_HOME="+t.TempDir())
	return measure(t, cmd)
}

// outputMax is how much of a process's output is kept. What this process holds
// in memory when it starts another counts for that too.
const outputMax = 1 << 20

// measure runs a command to its end.
func measure(t *testing.T, cmd *exec.Cmd) measured {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "output")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cmd.Stdout, cmd.Stderr = file, file
	start := time.Now()
	err = cmd.Run()
	took := time.Since(start)
	out, rerr := io.ReadAll(io.NewSectionReader(file, 0, outputMax))
	if rerr != nil {
		t.Fatal(rerr)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
	usage := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return measured{string(out), took, usage.Maxrss << 10}
}

// TestReads compares, lists and reads versions of a million files, each as a
// whole process.
func TestReads(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	made := makeStore(t, dir, files)
	t.Logf("committed %d files in %v, %d MiB", files, made.took, made.rss>>20)
	for _, tt := range []struct {
		args  []string
		lines int
		most  time.Duration
	}{
		{[]string{"diff", "data@main~1", "data@main"}, 10, 50 * time.Millisecond},
		{[]string{"log", "data"}, -1, 50 * time.Millisecond},
		{[]string{"show", "data@main"}, -1, 50 * time.Millisecond},
		{[]string{"ls", "data@main:/000/500"}, 1000, 50 * time.Millisecond},
		{[]string{"cat", "data@main:/" + path(123_456)}, -1, 50 * time.Millisecond},
	} {
		var all []time.Duration
		var last measured
		for range 9 {
			last = run(t, dir, tt.args...)
			all = append(all, last.took)
		}
		slices.Sort(all)
		t.Logf("dvx %s: median %v, best %v, %d MiB", strings.Join(tt.args, " "), all[4], all[0], last.rss>>20)
		if n := strings.Count(last.out, "\n"); tt.lines >= 0 && n != tt.lines {
			t.Errorf("dvx %s printed %d lines", strings.Join(tt.args, " "), n)
		}
		if all[4] > tt.most {
			t.Errorf("dvx %s took %v", strings.Join(tt.args, " "), all[4])
		}
	}
}
