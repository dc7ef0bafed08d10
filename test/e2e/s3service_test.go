//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// s3Service is a running versitygw, an S3 server on files, with one bucket
// named bucket. Its metadata are extended attributes: with its other kind, files
// beside the data, a reader may get one object's bytes with the ETag of the
// next, which the probe refuses.
type s3Service struct {
	t    testing.TB
	dir  string
	port string
	cmd  *exec.Cmd
}

// newS3Service starts a server.
func newS3Service(t testing.TB) *s3Service {
	t.Helper()
	s := &s3Service{t: t, dir: t.TempDir(), port: freePort(t)}
	if err := os.MkdirAll(filepath.Join(s.dir, "data", "bucket"), 0o755); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// freePort returns a port that nobody listens on. It is below those that the
// system gives out by itself, so that no connection has it while the server is
// down.
func freePort(t testing.TB) string {
	t.Helper()
	for range 1000 {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		if lis, err := net.Listen("tcp", "127.0.0.1:"+port); err == nil {
			lis.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return ""
}

func (s *s3Service) url() string { return "http://127.0.0.1:" + s.port }

// start starts the server and waits until it listens.
func (s *s3Service) start() {
	s.t.Helper()
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		s.t.Fatal(err)
	}
	defer log.Close()
	s.cmd = exec.Command(binary(s.t, "versitygw"), "--port", "127.0.0.1:"+s.port, "--keep-alive", "--quiet", "posix", filepath.Join(s.dir, "data"))
	s.cmd.Env = append(os.Environ(), "ROOT_ACCESS_KEY=key", "ROOT_SECRET_KEY=secret-of-the-test")
	s.cmd.Stdout, s.cmd.Stderr = log, log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(waitMax); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", "127.0.0.1:"+s.port); err == nil {
			c.Close()
			return
		}
	}
	s.t.Fatalf("the S3 server did not listen within %v:\n%s", waitMax, readFile(s.t, log.Name()))
}

func (s *s3Service) kill() {
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
}

// user returns a user with the key of the server.
func (s *s3Service) user() *user {
	return newUser(s.t).with("AWS_ENDPOINT_URL", s.url(), "AWS_ACCESS_KEY_ID", "key", "AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
}

// TestS3Conformance runs the suite of object stores, a long probe and uploads
// in parts against a real S3 server.
func TestS3Conformance(t *testing.T) {
	s := newS3Service(t)
	cmd := exec.Command("go", "test", "-count=1", "-v", "-run", "TestService", "./pkg/objstore/s3")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "DVX_TEST_S3_ENDPOINT="+s.url(), "DVX_TEST_S3_BUCKET=bucket",
		"AWS_ACCESS_KEY_ID=key", "AWS_SECRET_ACCESS_KEY=secret-of-the-test")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	figure(t, "versitygw: %d tests of the suite, probe of 32 racers × 100 rounds and parts pass", strings.Count(string(out), "--- PASS"))
}

// TestS3Store works in a bucket of a real S3 server as one does in a folder.
func TestS3Store(t *testing.T) {
	u := newS3Service(t).user()
	wc := u.in("images")
	wc.write(map[string]string{"a": "1\n", "d/b": "2\n", "big": noise(9 << 20)})
	wc.dvx("init", "--store", "s3://bucket/team/store")
	wc.dvx("commit", "-m", "first")
	wc.dvx("branch", "create", "images@dev", "--from", "images@main")
	wc.write(map[string]string{"a": "changed\n"})
	wc.dvx("commit", "-m", "second")
	if got := u.with("DVX_STORE", "s3://bucket/team/store").dvx("cat", "images@dev:/a"); got != "1\n" {
		t.Errorf("on the branch: %q", got)
	}
	u.dvx("checkout", "--store", "s3://bucket/team/store", "images@main", u.path("copy"))
	for _, name := range []string{"a", "d/b", "big"} {
		if readFile(t, u.path("copy", name)) != readFile(t, wc.path(name)) {
			t.Errorf("%s differs after a checkout", name)
		}
	}
	u.refused(codeConflict, []string{"already"}, "init", "--bare", "--store", "s3://bucket/team/store")
	u.with("AWS_SECRET_ACCESS_KEY", "wrong").refused(codeDenied, nil, "repo", "list", "--store", "s3://bucket/team/store")
	nobody := u.with("AWS_ACCESS_KEY_ID", "", "AWS_SECRET_ACCESS_KEY", "")
	nobody.refused(codeDenied, []string{"AWS_PROFILE"}, "repo", "list", "--store", "s3://bucket/team/store")
	writeFile(t, filepath.Join(u.env["HOME"], ".aws", "credentials"), "[work]\naws_access_key_id = key\naws_secret_access_key = secret-of-the-test\n")
	nobody.with("AWS_PROFILE", "work").dvx("repo", "list", "--store", "s3://bucket/team/store")

	// Noise does not compress, so this takes a second at least.
	other := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{}).Read(other) // never fails
	wc.write(map[string]string{"big": string(other)})
	start := time.Now()
	wc.dvx("commit", "-m", "slowly", "--limit-upload", "2MiB")
	if took := time.Since(start); took < time.Second {
		t.Errorf("2 MiB new data at most per second took %v", took)
	}
}

