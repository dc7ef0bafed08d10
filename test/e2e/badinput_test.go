//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBadInput gives dvx what is wrong: each is a clear error with an exit code
// of its own, and nothing is lost. What needs no process of its own is in the
// scripts of cmd/dvx; here is what needs a daemon, a second user or a system.
func TestBadInput(t *testing.T) {
	t.Run("Names", badNames)
	t.Run("Specs", badSpecs)
	t.Run("Output", badOutput)
	t.Run("Places", badPlaces)
	t.Run("Keys", badKeys)
	t.Run("Conflict", conflict)
	t.Run("Waiting", waiting)
}

// newStore returns a user who works directly on a new store with one repo, r.
func newStore(t *testing.T) *user {
	t.Helper()
	u := newUser(t)
	u = u.with("DVX_STORE", u.path("store"))
	u.dvx("init", "--bare", u.path("store"))
	u.dvx("repo", "create", "r")
	u.write(map[string]string{"one": "1\n", "two": "2\n"})
	u.dvx("put", "one", "r@main:/one")
	return u
}

func badNames(t *testing.T) {
	u := newStore(t)
	d := u.serve(u.path("store"))
	for _, c := range []*user{u, u.with("DVX_SERVER", d.GRPC)} {
		c.refused(codeNotFound, []string{"nope"}, "cat", "nope@main:/one")
		c.refused(codeNotFound, []string{"nope"}, "cat", "r@nope:/one")
		c.refused(codeNotFound, []string{"nope"}, "cat", "r@main:/nope")
		c.refused(codeNotFound, []string{"main~7"}, "log", "r@main~7")
		c.refused(codeNotFound, []string{"nope"}, "branch", "create", "r@b", "--from", "r@nope")
		for _, path := range []string{"/../out", "/a/../../out", "/a/./b", "/a//b", "/a/..", "/..", "/nul\x01name/../x"} {
			c.refused(codeUsage, nil, "put", "one", "r@main:"+path)
			c.refused(codeUsage, nil, "get", "r@main:"+path, "out")
		}
		if _, err := os.Stat(c.path("out")); err == nil {
			t.Error("a path that escapes made a file")
		}
	}
	if got := len(u.history("r@main")); got != 1 {
		t.Errorf("the branch has %d versions after what was refused, want 1", got)
	}
	d.stop()
}

func badSpecs(t *testing.T) {
	u := newStore(t)
	d := u.serve(u.path("store"))
	u.write(map[string]string{
		"typo.yaml":     "pipeline: p\ntransform:\n  cmd: [sh, x]\n  workingdir: here\ninput: {repo: r, glob: /}\n",
		"unbuilt.yaml":  "pipeline: p\ntransform:\n  user: nobody\n  cmd: [sh, x]\ninput: {repo: r, glob: /}\n",
		"unbuilt2.json": "{\"pipeline\": \"p\",\n\"schedule\": {\"cron\": \"@daily\"},\n\"transform\": {\"cmd\": [\"x\"]}, \"input\": {\"repo\": \"r\", \"glob\": \"/\"}}",
		"no.yaml":       "pipeline: p\ninput:\n\t- tab\n",
	})
	for _, c := range []*user{u, u.with("DVX_SERVER", d.GRPC)} {
		c.refused(codeUsage, []string{"typo.yaml", "line 4", "workingdir", "working_dir"}, "pipeline", "apply", "-f", "typo.yaml")
		c.refused(codeUsage, []string{"unbuilt.yaml", "line 3", "transform.user", "not supported yet"}, "pipeline", "apply", "-f", "unbuilt.yaml")
		c.refused(codeUsage, []string{"line 2", "schedule", "not supported yet"}, "pipeline", "apply", "-f", "unbuilt2.json")
		c.refused(codeUsage, []string{"no.yaml", "line 3"}, "pipeline", "apply", "-f", "no.yaml")
		if out := c.dvx("pipeline", "list", "--json"); strings.TrimSpace(out) != "[]" {
			t.Errorf("after specs that were refused there are pipelines: %s", out)
		}
	}
	d.stop()
}

