//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// step is one command of a transcript; {x} in it stands for what an earlier
// step found.
type step struct {
	args string
	in   string // folder to run in
	code int
	free bool // what it prints depends on the way to the store
}

// transcript is a story with the main verbs: what is done with a store, and
// what goes wrong.
func transcript() []step {
	return []step{
		{args: "repo create images --description photos"},
		{args: "repo create scratch"},
		{args: "repo list"},
		{args: "put a.txt images@main:/a.txt -m first"},
		{args: "put b.txt images@main:/d/ -m second"},
		{args: "put a.txt images@main:/d/e/c.txt --on-conflict fail"},
		{args: "put a.txt images@main:/a.txt"},
		{args: "ls images"},
		{args: "ls -lR images@main"},
		{args: "ls images@main:/d --json"},
		{args: "cat images@main:/d/b.txt images:/a.txt"},
		{args: "get images@main:/d got"},
		{args: "get images@main:/a.txt got.txt"},
		{args: "get images@main:/a.txt -"},
		{args: "log images@main"},
		{args: "log images --oneline -n 1"},
		{args: "show images@main~1"},
		{args: "diff images@main~2 images@main"},
		{args: "diff images@main~2 images@main --json"},
		{args: "branch create images@dev --from images@main~1"},
		{args: "rm images@dev:/a.txt"},
		{args: "rm -r images@dev:/d"},
		{args: "branch list images"},
		{args: "branch reset images@dev images@main --yes"},
		{args: "branch protect images@dev owner"},
		{args: "branch list images --json"},
		{args: "branch protect images@dev"},
		{args: "branch delete images@dev"},
		{args: "tag create images@v1.0 images@main"},
		{args: "tag list images"},
		{args: "cat images@v1.0:/a.txt"},
		{args: "tag delete images@v1.0"},
		{args: "repo delete scratch --yes"},
		{args: "init --repo data", in: "data", free: true},
		{args: "status", in: "data"},
		{args: "commit -m data", in: "data"},
		{args: "status", in: "data"},
		{args: "log --oneline", in: "data"},
		{args: "ls -l", in: "data"},
		{args: "checkout data@main out"},
		{args: "pipeline check p/p.yaml"},
		{args: "pipeline create -f p/p.yaml"},
		{args: "pipeline create -f p/p.yaml", code: codeConflict},
		{args: "pipeline apply -f p/p.yaml"},
		{args: "wait data --timeout 5m"},
		{args: "pipeline list"},
		{args: "pipeline inspect p"},
		{args: "pipeline inspect p@main --json"},
		{args: "job list"},
		{args: "job list p --json"},
		{args: "job inspect {job}"},
		{args: "job inspect {job} --json"},
		{args: "datum list {job} --json"},
		{args: "logs p"},
		{args: "logs {job} --json"},
		{args: "cat p@main:/one"},
		{args: "show p@main"},
		{args: "pipeline delete p"},
		{args: "cat images@main:/nope", code: codeNotFound},
		{args: "cat images@nope:/a.txt", code: codeNotFound},
		{args: "ls nope@main", code: codeNotFound},
		{args: "put a.txt images@nope:/a", code: codeNotFound},
		{args: "put a.txt images@main:/../a", code: codeUsage},
		{args: "repo create images", code: codeConflict},
		{args: "repo create 'no/name'", code: codeUsage},
		{args: "branch delete images@nope", code: codeNotFound},
		{args: "job inspect 000000000000", code: codeNotFound},
	}
}

// teller runs the transcript on a store of its own.
type teller struct {
	u      *user
	prefix []string // of the command line: strace, or nothing
	store  string
	job    string
}

// newTeller makes a store with a daemon; the teller works on the store, or
// through the daemon.
func newTeller(t *testing.T, server bool) *teller {
	u := newUser(t)
	u.write(map[string]string{
		"a.txt": "a\n", "b.txt": "bb\n", "data/one": "1\n", "data/two": "2\n", "data/sub/three": "3\n",
		"p/p.yaml": spec("p", "data", "/*", "p.sh"),
		"p/p.sh":   "cp -r in/data/* out/\necho worked\n",
	})
	store := filepath.Join(t.TempDir(), "the-store-itself")
	u.dvx("init", "--bare", store)
	d := u.serve(store)
	w := &teller{u: u.with("DVX_STORE", store), store: store}
	if server {
		w.u = u.with("DVX_SERVER", d.GRPC)
	}
	return w
}

