package local

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"

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

// program is a program that this process is to run.
type program struct {
	process worker.Process
	mu      sync.Mutex // held while a child is reaped, so that a pid under it is the child's
	pid     int        // while it is a child of ours, dead or alive
	ended   bool       // or it won't be started
	killed  bool       // before it ended
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

// kill ends the program, at once or before it is started.
func (g *program) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.killed = g.killed || !g.ended
	if g.pid > 0 {
		_ = syscall.Kill(-g.pid, syscall.SIGKILL)
	}
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
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.killed {
		g.ended = true
		return reply{Exit: worker.Exit{Code: 128 + int(syscall.SIGKILL), Signal: "SIGKILL", Killed: true}}, false
	}
	pid, err := fork(p, []uintptr{uintptr(in), uintptr(log), uintptr(log)})
	if err != nil {
		g.ended = true
		return startFailure(p, err), false
	}
	g.pid = pid
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
func fork(p worker.Process, files []uintptr) (int, error) {
	const tries = 100 // times 5 ms
	for try := 1; ; try++ {
		pid, err := syscall.ForkExec(p.Path, p.Argv, &syscall.ProcAttr{
			Dir:   p.Dir,
			Env:   p.Env,
			Files: files,
			Sys:   &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
		})
		// The daemon wrote the program, and a process that it forked just then
		// still has the file open until it executes something itself.
		if !errors.Is(err, syscall.ETXTBSY) || try == tries {
			return pid, err
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

// wait waits for the program, reaping orphans that end meanwhile.
func (g *program) wait() worker.Exit {
	var exit worker.Exit
	for {
		// First only look, for what is reaped must be so under the lock.
		err := unix.Waitid(unix.P_ALL, 0, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if errors.Is(err, unix.EINTR) {
			continue
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

// reapOne reaps a dead child, if there is one, and reports whether it was the
// program.
func (g *program) reapOne(exit *worker.Exit) (syscall.WaitStatus, bool, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var status syscall.WaitStatus
	var usage syscall.Rusage
	pid, err := syscall.Wait4(-1, &status, syscall.WNOHANG, &usage)
	if pid <= 0 || errors.Is(err, syscall.EINTR) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	account(exit, &usage)
	if pid != g.pid {
		return 0, false, nil
	}
	g.pid, g.ended = 0, true // from now on the pid can be any process's
	return status, true, nil
}

// account adds the resources of one ended process.
func account(e *worker.Exit, u *syscall.Rusage) {
	e.CPU += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	e.RSSMax = max(e.RSSMax, int64(u.Maxrss)*1024) //nolint:unconvert // 32 bits wide on some platforms
}
