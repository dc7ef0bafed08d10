//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// s3Verbs is what a client of S3 can do; nil where it has no command for it.
// Each fails its test if the client fails.
type s3Verbs struct {
	mb       func(bucket string)
	sync     func(dir, bucket string) (sent int)    // send what is new or changed
	back     func(bucket, dir string) (fetched int) // fetch what is new or changed
	check    func(dir, bucket string)               // compare
	up       func(file, bucket, key string)
	down     func(bucket, key, file string)
	list     func(bucket, prefix string) []string // the keys
	part     func(bucket, key string, from, to int) string
	presign  func(bucket, key string) string // a URL to GET
	versions func(bucket, key string) []string
	copy     func(bucket, from, key string)
	rm       func(bucket, key string)
}

// s3User is a client at work: who runs it, on which edge, with which key.
type s3User struct {
	t    *testing.T
	u    *user // in a folder of the client's own
	host string
	id   string // access key
	key  string // secret
}

// s3As returns a client of a daemon's edge that works in a folder of its own.
func s3As(t *testing.T, u *user, d *daemon, name string) *s3User {
	t.Helper()
	c, _ := u.aws(d)
	own := c.in(u.path("client-"+name)).with("AWS_ENDPOINT_URL", "http://"+d.S3, "AWS_REGION", "us-east-1", "HOME", u.path("client-"+name))
	own.t = t
	return &s3User{t: t, u: own, host: d.S3, id: c.env["AWS_ACCESS_KEY_ID"], key: c.env["AWS_SECRET_ACCESS_KEY"]}
}

// run runs a command that must succeed, and returns what it printed.
func (s *s3User) run(name string, args ...string) result {
	s.t.Helper()
	program := name
	if !strings.Contains(name, "/") {
		program = tool(s.t, name)
	}
	r := s.u.try("", program, args...)
	if r.code != 0 {
		s.t.Fatalf("%.500s: exit code %d\n%.3000s%.3000s", r.line, r.code, r.err, r.out)
	}
	return r
}

// scripted is a client in another language: a program of test/clients that
// takes requests as lines of JSON.
type scripted struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
	err *bytes.Buffer
}

// startScript starts a program of test/clients, which ends with the test.
func (s *s3User) startScript(program string, args ...string) *scripted {
	s.t.Helper()
	cmd := s.u.command(program, args...)
	c := &scripted{t: s.t, err: &bytes.Buffer{}}
	cmd.Stderr = c.err
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	c.in, c.out = in, bufio.NewReader(out)
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = in.Close() // it ends with its input
		_ = cmd.Wait()
	})
	return c
}

// request makes one request and returns the answer.
func request[T any](c *scripted, words ...string) (answer T) {
	c.t.Helper()
	b, err := json.Marshal(words)
	if err != nil {
		c.t.Fatal(err)
	}
	_, err = c.in.Write(append(b, '\n'))
	var line []byte
	if err == nil {
		line, err = c.out.ReadBytes('\n')
	}
	if err != nil {
		c.t.Fatalf("%.300q: the client ended: %v\n%.3000s", words, err, c.err)
	}
	got := decode[struct {
		OK    T
		Error string
	}](c.t, string(line))
	if got.Error != "" {
		c.t.Fatalf("%.300q: %.2000s", words, got.Error)
	}
	return got.OK
}

// verbs returns what every program of test/clients can do.
func (c *scripted) verbs() s3Verbs {
	return s3Verbs{
		mb:   func(bucket string) { request[any](c, "mb", bucket) },
		up:   func(file, bucket, key string) { request[any](c, "up", file, bucket, key) },
		down: func(bucket, key, file string) { request[any](c, "down", bucket, key, file) },
		list: func(bucket, prefix string) []string { return request[[]string](c, "list", bucket, prefix) },
		part: func(bucket, key string, from, to int) string {
			return request[string](c, "part", bucket, key, fmt.Sprintf("%d-%d", from, to))
		},
		presign:  func(bucket, key string) string { return request[string](c, "presign", bucket, key) },
		versions: func(bucket, key string) []string { return request[[]string](c, "versions", bucket, key) },
		copy:     func(bucket, from, key string) { request[any](c, "copy", bucket, from, key) },
		rm:       func(bucket, key string) { request[any](c, "rm", bucket, key) },
	}
}

// awsgoVerbs is aws-sdk-go-v2.
func awsgoVerbs(s *s3User) s3Verbs { return s.startScript(binary(s.t, "awsgo")).verbs() }

func boto3Verbs(s *s3User) s3Verbs {
	c := s.startScript("/usr/bin/python3", filepath.Join(moduleRoot(s.t), "test", "clients", "boto3client.py"))
	request[any](c, "quirks", "main.boto3quirks")
	return c.verbs()
}

func awsjsVerbs(s *s3User) s3Verbs {
	return s.startScript(tool(s.t, "node"), filepath.Join(npmClients(s.t), "awsjs.mjs")).verbs()
}

// npmClients returns a folder with the clients from npm and the programs that
// use them, fetched once for all tests.
func npmClients(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(os.Getenv("DVX_BIN"), "npm")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "nodejs-polars")); err != nil {
		t.Fatalf("%v: make e2e installs the clients from npm", err)
	}
	for _, name := range []string{"awsjs.mjs", "polars.mjs"} {
		f, err := os.CreateTemp(dir, name+".*")
		if err == nil {
			_, err = f.WriteString(readFile(t, filepath.Join(moduleRoot(t), "test", "clients", name)))
			err = errors.Join(err, f.Close())
		}
		if err == nil { // whole at any time: others read it
			err = os.Rename(f.Name(), filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
