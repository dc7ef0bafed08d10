//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The exit codes that scripts rely on; dvx --help lists them.
const (
	codeFailed      = 1
	codeUsage       = 2
	codeDamage      = 3
	codeNotFound    = 4
	codeConflict    = 5
	codeUnknown     = 6
	codeDenied      = 7
	codeNoSpace     = 8
	codeUnreachable = 9
	codeNoStore     = 10
	codeInterrupted = 130
)

// waitMax is how long a daemon may take to be up, or pipelines to settle: what
// takes longer hangs.
const waitMax = 6 * time.Minute

// binary returns the path of a binary under test.
func binary(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("DVX_BIN")
	if dir == "" {
		t.Fatal("DVX_BIN names no folder with dvx and dvxd: run make e2e")
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%v: run make build", err)
	}
	return path
}

// tool returns the path of a program that make e2e installs: the system's own
// if it is there, so that what was installed is what is used.
func tool(t testing.TB, name string) string {
	t.Helper()
	if path := filepath.Join("/usr/bin", name); isFile(path) {
		return path
	}
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%v: .ci/install brings it, which make e2e runs", err)
	}
	return path
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// user is somebody who runs commands: with a home of his own, in a folder.
type user struct {
	t   testing.TB
	dir string
	env map[string]string
}

// newUser returns a user with an empty home and an empty folder to work in.
func newUser(t testing.TB) *user {
	t.Helper()
	home := t.TempDir()
	u := &user{t: t, dir: filepath.Join(home, "work"), env: map[string]string{
		"PATH": os.Getenv("PATH"), "LANG": "C.UTF-8", "TZ": "UTC", "TMPDIR": filepath.Join(home, "tmp"),
		"HOME": home, "DVX_HOME": filepath.Join(home, "dvx"), "XDG_CONFIG_HOME": filepath.Join(home, "config"),
		"XDG_CACHE_HOME": filepath.Join(home, "cache"), "DVX_AUTHOR": "tester@e2e",
	}}
	for _, dir := range []string{u.dir, u.env["TMPDIR"]} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// What a pipeline's program leaves is read-only; the cleaning up is not to fail on it.
	t.Cleanup(func() { makeWritable(home) })
	return u
}

func makeWritable(dir string) {
	_ = filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(p, 0o700)
		}
		return err
	})
}

// in returns the same user in another folder, which is made if it is not there.
func (u *user) in(elem ...string) *user {
	u.t.Helper()
	c := *u
	c.dir = filepath.Join(elem...)
	if !filepath.IsAbs(c.dir) {
		c.dir = filepath.Join(u.dir, c.dir)
	}
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		u.t.Fatal(err)
	}
	return &c
}

// with returns the same user with further variables, given as name, value.
func (u *user) with(pairs ...string) *user {
	c := *u
	c.env = maps.Clone(u.env)
	for i := 0; i < len(pairs); i += 2 {
		c.env[pairs[i]] = pairs[i+1]
	}
	return &c
}

// path returns a path below the user's folder.
func (u *user) path(elem ...string) string { return filepath.Join(append([]string{u.dir}, elem...)...) }

// write makes files below the user's folder; names are joined by slashes.
func (u *user) write(files map[string]string) {
	u.t.Helper()
	for name, text := range files {
		writeFile(u.t, u.path(filepath.FromSlash(name)), text)
	}
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// result is how a command ended.
type result struct {
	line     string
	out, err string
	code     int
	took     time.Duration
}

// command prepares a command in the user's folder and environment.
func (u *user) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = u.dir
	cmd.Env = nil
	for _, name := range slices.Sorted(maps.Keys(u.env)) {
		cmd.Env = append(cmd.Env, name+"="+u.env[name])
	}
	return cmd
}

// beside runs f in n goroutines, which are to return once ctx ends. The test
// waits for them when it calls stop, or however else it ends. They may report
// errors, but not end the test: that is for the test's own goroutine.
func beside(t testing.TB, n int, f func(ctx context.Context, n int)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { f(ctx, i) })
	}
	stop = func() {
		cancel()
		all.Wait()
	}
	t.Cleanup(stop)
	return stop
}

