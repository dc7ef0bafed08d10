package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/dvx-io/dvx/pkg/auth"
)

// buckets makes an arena whose source is a folder in a folder of buckets.
func (b *bench) buckets(dir string) (*arena, error) {
	a := &arena{b: b, dir: dir, src: filepath.Join(dir, "buckets", "src")}
	return a, os.MkdirAll(a.src, 0o777)
}

// forgetSource removes what dvx keeps in the source.
func (a *arena) forgetSource() error { return os.RemoveAll(filepath.Join(a.src, ".dvx")) }

// endpoint is a server that was started, and how it is spoken to.
type endpoint struct {
	cmd    *exec.Cmd
	log    *bytes.Buffer
	url    string
	urls   []string // of what is about to be fetched
	bucket string   // "" for a server of files that is no S3
	key    auth.Key
	http   *http.Client
	s3     *minio.Client
}

// serve starts a peer on a free port, with the source as a bucket.
func (a *arena) serve(peer string) (*endpoint, error) {
	e := &endpoint{log: &bytes.Buffer{}, http: &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: 64, DisableCompression: true, ReadBufferSize: 256 << 10,
	}}}
	at, err := freeAddress()
	if err != nil {
		return nil, err
	}
	switch peer {
	case "dvx":
		err = e.serveDVX(a, at)
	case "versitygw":
		e.bucket, e.key = "src", auth.Key{Access: "bench", Secret: "secret-of-the-bench"}
		e.cmd = a.b.command(a.dir, a.b.o.versitygw, "--port", at, "--keep-alive", "--quiet", "posix", filepath.Dir(a.src))
		e.cmd.Env = append(e.cmd.Env, "ROOT_ACCESS_KEY="+e.key.Access, "ROOT_SECRET_KEY="+e.key.Secret)
		err = e.start(at)
	default: // files
		self, eerr := os.Executable()
		if eerr != nil {
			return nil, eerr
		}
		e.cmd = a.b.command(a.dir, self, "-serve-files", a.src, "-serve-at", at)
		err = e.start(at)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, e.log)
	}
	if e.bucket != "" {
		e.s3, err = minio.New(at, &minio.Options{Creds: credentials.NewStaticV4(e.key.Access, e.key.Secret, ""), Region: "us-east-1"})
	}
	return e, err
}

func (e *endpoint) serveDVX(a *arena, at string) error {
	ready, key := filepath.Join(a.dir, "ready"), filepath.Join(a.dir, "owner.key")
	_ = os.Remove(ready)
	e.bucket = "main.src"
	e.cmd = a.b.command(a.dir, "dvx", "serve", "--store", a.store("dvx"), "--listen", "127.0.0.1:0", "--s3-listen", at, "--no-pipelines",
		"--state", filepath.Join(a.dir, "state"), "--key-file", key, "--ready-file", ready)
	if err := e.start(at); err != nil {
		return err
	}
	var info struct{ KeyFile string }
	for range waitTries {
		text, err := os.ReadFile(ready)
		if err == nil {
			if err = json.Unmarshal(text, &info); err == nil {
				e.key, err = auth.LoadKey(info.KeyFile)
			}
			return err
		}
		time.Sleep(waitStep)
	}
	return errors.New("the daemon did not become ready")
}

// A server is awaited for half a minute.
const (
	waitTries = 3000
	waitStep  = 10 * time.Millisecond
)

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// start starts the process and waits until it listens.
func (e *endpoint) start(at string) error {
	e.url = "http://" + at
	e.cmd.Stderr = e.log
	if err := e.cmd.Start(); err != nil {
		return err
	}
	for range waitTries {
		c, err := net.Dial("tcp", at)
		if err == nil {
			return c.Close()
		}
		time.Sleep(waitStep)
	}
	return errors.Join(errors.New("the server does not listen"), e.stop())
}

// stop ends the process.
func (e *endpoint) stop() error {
	e.http.CloseIdleConnections()
	_ = e.cmd.Process.Signal(syscall.SIGTERM)
	done := time.AfterFunc(waitTries*waitStep, func() { _ = e.cmd.Process.Kill() })
	defer done.Stop()
	_ = e.cmd.Wait() // how it ends when told to is its own affair
	return nil
}

// ready asks the server for something, so that its first answer is not measured.
func (e *endpoint) ready(ctx context.Context) error {
	if e.s3 == nil {
		return nil
	}
	ok, err := e.s3.BucketExists(ctx, e.bucket)
	if err == nil && !ok {
		err = fmt.Errorf("bucket %s is not there", e.bucket)
	}
	return err
}

// cpu returns the processor time that the server has used.
func (e *endpoint) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", e.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), ") ")
	f := strings.Fields(rest)
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * time.Second / 100 // Linux counts in hundredths
}

// peak returns the server's peak memory in bytes.
func (e *endpoint) peak() int64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), "VmHWM:")
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	n, _ := strconv.ParseInt(f[0], 10, 64)
	return n << 10
}

// serveFiles is the plain server of files: this program, started anew.
func serveFiles(dir, at string) error {
	s := &http.Server{Addr: at, Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: time.Minute}
	return s.ListenAndServe()
}
