//go:build e2e

package e2e

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// sysCall is a system call in a trace; begin and end are lines of it.
type sysCall struct {
	name       string
	args       string
	begin, end int
}

// calls reads a trace of strace -f -y, joining calls that were interrupted by
// those of other threads. Calls that failed are left out.
func calls(trace string) []sysCall {
	whole := regexp.MustCompile(`^(\d+) +(\w+)\((.*)\) += (\d+)`)
	start := regexp.MustCompile(`^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$`)
	rest := regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (\d+)`)
	open := map[string]sysCall{}
	var all []sysCall
	n := 0
	for line := range strings.Lines(trace) {
		n++
		line = strings.TrimSuffix(line, "\n")
		if m := start.FindStringSubmatch(line); m != nil {
			open[m[1]] = sysCall{name: m[2], args: m[3], begin: n}
		} else if m := rest.FindStringSubmatch(line); m != nil {
			if c, ok := open[m[1]]; ok && c.name == m[2] {
				c.args, c.end = c.args+m[3], n
				all = append(all, c)
			}
		} else if m := whole.FindStringSubmatch(line); m != nil {
			all = append(all, sysCall{name: m[2], args: m[3], begin: n, end: n})
		}
	}
	return all // in the order of their ends
}

// paths returns the files that a call names: descriptors as strace -y resolves
// them, and names relative to the descriptor before them.
func (c sysCall) paths() []string {
	arg := regexp.MustCompile(`\d+<([^>]*)>|"([^"]*)"`)
	var found []string
	dir := ""
	for _, m := range arg.FindAllStringSubmatch(c.args, -1) {
		if m[1] != "" {
			dir = m[1]
			found = append(found, dir)
		} else if len(found) > 0 && dir != "" {
			found[len(found)-1] = filepath.Join(dir, m[2])
		}
	}
	return found
}

// TestSyncedBeforeAck traces commits on a local store and checks each object's
// way: its file is synced before it gets its name, its folder after that and
// before the root moves, a new folder's parent before anything is put in it, and
// the root's folder before the commit is acknowledged.
func TestSyncedBeforeAck(t *testing.T) {
	u := newUser(t)
	wc := u.in("data")
	wc.write(map[string]string{"a": noise(3 << 20), "b": "small", "d/c": noise(40_000)})
	wc.dvx("init", "--store", u.path("store"))
	named := 0
	for _, change := range []map[string]string{{"x": "first"}, {"a": noise(3 << 20)[1000:], "d/c": "changed"}, {"b": "again"}} {
		wc.write(change)
		trace := u.path("trace")
		args := []string{"-f", "-y", "-qq", "-o", trace, "-e", "trace=fsync,fdatasync,linkat,renameat,renameat2,mkdirat,write"}
		wc.run(tool(t, "strace"), append(args, binary(t, "dvx"), "commit", "-m", "traced")...)
		named += checkSyncs(t, calls(readFile(t, trace)), u.path("store"))
	}
	if named < 15 {
		t.Errorf("only %d objects got names: the trace shows less than it should", named)
	}
	figure(t, "strace: %d objects of 3 commits, each file and folder synced before the acknowledgement", named)
}

// checkSyncs checks the calls of one commit and returns how many objects it
// named.
func checkSyncs(t *testing.T, all []sysCall, store string) (named int) {
	t.Helper()
	synced := func(path string, after, before int) bool {
		for _, c := range all {
			if (c.name == "fsync" || c.name == "fdatasync") && c.begin > after && c.end < before && len(c.paths()) > 0 && c.paths()[0] == path {
				return true
			}
		}
		return false
	}
	swap, ack := 0, 0
	for _, c := range all {
		p := c.paths()
		switch {
		case strings.HasPrefix(c.name, "renameat") && len(p) == 2 && p[1] == filepath.Join(store, "root"):
			swap = c.end
			if !synced(p[0], 0, c.begin) {
				t.Errorf("the root's file was not synced before it got its name")
			}
		case c.name == "write" && strings.HasPrefix(c.args, "1<") && swap > 0 && ack == 0:
			ack = c.begin
		}
	}
	if swap == 0 || ack == 0 {
		t.Fatalf("no swap of the root (%d) and acknowledgement (%d) in the trace", swap, ack)
	}
	if !synced(store, swap, ack) {
		t.Errorf("acknowledged before the root's folder was synced")
	}
	for _, c := range all {
		p := c.paths()
		switch {
		case c.name == "linkat" && len(p) == 2 && strings.HasPrefix(p[1], store):
			named++
			if !synced(p[0], 0, c.begin) {
				t.Errorf("%s got its name before its file was synced", p[1])
			}
			if c.end < swap && !synced(filepath.Dir(p[1]), c.end, swap) {
				t.Errorf("the root moved before the folder of %s was synced", p[1])
			}
		case c.name == "mkdirat" && len(p) == 1 && strings.HasPrefix(p[0], store):
			first := 0
			for _, l := range all {
				if q := l.paths(); first == 0 && l.name == "linkat" && len(q) == 2 && filepath.Dir(q[1]) == p[0] {
					first = l.begin
				}
			}
			if first > 0 && !synced(filepath.Dir(p[0]), c.end, first) {
				t.Errorf("%s was used before its own name was synced", p[0])
			}
		}
	}
	return named
}