// badOutput has programs that must not get away with what they leave: each job
// fails, says why, and publishes nothing.
func badOutput(t *testing.T) {
	u := newStore(t)
	d := u.serve(u.path("store"))
	for name, c := range map[string]struct{ script, reason string }{
		"absolute": {"ln -s /etc/passwd out/link\n", "link"},
		"escaping": {"ln -s ../../../outside out/link\n", "link"},
		"pipe":     {"mkfifo out/pipe\n", "pipe"},
		"silent":   {"exit 7\n", "7"},
	} {
		u.write(map[string]string{name + "/p.yaml": spec(name, "r", "/*", "p.sh"), name + "/p.sh": c.script})
		u.dvx("pipeline", "apply", "-f", name+"/p.yaml")
		r := u.tryDVX("wait", name, "--timeout", waitMax.String())
		if r.code != codeFailed || !strings.Contains(r.err, name) || !strings.Contains(r.err, c.reason) {
			t.Errorf("pipeline %s: wait ended with exit code %d: %s", name, r.code, r.err)
		}
		if j := u.newest(name, "main"); j.State != "failed" || !strings.Contains(j.Reason, c.reason) || j.Output != "" && strings.Trim(j.Output, "0") != "" {
			t.Errorf("pipeline %s: the job is %+v, want it failed for %q", name, j, c.reason)
		}
		u.refused(codeNotFound, nil, "cat", name+"@main:/link")
	}
	u.write(map[string]string{
		"twice/p.yaml": spec("twice", "r", "/*", "p.sh"), "twice/p.sh": "cat in/r/* > out/same\n",
	})
	u.dvx("put", "two", "r@main:/two")
	u.dvx("pipeline", "apply", "-f", "twice/p.yaml")
	r := u.tryDVX("wait", "twice", "--timeout", waitMax.String())
	for _, word := range []string{"same", "r:/one", "r:/two"} {
		if r.code != codeFailed || !strings.Contains(r.err, word) {
			t.Errorf("two datums that write one path: exit code %d, want %q named: %s", r.code, word, r.err)
		}
	}
	d.stop()
}

func badPlaces(t *testing.T) {
	u := newStore(t)
	nowhere := u.with("DVX_STORE", "")
	nowhere.refused(codeNoStore, []string{"--store"}, "repo", "list")
	nowhere.refused(codeNoStore, []string{"dvx init"}, "repo", "list", "--store", u.path("nothing"))
	nowhere.refused(codeNoStore, []string{"dvx init"}, "repo", "list", "--store", u.path("one"))
	nowhere.refused(codeUsage, []string{"ftp://"}, "repo", "list", "--store", "ftp://host/path")
	u.refused(codeConflict, []string{"already"}, "init", "--bare", u.path("store"))

	d := u.serve(u.path("store"))
	d.kill()
	c := u.with("DVX_SERVER", d.GRPC)
	r := c.refused(codeUnreachable, []string{d.GRPC}, "repo", "list")
	if r.took > waitMax {
		t.Errorf("it took %v to find that no daemon answers", r.took)
	}
	if r := u.try("", binary(t, "dvxd"), "serve", "--store", u.path("nothing")); r.code != codeNoStore {
		t.Errorf("%s: exit code %d, want %d: %s", r.line, r.code, codeNoStore, r.err)
	}
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	if r := u.try("", binary(t, "dvxd"), "serve", "--store", u.path("store"), "--listen", lis.Addr().String()); r.code != codeFailed || !strings.Contains(r.err, lis.Addr().String()) {
		t.Errorf("%s: exit code %d: %s", r.line, r.code, r.err)
	}
}