// tell runs the transcript and returns what each step printed.
func (w *teller) tell(t *testing.T) []string {
	var told []string
	for _, s := range transcript() {
		args := strings.Fields(strings.ReplaceAll(strings.ReplaceAll(s.args, "{job}", w.job), "'", ""))
		u := w.u
		if s.in != "" {
			u = u.in(s.in)
		}
		line := append(slices.Clone(w.prefix), append([]string{binary(t, "dvx")}, args...)...)
		r := u.try("", line[0], line[1:]...)
		if r.code != s.code {
			t.Errorf("dvx %s: exit code %d, want %d\n%s%s", s.args, r.code, s.code, r.out, r.err)
		}
		if strings.HasPrefix(s.args, "job list p --json") && r.out != "" {
			w.job = decodeLines[job](t, r.out)[0].ID
		}
		out := r.out + r.err
		if s.free {
			out = ""
		}
		told = append(told, "$ dvx "+s.args+"\n"+w.normal(out))
	}
	return told
}

// normal replaces what differs between two stores: IDs, times and folders.
func (w *teller) normal(s string) string {
	for _, r := range []struct{ pattern, by string }{
		{regexp.QuoteMeta(w.u.env["HOME"]), "HOME"},
		{`"key":"[0-9a-f]{64}"`, `KEY`},
		{`\b[0-9a-f]{32,64}\b`, "ID"},
		{`\b[0-9a-f]{12}\b`, "SHORT"},
		{`\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?Z`, "TIME"},
		{`\b(\d+\.\d\ds|(\d+[hms])+)\b`, "TOOK"},
		{`"(queue|fetch|run|store|cpu|rssMax)":\d+,?`, ""},
		{`(?m)^hint: waiting for .*\n`, ""}, // what says that something takes long
		{`(?m)^[\w ]+: [\d,]+ files, .*\n`, ""},
		{` +`, " "},
		{`[-─]{3,}`, "---"},
	} {
		s = regexp.MustCompile(r.pattern).ReplaceAllString(s, r.by)
	}
	return s
}

// content returns what the store holds at the end, with content IDs.
func (w *teller) content() string {
	return w.u.dvx("ls", "-lR", "images@main") + w.u.dvx("ls", "-lR", "data@main") + w.u.dvx("ls", "-lR", "p@main") +
		readFile(w.u.t, w.u.path("got", "b.txt")) + readFile(w.u.t, w.u.path("got.txt")) + readFile(w.u.t, w.u.path("out", "sub", "three"))
}

// TestServerOpensNoStoreFile runs the same story directly and through the
// daemon, the latter under strace: both print and leave the same, and the
// client never names a path in the store to the kernel.
func TestServerOpensNoStoreFile(t *testing.T) {
	direct := newTeller(t, false)
	want := direct.tell(t)

	through := newTeller(t, true)
	trace := filepath.Join(t.TempDir(), "trace")
	through.prefix = []string{tool(t, "strace"), "-f", "-qq", "-A", "-o", trace, "-e", "trace=%file", "-s", "4096"}
	got := through.tell(t)

	for i := range want {
		if got[i] != want[i] {
			t.Errorf("through the daemon:\n%s\ndirectly:\n%s", got[i], want[i])
		}
	}
	through.prefix = nil
	if a, b := direct.content(), through.content(); a != b {
		t.Errorf("the stores differ in the end.\ndirectly:\n%s\nthrough the daemon:\n%s", a, b)
	}
	opened := 0
	for line := range strings.Lines(readFile(t, trace)) {
		if strings.Contains(line, "openat(") {
			opened++
		}
		if strings.Contains(line, filepath.Base(through.store)) {
			t.Errorf("dvx --server names a path in the store: %s", line)
		}
	}
	if opened < len(want) {
		t.Fatalf("strace saw only %d files opened in %d commands: it saw nothing", opened, len(want))
	}
	wantTraceSees(t, direct)
	figure(t, "%d commands told the same both ways; %d files opened by dvx --server, 0 of the store", len(want), opened)
}

// wantTraceSees fails unless the same trace of direct work shows the store: else
// the test could not fail.
func wantTraceSees(t *testing.T, w *teller) {
	t.Helper()
	trace := filepath.Join(t.TempDir(), "direct")
	w.u.run(tool(t, "strace"), "-f", "-qq", "-o", trace, "-e", "trace=%file", "-s", "4096", binary(t, "dvx"), "ls", "images@main")
	b, err := os.ReadFile(trace)
	if err != nil || !strings.Contains(string(b), filepath.Base(w.store)) {
		t.Errorf("a trace of direct work names no path in the store (%v): %s", err, fmt.Sprintf("%.500s", b))
	}
}
