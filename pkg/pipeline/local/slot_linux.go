package local

import (
	"bufio"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/dvx-io/dvx/pkg/worker"
)

// selfExecutable names this program's executable even after the file was
// replaced by a newer one.
func selfExecutable() (string, error) { return "/proc/self/exe", nil }

// detach keeps the terminal's signals away from the slot: its end is decided
// by the daemon, through its standard input.
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// settle makes this process a good parent: it adopts all orphans among its
// descendants, hands down a fixed umask and no open files, and outlives signals that are meant
// for the daemon, so that it can kill what runs. (Caught, not ignored: programs
// would inherit that.)
func settle() {
	_ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
	_ = unix.CloseRange(3, math.MaxInt32, unix.CLOSE_RANGE_CLOEXEC) // what the daemon was started with
	unix.Umask(0o022)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
}

// slotEnviron is the environment of a slot process. All it does is wait, in one
// goroutine and in system calls that the Go runtime is not told of: then the
// runtime needs no second processor, and nobody to interrupt the wait.
func slotEnviron() []string {
	return []string{slotEnv + "=1", "GOMAXPROCS=1", "GODEBUG=asyncpreemptoff=1"}
}

// serveSlot runs one request after the other until in ends. A kill for a
// program that has ended does not hit the next one.
func serveSlot(in *os.File, out io.Writer) error {
	// One thread starts and awaits all programs: their parent-death signal is
	// tied to the thread that forked them.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	requests := newRequests(in)
	enc := gob.NewEncoder(out)
	for {
		var r request
		if err := requests.next(&r); err != nil {
			return nil // the daemon closed it, or is gone
		}
		if r.Run == nil {
			continue
		}
		g := &program{process: *r.Run, requests: requests}
		if err := enc.Encode(g.run()); err != nil {
			return err
		}
	}
}

// requests reads what the daemon asks for.
type requests struct {
	fd  int
	in  *bufio.Reader
	dec *gob.Decoder
}

func newRequests(in *os.File) *requests {
	r := &requests{fd: int(in.Fd())} // blocking from now on
	r.in = bufio.NewReader(fdReader(r.fd))
	r.dec = gob.NewDecoder(r.in)
	return r
}

func (r *requests) next(to *request) error { return r.dec.Decode(to) }

// fdReader reads a descriptor in system calls of which the runtime is not told.
type fdReader int

// Read implements io.Reader.
func (r fdReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(r), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)))
		switch {
		case errno == unix.EINTR:
		case errno != 0:
			return 0, errno
		case n == 0:
			return 0, io.EOF
		default:
			return int(n), nil
		}
	}
}

// program is a program that this process runs.
type program struct {
	process  worker.Process
	requests *requests
	pid      int // while it is a child of ours, dead or alive
	pidfd    int // readable when it has ended; -1 if the system has none
	killed   bool
	orphaned bool // there are no more requests
}

// run runs the program to its end and kills everything it left behind.
func (g *program) run() reply {
	if r, ok := g.start(); !ok {
		return r
	}
	exit := g.wait()
	exit.Left = reap(&exit)
	return reply{Exit: exit}
}

// kill ends the program.
func (g *program) kill() {
	g.killed = true
	_ = syscall.Kill(-g.pid, syscall.SIGKILL)
}

// start starts the program, and reports whether it runs.
func (g *program) start() (reply, bool) {
	p := g.process
	stdin := p.Stdin
	if stdin == "" {
		stdin = os.DevNull
	}
	in, err := open(stdin, unix.O_RDONLY)
	if err != nil {
		return reply{Broken: err.Error()}, false
	}
	defer func() { _ = unix.Close(in) }()
	log, err := open(p.Log, unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND)
	if err != nil {
		return reply{Broken: err.Error()}, false
	}
	defer func() { _ = unix.Close(log) }()
	files := []uintptr{uintptr(in), uintptr(log), uintptr(log)}
	if p.Lines != "" {
		lines, err := open(p.Lines, unix.O_RDONLY)
		if err != nil {
			return reply{Broken: err.Error()}, false
		}
		defer func() { _ = unix.Close(lines) }()
		answers, err := open(p.Answers, unix.O_WRONLY)
		if err != nil {
			return reply{Broken: err.Error()}, false
		}
		defer func() { _ = unix.Close(answers) }()
		files = append(files, uintptr(lines), uintptr(answers))
	}
	g.pid, g.pidfd, err = fork(p, files)
	if err != nil {
		return startFailure(p, err), false
	}
	return reply{}, true
}