func badKeys(t *testing.T) {
	u := newStore(t)
	d := u.serve(u.path("store"))
	c := u.with("DVX_SERVER", d.GRPC)
	c.dvx("repo", "list")
	other := newUser(t)
	od := other.serve(u.path("store"), "--no-pipelines")
	od.stop()
	c.with("DVX_KEY_FILE", od.KeyFile).refused(codeDenied, []string{"key"}, "repo", "list")
	c.with("DVX_KEY_FILE", c.path("no.key")).refused(codeNotFound, []string{"no.key", "--key-file"}, "repo", "list")
	c.write(map[string]string{"broken.key": "{}\n"})
	if err := os.Chmod(c.path("broken.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.with("DVX_KEY_FILE", c.path("broken.key")).refused(codeUsage, []string{"broken.key"}, "repo", "list")
	open := readFile(t, d.KeyFile)
	c.write(map[string]string{"open.key": open})
	c.with("DVX_KEY_FILE", c.path("open.key")).refused(codeDenied, []string{"open.key"}, "repo", "list")
	info, err := os.Stat(d.KeyFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the owner's key has the mode %v, %v", info.Mode(), err)
	}
	b, _ := os.ReadFile(d.log)
	secret := decode[map[string]string](t, open)["secret"]
	if secret == "" || bytes.Contains(b, []byte(secret)) {
		t.Error("the daemon's log holds the secret")
	}
	d.stop()
}

// conflict lets a branch move while a file is being put: with --on-conflict
// fail nothing is changed and the exit code says so; by default the put is made
// on top of the version that was faster.
func conflict(t *testing.T) {
	u := newStore(t)
	d := u.serve(u.path("store"))
	for _, c := range []*user{u, u.with("DVX_SERVER", d.GRPC)} {
		before := len(u.history("r@main"))
		if code, text := slowPut(t, c, "r@main:/slow", "fail"); code != codeConflict || !strings.Contains(text, "r@main") {
			t.Errorf("--on-conflict fail: exit code %d, want %d: %s", code, codeConflict, text)
		}
		if got := len(u.history("r@main")); got != before+1 {
			t.Errorf("%d versions, want %d: only the faster one", got, before+1)
		}
		c.refused(codeNotFound, nil, "cat", "r@main:/slow")
		if code, text := slowPut(t, c, "r@main:/slow", "rebase"); code != 0 {
			t.Errorf("--on-conflict rebase: exit code %d: %s", code, text)
		}
		if got := len(u.history("r@main")); got != before+3 {
			t.Errorf("%d versions, want %d", got, before+3)
		}
		u.dvx("rm", "r@main:/slow")
		u.dvx("rm", "r@main:/fast")
	}
	d.stop()
}

// waiting waits for what never comes: until a time, and until Ctrl-C.
func waiting(t *testing.T) {
	u := newStore(t)
	u.write(map[string]string{"p/p.yaml": spec("p", "r", "/*", "p.sh"), "p/p.sh": "true\n"})
	u.dvx("pipeline", "apply", "-f", "p/p.yaml")
	u.refused(codeFailed, []string{"300ms", "dvx serve"}, "wait", "r", "--timeout", "300ms")
	cmd := u.command(binary(t, "dvx"), "wait", "r")
	says, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(says).ReadString('\n'); err != nil || !strings.Contains(line, "waiting for p@main") {
		t.Errorf("dvx wait says %q, %v", line, err)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != codeInterrupted {
		t.Errorf("dvx wait after Ctrl-C: exit code %d, want %d", got, codeInterrupted)
	}
}

// slowPut puts what comes from standard input, and moves the branch before that
// has ended.
func slowPut(t *testing.T, c *user, to, policy string) (int, string) {
	t.Helper()
	cmd := c.command(binary(t, "dvx"), "put", "-", to, "--on-conflict", policy)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// More than a pipe holds, so that dvx is known to read: it has its parent.
	if _, err := io.WriteString(in, strings.Repeat("slow\n", 1<<20)); err != nil {
		t.Fatal(err)
	}
	fast := filepath.Join(c.dir, "fast")
	writeFile(t, fast, policy+c.env["DVX_SERVER"])
	c.dvx("put", fast, "r@main:/fast")
	in.Close()
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode(), errs.String()
}