// try runs a command to its end, whatever its exit code: -1 if it did not start.
// Any goroutine may call it.
func (u *user) try(stdin, program string, args ...string) result {
	u.t.Helper()
	cmd := u.command(program, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	start := time.Now()
	err := cmd.Run()
	r := result{line: filepath.Base(program) + " " + strings.Join(args, " "), out: out.String(), err: errs.String(), took: time.Since(start)}
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		r.code = exit.ExitCode()
	case err != nil:
		u.t.Errorf("%s: %v", r.line, err)
		r.code = -1
	}
	return r
}

// run runs a command that must succeed, and returns what it printed.
func (u *user) run(program string, args ...string) string {
	u.t.Helper()
	r := u.try("", program, args...)
	if r.code != 0 {
		u.t.Fatalf("%s: exit code %d\n%s%s", r.line, r.code, r.out, r.err)
	}
	return r.out
}

// dvx runs a dvx command that must succeed, and returns what it printed.
func (u *user) dvx(args ...string) string {
	u.t.Helper()
	return u.run(binary(u.t, "dvx"), args...)
}

// tryDVX runs a dvx command, whatever its exit code.
func (u *user) tryDVX(args ...string) result {
	u.t.Helper()
	return u.try("", binary(u.t, "dvx"), args...)
}

// refused runs a dvx command that must fail with this code, saying all of
// these words, and leaving standard output empty.
func (u *user) refused(code int, words []string, args ...string) result {
	u.t.Helper()
	r := u.tryDVX(args...)
	if r.code != code {
		u.t.Errorf("%s: exit code %d, want %d\n%s%s", r.line, r.code, code, r.out, r.err)
	}
	for _, w := range words {
		if !strings.Contains(r.err, w) {
			u.t.Errorf("%s: the error does not say %q:\n%s", r.line, w, r.err)
		}
	}
	if r.out != "" {
		u.t.Errorf("%s: a command that failed printed to standard output:\n%.2000s", r.line, r.out)
	}
	return r
}

// decode reads one JSON value.
func decode[T any](t testing.TB, s string) T {
	t.Helper()
	var v T
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		t.Fatalf("%v in %.1000q", err, s)
	}
	return v
}

// decodeLines reads one JSON value a line.
func decodeLines[T any](t testing.TB, s string) []T {
	t.Helper()
	var all []T
	for line := range strings.Lines(s) {
		all = append(all, decode[T](t, line))
	}
	return all
}

// info is what a daemon writes to its ready file.
type info struct {
	Store   string `json:"store"`
	GRPC    string `json:"grpc"`
	S3      string `json:"s3"`
	KeyFile string `json:"keyFile"`
	PID     int    `json:"pid"`
}

// daemon is a dvxd that a test started.
type daemon struct {
	t     testing.TB
	cmd   *exec.Cmd
	log   string        // file with its standard error
	ended chan struct{} // closed when err is set
	err   error
	gone  chan struct{} // closed when what it started has ended too
	info
}

// launch starts a daemon and does not wait until it listens.
func (u *user) launch(store string, flags ...string) *daemon {
	u.t.Helper()
	dir, err := os.MkdirTemp(u.env["TMPDIR"], "daemon-")
	if err != nil {
		u.t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		u.t.Fatal(err)
	}
	defer log.Close()
	args := []string{"serve", "--store", store, "--listen", "127.0.0.1:0", "--s3-listen", "127.0.0.1:0", "--ready-file", filepath.Join(dir, "ready")}
	d := &daemon{t: u.t, cmd: u.command(binary(u.t, "dvxd"), append(args, flags...)...), log: log.Name(), ended: make(chan struct{}), gone: make(chan struct{})}
	// Its slots, which end after all that they started, inherit the other end.
	alive, held, err := os.Pipe()
	if err != nil {
		u.t.Fatal(err)
	}
	d.cmd.Stderr, d.cmd.ExtraFiles = log, []*os.File{held}
	err = d.cmd.Start()
	held.Close()
	if err != nil {
		alive.Close()
		u.t.Fatal(err)
	}
	go func() {
		d.err = d.cmd.Wait()
		close(d.ended)
	}()
	go func() {
		_, _ = io.Copy(io.Discard, alive)
		alive.Close()
		close(d.gone)
	}()
	u.t.Cleanup(func() {
		d.kill()
		d.left()
		if u.t.Failed() {
			b, _ := os.ReadFile(d.log)
			u.t.Logf("log of the daemon on %s:\n%s", store, b[max(0, len(b)-4000):])
		}
	})
	return d
}

