//go:build scale

package scale

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// group is a control group of Linux in which processes get no more memory than
// it allows: the kernel takes back cached files first, and kills a process
// that needs more. The zero group has no limit.
type group struct {
	dir  string
	peak string // file with the most that was used
}

// groupOf makes a group with a limit in bytes. Where none can be made it says
// why, and returns the zero group: what remains is to look at the resident set.
func groupOf(t *testing.T, limit int64) group {
	t.Helper()
	const top = "/sys/fs/cgroup"
	name := fmt.Sprintf("dvx-scale-%d", os.Getpid())
	g := group{filepath.Join(top, "memory", name), "memory.max_usage_in_bytes"} // version 1
	limits := map[string]int64{"memory.limit_in_bytes": limit}
	if _, err := os.Stat(filepath.Join(top, "cgroup.controllers")); err == nil {
		g = group{filepath.Join(top, name), "memory.peak"}
		limits = map[string]int64{"memory.max": limit, "memory.swap.max": 0}
	}
	if err := os.Mkdir(g.dir, 0o755); err != nil {
		t.Logf("no control group can be made here (%v): only resident sets are looked at", err)
		return group{}
	}
	t.Cleanup(func() {
		if err := os.Remove(g.dir); err != nil {
			t.Errorf("a control group stays: %v", err)
		}
	})
	for file, n := range limits {
		err := os.WriteFile(filepath.Join(g.dir, file), []byte(strconv.FormatInt(n, 10)), 0o644)
		if err != nil && file != "memory.swap.max" { // there may be no swap
			t.Logf("control groups limit no memory here (%v): only resident sets are looked at", err)
			return group{}
		}
	}
	return g
}

// command is a command in the group.
func (g group) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if g.dir == "" {
		return exec.CommandContext(ctx, name, args...)
	}
	script := `echo $$ > "$0/cgroup.procs" && exec "$@"`
	return exec.CommandContext(ctx, "sh", append([]string{"-c", script, g.dir, name}, args...)...)
}

// used says how much of the limit was used at most, cached files included.
func (g group) used() string {
	b, err := os.ReadFile(filepath.Join(g.dir, g.peak))
	n, perr := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if g.dir == "" || err != nil || perr != nil {
		return "no limit"
	}
	return fmt.Sprintf("%d MiB with cached files", n>>20)
}

// TestCeilings works on a large file and on many small ones with no more memory
// than is promised, which the kernel sees to.
func TestCeilings(t *testing.T) {
	dir := t.TempDir()
	src, store, out := filepath.Join(dir, "src"), filepath.Join(dir, "store"), filepath.Join(dir, "out")
	const large, small, smallFiles = 1 << 30, 4096, 20_000
	fill(t, filepath.Join(src, "large"), large)
	for i := range smallFiles {
		fill(t, filepath.Join(src, fmt.Sprintf("d%03d/f%03d", i/1000, i%1000)), small)
	}
	for _, tt := range []struct {
		limit int64
		args  []string
	}{
		{300 << 20, []string{"init", "--store", store}},
		{300 << 20, []string{"commit", "-m", "all"}},
		{300 << 20, []string{"commit", "-m", "nothing"}},
		{300 << 20, []string{"checkout", "src@main", out}},
		{300 << 20, []string{"put", filepath.Join(src, "large"), "src@main:/again"}},
		{300 << 20, []string{"fsck", "--read-data"}},
		{300 << 20, []string{"gc"}},
	} {
		t.Run(tt.args[0], func(t *testing.T) {
			g := groupOf(t, tt.limit)
			cmd := g.command(t.Context(), program(t), tt.args...)
			cmd.Dir = src
			cmd.Env = append(os.Environ(), "DVX_HOME="+filepath.Join(dir, "home"))
			m := measure(t, cmd)
			t.Logf("dvx %s: %v, %d MiB resident, %s of %d MiB", tt.args[0], m.took, m.rss>>20, g.used(), tt.limit>>20)
			if m.rss > tt.limit {
				t.Errorf("%d MiB resident", m.rss>>20)
			}
		})
	}
}

// fill writes a file of incompressible bytes.
func fill(t *testing.T, name string, size int64) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	var seed [32]byte
	copy(seed[:], name[max(0, len(name)-len(seed)):])
	_, err = io.CopyN(f, rand.NewChaCha8(seed), size)
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		t.Fatal(err)
	}
}