// TestS3Kills kills commits to a bucket, and the server under them, at random
// moments. A commit that is repeated with its operation ID is made once; what
// was acknowledged is there.
func TestS3Kills(t *testing.T) {
	const rounds = 24
	s3Kills(t, func(done int) bool { return done < rounds })
}

// TestSoakS3Kills does the same for as long as DVX_SOAK says.
func TestSoakS3Kills(t *testing.T) {
	s := os.Getenv("DVX_SOAK")
	if s == "" {
		t.Skip("runs for as long as DVX_SOAK says (make soak)")
	}
	long, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("DVX_SOAK: %v", err)
	}
	start := time.Now()
	s3Kills(t, func(int) bool { return time.Since(start) < long })
}

func s3Kills(t *testing.T, more func(done int) bool) {
	const serverEvery = 4
	s := newS3Service(t)
	u := s.user().with("DVX_STORE", "s3://bucket/store")
	u.dvx("init", "--bare")
	u.dvx("repo", "create", "r")
	killed, down, n := 0, 0, 0
	for ; more(n); n++ {
		args := []string{"put", "-", fmt.Sprintf("r@main:/f%05d", n), "--op-id", fmt.Sprintf("0190f5d0-7c00-7000-8000-%012x", n)}
		body := fmt.Sprintf("%d %s", n, noise(100_000+n%1000))
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(5+rand.IntN(120))*time.Millisecond)
		if n%serverEvery == serverEvery-1 {
			restarted := beside(t, 1, func(context.Context, int) {
				<-ctx.Done()
				s.kill()
				time.Sleep(50 * time.Millisecond)
				s.start()
			})
			u.until(t.Context(), body, args...)
			restarted()
			down++
		} else if code, _ := u.until(ctx, body, args...); code < 0 {
			killed++
		}
		cancel()
		if code, text := u.until(t.Context(), body, args...); code != 0 {
			t.Fatalf("put %d repeated: exit code %d: %s", n, code, text)
		}
		if got := u.dvx("cat", fmt.Sprintf("r@main:/f%05d", n)); got != body {
			t.Fatalf("put %d: %d bytes are there, %d were put", n, len(got), len(body))
		}
	}
	if log := u.history("r@main"); len(log) != n {
		t.Errorf("%d versions of %d puts", len(log), n)
	}
	u.dvx("fsck", "--read-data")
	figure(t, "S3: %d puts, %d killed, %d with the server killed: each is there once, fsck finds nothing", n, killed, down)
}

// until runs dvx and kills it when ctx ends. The code is negative if it was
// killed.
func (u *user) until(ctx context.Context, stdin string, args ...string) (code int, text string) {
	u.t.Helper()
	cmd := u.command(binary(u.t, "dvx"), args...)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stderr = strings.NewReader(stdin), &errs
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Wait() // the exit code tells
	}()
	select {
	case <-done:
	case <-ctx.Done():
		_ = cmd.Process.Kill()
		<-done
	}
	return cmd.ProcessState.ExitCode(), errs.String()
}