// open opens a plain file for a program. (An os.File would be offered to the
// poller first, in vain.)
func open(file string, flags int) (int, error) {
	for {
		fd, err := unix.Open(file, flags|unix.O_CLOEXEC, 0o600)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return -1, &os.PathError{Op: "open", Path: file, Err: err}
		}
		return fd, nil
	}
}

// fork forks and executes p in a session of its own, which its descendants
// can't leave for a process group of ours.
func fork(p worker.Process, files []uintptr) (pid, pidfd int, err error) {
	const tries = 100 // times 5 ms
	for try := 1; ; try++ {
		pidfd = -1
		pid, err = syscall.ForkExec(p.Path, p.Argv, &syscall.ProcAttr{
			Dir:   p.Dir,
			Env:   p.Env,
			Files: files,
			Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL, PidFD: &pidfd},
		})
		// The daemon wrote the program, and a process that it forked just then
		// still has the file open until it executes something itself.
		if !errors.Is(err, syscall.ETXTBSY) || try == tries {
			return pid, pidfd, err
		}
		<-time.After(5 * time.Millisecond)
	}
}

// startFailure says whose fault it is that p could not be started.
func startFailure(p worker.Process, err error) reply {
	switch {
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.EMFILE),
		errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EIO):
		return reply{Broken: fmt.Sprintf("start %s: %v", p.Argv[0], err)}
	}
	hint := ""
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		hint = " (a script needs a first line such as #!/bin/sh)"
	case errors.Is(err, syscall.ENOENT):
		hint = " (the program, or the interpreter in its first line)"
	case errors.Is(err, syscall.E2BIG):
		hint = " (arguments and environment together)"
	}
	return reply{Exit: worker.Exit{Code: 127, Failure: fmt.Sprintf("%s: %v%s", p.Argv[0], err, hint)}}
}

// wait waits for the program, does what is asked for meanwhile, and reaps
// orphans that end.
func (g *program) wait() worker.Exit {
	defer func() {
		if g.pidfd >= 0 {
			_ = unix.Close(g.pidfd)
		}
	}()
	var exit worker.Exit
	for {
		if g.hears(g.await()) {
			g.obey()
		}
		status, ended, err := g.reapOne(&exit)
		if err != nil { // can't be before the program was reaped
			exit.Code, exit.Failure = 127, err.Error()
			return exit
		}
		if !ended {
			continue
		}
		exit.Code = status.ExitStatus()
		if status.Signaled() {
			exit.Code = 128 + int(status.Signal())
			exit.Signal = unix.SignalName(status.Signal())
			exit.Killed = g.killed && status.Signal() == syscall.SIGKILL
		}
		return exit
	}
}

// Orphans that end show only when somebody looks, which is once in a while; so
// does the program itself where the system can't tell.
const (
	lookEvery     = time.Second
	lookEveryElse = 2 * time.Millisecond
)

// await waits for the end of the program, for a request, or for a while, and
// reports whether a request has come.
func (g *program) await() bool {
	fds := []unix.PollFd{{Fd: int32(g.pidfd), Events: unix.POLLIN}, {Fd: int32(g.requests.fd), Events: unix.POLLIN}}
	if g.orphaned {
		fds = fds[:1]
	}
	every := lookEvery
	if g.pidfd < 0 {
		every = lookEveryElse
	}
	limit := unix.NsecToTimespec(every.Nanoseconds())
	_, _, _ = unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)), uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	return !g.orphaned && fds[1].Revents != 0
}

// hears reports whether there is a request, come or left from an earlier read.
func (g *program) hears(came bool) bool { return !g.orphaned && (came || g.requests.in.Buffered() > 0) }

// obey takes the next request, which can only be to kill the program: for a
// second one the daemon waits for the end of the first.
func (g *program) obey() {
	var r request
	g.orphaned = g.requests.next(&r) != nil
	g.kill()
}

// reapOne reaps a dead child, if there is one, and reports whether it was the
// program.
func (g *program) reapOne(exit *worker.Exit) (syscall.WaitStatus, bool, error) {
	for {
		var status syscall.WaitStatus
		var usage syscall.Rusage
		pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, &usage)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, false, err
		case pid <= 0:
			return 0, false, nil
		default:
			account(exit, &usage)
			if pid == g.pid {
				return status, true, nil
			}
		}
	}
}

// account adds the resources of one ended process.
func account(e *worker.Exit, u *syscall.Rusage) {
	e.CPU += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	e.RSSMax = max(e.RSSMax, int64(u.Maxrss)*1024) //nolint:unconvert // 32 bits wide on some platforms
}