// ready waits until the daemon listens.
func (d *daemon) ready() *daemon {
	d.t.Helper()
	file := filepath.Join(filepath.Dir(d.log), "ready")
	for deadline := time.Now().Add(waitMax); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if b, err := os.ReadFile(file); err == nil {
			d.info = decode[info](d.t, string(b))
			return d
		}
		select {
		case <-d.ended:
			b, _ := os.ReadFile(d.log)
			d.t.Fatalf("the daemon ended before it listened: %v\n%s", d.err, b)
		default:
		}
	}
	d.t.Fatalf("the daemon did not listen within %v", waitMax)
	return nil
}

// serve starts a daemon and waits until it listens.
func (u *user) serve(store string, flags ...string) *daemon {
	u.t.Helper()
	return u.launch(store, flags...).ready()
}

// kill ends the daemon as a power cut would, if it still runs.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.ended
}

// left waits until nothing of a daemon that has ended writes anywhere any more.
func (d *daemon) left() {
	d.t.Helper()
	select {
	case <-d.gone:
	case <-time.After(waitMax):
		d.t.Errorf("what the daemon started has not ended within %v after it", waitMax)
	}
}

// stop asks the daemon to end, and fails if it does not end well.
func (d *daemon) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(os.Interrupt); err != nil {
		d.t.Fatalf("stop the daemon: %v", err)
	}
	select {
	case <-d.ended:
	case <-time.After(waitMax):
		d.t.Fatalf("the daemon did not stop within %v", waitMax)
	}
	if d.err != nil {
		d.t.Errorf("the daemon did not stop well: %v", d.err)
	}
}

// job is what dvx job list --json tells of a job.
type job struct {
	ID       string `json:"id"`
	Pipeline string `json:"pipeline"`
	Branch   string `json:"branch"`
	State    string `json:"state"`
	Reason   string `json:"reason"`
	Output   string `json:"output"`
	Counts   counts `json:"counts"`
}

type counts struct {
	Total  int `json:"total"`
	Hit    int `json:"hit"`
	Ran    int `json:"ran"`
	Failed int `json:"failed"`
}

// jobs returns the jobs of a pipeline on a branch, newest first.
func (u *user) jobs(pipeline, branch string) []job {
	u.t.Helper()
	all := decodeLines[job](u.t, u.dvx("job", "list", pipeline, "--json"))
	return slices.DeleteFunc(all, func(j job) bool { return j.Branch != branch })
}

// newest returns the newest job of a pipeline on a branch.
func (u *user) newest(pipeline, branch string) job {
	u.t.Helper()
	all := u.jobs(pipeline, branch)
	if len(all) == 0 {
		u.t.Fatalf("pipeline %s@%s has no job", pipeline, branch)
	}
	return all[0]
}

// wantCounts fails unless the newest job of a pipeline is done with these
// counts.
func (u *user) wantCounts(pipeline, branch string, total, hit, ran int) job {
	u.t.Helper()
	j := u.newest(pipeline, branch)
	if want := (counts{Total: total, Hit: hit, Ran: ran}); j.State != "done" || j.Counts != want {
		u.t.Fatalf("job %.12s of %s@%s is %s (%s) with %+v, want done with %+v", j.ID, pipeline, branch, j.State, j.Reason, j.Counts, want)
	}
	return j
}

