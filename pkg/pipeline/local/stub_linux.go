package local

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/dvx-io/dvx/pkg/worker"
)

// A stub is a slot in a container of its own: process 1 of a user's image, of
// which it needs nothing. It calls the agent, which is in the container beside
// it and has another user ID, over a unix socket, and runs one program after
// the other for it. What a program leaves behind becomes a child of process 1
// and is killed; its files in folders that all programs share are removed; what
// it wrote is opened to the group that stub and agent have in common.

// stubRequest asks a stub to run a process, or to end the running one.
type stubRequest struct {
	Run  *worker.Process
	Kill bool
	Open []string // folders whose contents the agent is to read and remove
}

// callEvery is how often a stub looks for its agent, which starts beside it.
const callEvery = 20 * time.Millisecond

// Stub calls the agent at a unix socket and serves it until the agent hangs up.
// It is meant to be the first process of a container. After each program it
// removes all that it can in the folders scratch, in which any program of the
// container can write.
func Stub(ctx context.Context, socket string, scratch []string) error {
	settle()
	// Programs run as the same user: nothing of this process is theirs to read.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("stub: %w", err)
	}
	var conn *net.UnixConn
	for conn == nil {
		c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: socket, Net: "unix"})
		switch {
		case err == nil:
			conn = c
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED):
			return fmt.Errorf("stub: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(callEvery):
		}
	}
	f, err := conn.File()
	if err = errors.Join(err, conn.Close()); err != nil {
		return fmt.Errorf("stub: %w", err)
	}
	defer func() { _ = f.Close() }()
	return serveStub(f, scratch)
}

// serveStub runs one request after the other until the agent hangs up.
func serveStub(f *os.File, scratch []string) error {
	runtime.LockOSThread() // a program's parent-death signal is tied to the thread that forked it
	defer runtime.UnlockOSThread()
	requests := newRequests(f)
	enc := gob.NewEncoder(f)
	for {
		var r stubRequest
		if err := requests.dec.Decode(&r); err != nil {
			return nil
		}
		if r.Run == nil {
			continue
		}
		answer := runStub(*r.Run, requests)
		for _, dir := range r.Open {
			openToGroup(dir)
		}
		for _, dir := range scratch {
			removeOwn(dir)
		}
		if err := enc.Encode(answer); err != nil {
			return fmt.Errorf("stub: %w", err)
		}
	}
}

// runStub runs one program, which is looked up in this container.
func runStub(p worker.Process, requests *requests) reply {
	if p.Path == "" {
		file, err := search{path: pathOf(p.Env)}.find(p.Argv[0])
		if err != nil {
			return reply{Exit: worker.Exit{Code: 127, Failure: inImage(err.Error())}}
		}
		p.Path = file
	}
	before := oomKills("/sys/fs/cgroup")
	r := (&program{process: p, requests: requests}).run()
	r.Exit.Starved = r.Exit.Code != 0 && !r.Exit.Killed && oomKills("/sys/fs/cgroup") > before
	return r
}

// oomKills returns how many processes the kernel has ended in this container
// because it was at its memory limit; 0 if the kernel does not tell. The places
// and names are those of cgroups 2 and 1 (the kernel's
// Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst).
func oomKills(cgroup string) int {
	for _, name := range []string{"memory.events", "memory/memory.oom_control"} {
		b, err := os.ReadFile(filepath.Join(cgroup, filepath.FromSlash(name)))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if n, ok := strings.CutPrefix(line, "oom_kill "); ok {
				kills, _ := strconv.Atoi(strings.TrimSpace(n))
				return kills
			}
		}
	}
	return 0
}

// inImage says of a program that was not found that it is the image that lacks
// it.
func inImage(reason string) string {
	reason, _, _ = strings.Cut(reason, "; install it there")
	return reason + "; the image does not have it"
}