// datum is what dvx datum list --json tells of a datum.
type datum struct {
	Identity string `json:"identity"`
	Key      string `json:"key"`
	State    string `json:"state"`
	Attempts int    `json:"attempts"`
	Reason   string `json:"reason"`
}

// ran returns the identities of the datums that a job ran, in order.
func (u *user) ran(id string) []string {
	u.t.Helper()
	var ids []string
	for _, d := range decodeLines[datum](u.t, u.dvx("datum", "list", id, "--json")) {
		if d.State != "skipped" {
			ids = append(ids, d.Identity)
		}
	}
	return ids
}

// wait waits until all pipelines that depend on a branch are up to date.
func (u *user) wait(ref string) time.Duration {
	u.t.Helper()
	start := time.Now()
	u.dvx("wait", ref, "--timeout", waitMax.String())
	return time.Since(start)
}

// version is what dvx log --json and dvx show --json tell of a commit.
type version struct {
	ID     string `json:"id"`
	Commit struct {
		Tree    root     `json:"tree"`
		Parents []string `json:"parents"`
		Message string   `json:"message"`
	} `json:"commit"`
}

type root struct {
	ID      string `json:"id"`
	Content string `json:"content"`
	Files   int    `json:"files"`
}

// show returns the version that a ref names.
func (u *user) show(ref string) version {
	u.t.Helper()
	return decode[version](u.t, u.dvx("show", ref, "--json"))
}

// history returns the versions of a branch, newest first.
func (u *user) history(ref string) []version {
	u.t.Helper()
	return decodeLines[version](u.t, u.dvx("log", ref, "--json"))
}

// aws returns the user with the key that opens a daemon's S3 edge, and the
// beginning of a command line for it.
func (u *user) aws(d *daemon) (*user, func(args ...string) string) {
	u.t.Helper()
	env := decode[map[string]string](u.t, u.dvx("auth", "env", "--json"))
	dir, err := os.MkdirTemp(u.env["TMPDIR"], "aws-") // of its own: others read theirs
	if err != nil {
		u.t.Fatal(err)
	}
	config := filepath.Join(dir, "config")
	writeFile(u.t, config, "[default]\ns3 =\n  addressing_style = path\n  max_concurrent_requests = 16\n")
	c := u.with("AWS_CONFIG_FILE", config, "AWS_EC2_METADATA_DISABLED", "true", "AWS_PAGER", "", "AWS_CLI_AUTO_PROMPT", "off")
	for name, value := range env {
		c.env[name] = value
	}
	return c, func(args ...string) string {
		u.t.Helper()
		return c.run(tool(u.t, "aws"), append([]string{"--endpoint-url", "http://" + d.S3}, args...)...)
	}
}

// figure logs a measured figure, in a form that the acceptance page quotes.
func figure(t testing.TB, format string, args ...any) {
	t.Helper()
	t.Logf("FIGURE "+format, args...)
}

// sameFolders fails unless two folders hold the same files with the same bytes.
func sameFolders(t testing.TB, a, b string) {
	t.Helper()
	out, err := exec.Command("diff", "-r", "--no-dereference", a, b).CombinedOutput()
	if err != nil {
		t.Fatalf("diff -r %s %s: %v\n%.3000s", a, b, err, out)
	}
}

// copyFolder copies a folder, attributes too.
func copyFolder(t testing.TB, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-r", "--preserve=mode,timestamps", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp -r %s %s: %v\n%s", from, to, err, out)
	}
}

// spec returns a pipeline spec of one repo input and a shell script in its
// code folder.
func spec(name, input, glob, script string, more ...string) string {
	return fmt.Sprintf("pipeline: %s\ntransform:\n  cmd: [sh, code/%s]\ninput:\n  repo: %s\n  glob: %q\n%s",
		name, script, input, glob, strings.Join(more, ""))
}