// openToGroup lets the group read the files below a folder that their owner can
// read, and change its folders, so that the agent can store and remove them.
// It follows no link. What can't be changed stays as it is: the agent will say
// what it can't read.
func openToGroup(dir string) {
	_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if d == nil {
			return nil
		}
		info, ierr := d.Info()
		if ierr != nil || (!d.IsDir() && !info.Mode().IsRegular()) {
			return nil
		}
		mode := info.Mode().Perm()
		want := mode | mode>>3&0o050
		if d.IsDir() {
			want = mode | 0o070
		}
		if want == mode {
			return nil
		}
		_ = unix.Fchmodat(unix.AT_FDCWD, p, uint32(want), 0) // nobody else is alive to put a link in its place
		if err != nil && d.IsDir() {
			openToGroup(p) // could not be listed before
		}
		return nil
	})
}

// removeOwn removes what is in a folder, as far as it can be.
func removeOwn(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			openToGroup(filepath.Join(dir, e.Name()))
			_ = os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
}

// StubClient is the agent's end of a stub. It implements [worker.Executor] for
// one program at a time; calls wait for one another.
type StubClient struct {
	mu   sync.Mutex
	conn io.ReadWriteCloser
	enc  *gob.Encoder
	dec  *gob.Decoder
}

// AwaitStub waits for the stub to call at a unix socket, which is made and is
// removed again: whoever comes later finds none.
func AwaitStub(ctx context.Context, socket string) (*StubClient, error) {
	if err := os.Remove(socket); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("await the stub: %w", err)
	}
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: socket, Net: "unix"})
	if err != nil {
		return nil, fmt.Errorf("await the stub: %w", err)
	}
	defer func() { _ = l.Close() }() // removes it
	if err := os.Chmod(socket, 0o660); err != nil {
		return nil, fmt.Errorf("await the stub: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	conn, err := l.AcceptUnix()
	if err != nil {
		return nil, fmt.Errorf("await the stub: %w", err)
	}
	return &StubClient{conn: conn, enc: gob.NewEncoder(conn), dec: gob.NewDecoder(conn)}, nil
}

// run runs a program in the stub's container and opens folders afterwards.
func (c *StubClient) run(ctx context.Context, p worker.Process, open []string) (worker.Exit, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return worker.Exit{Killed: true}, err
	}
	if err := c.enc.Encode(stubRequest{Run: &p, Open: open}); err != nil {
		return worker.Exit{}, errLost{err}
	}
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(killed)
		if c.enc.Encode(stubRequest{Kill: true}) != nil {
			_ = c.conn.Close()
		}
	})
	var r reply
	err := c.dec.Decode(&r)
	if !stop() {
		<-killed
	}
	if err != nil {
		return worker.Exit{}, errLost{err}
	}
	if r.Broken != "" {
		return r.Exit, errors.New(r.Broken)
	}
	return r.Exit, nil
}

// Close hangs up: the stub kills what runs, and ends.
func (c *StubClient) Close() error { return c.conn.Close() }

// IsLost reports whether an error means that a stub or a slot process is gone.
func IsLost(err error) bool {
	var lost errLost
	return errors.As(err, &lost)
}

// StubFolder executes the programs of one worker's folder in the container of
// a stub, as another user. The folder is closed to that user but while one of
// its programs runs.
type StubFolder struct {
	Client  *StubClient
	Dir     string // of the worker
	StartIn string // folder of the image in which programs start that would start in the task's; empty: there
}

var _ worker.Executor = StubFolder{}

// Exec implements [worker.Executor].
func (x StubFolder) Exec(ctx context.Context, p worker.Process) (worker.Exit, error) {
	out, tmp := filepath.Join(x.Dir, "task", "out"), filepath.Join(x.Dir, "task", "tmp")
	err := errors.Join(os.Chmod(out, 0o775), os.Chmod(tmp, 0o775), os.Chmod(p.Log, 0o660), os.Chmod(x.Dir, 0o755))
	if p.Stdin != "" {
		err = errors.Join(err, os.Chmod(p.Stdin, 0o640))
	}
	if err != nil {
		return worker.Exit{}, fmt.Errorf("open the folder of a task: %w", err)
	}
	if x.StartIn != "" && p.Dir == filepath.Join(x.Dir, "task") {
		p.Dir = x.StartIn
	}
	exit, err := x.Client.run(ctx, p, []string{out, tmp})
	return exit, errors.Join(err, os.Chmod(x.Dir, 0o700), os.Chmod(out, 0o755))
}
