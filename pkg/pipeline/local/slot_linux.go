package local

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
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
func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// adopt makes this process the parent of all orphans among its descendants.
func adopt() { _ = unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }

// runProcess starts p, waits for it, and kills everything it left behind.
func runProcess(p worker.Process, started chan<- int) worker.Exit {
	// The parent-death signal below is tied to the thread that forks, so the
	// thread must live as long as the program.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	pid, err := start(p)
	if err != nil {
		return worker.Exit{Code: 127, Failure: err.Error()}
	}
	started <- pid
	exit := wait(pid)
	exit.Left = reap(&exit)
	return exit
}

// start forks and executes p in a process group of its own.
func start(p worker.Process) (int, error) {
	stdin := p.Stdin
	if stdin == "" {
		stdin = os.DevNull
	}
	in, err := os.Open(stdin)
	if err != nil {
		return 0, err
	}
	defer in.Close()
	log, err := os.OpenFile(p.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	pid, err := syscall.ForkExec(p.Path, p.Argv, &syscall.ProcAttr{
		Dir:   p.Dir,
		Env:   p.Env,
		Files: []uintptr{in.Fd(), log.Fd(), log.Fd()},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", p.Path, err)
	}
	return pid, nil
}

// wait waits for the process pid, reaping orphans that end meanwhile.
func wait(pid int) worker.Exit {
	var exit worker.Exit
	for {
		var status syscall.WaitStatus
		var usage syscall.Rusage
		got, err := syscall.Wait4(-1, &status, 0, &usage)
		if errors.Is(err, syscall.EINTR) {
			continue
		}
		if err != nil { // nothing left to wait for: cannot happen before pid was reaped
			exit.Code, exit.Failure = 127, err.Error()
			return exit
		}
		account(&exit, &usage)
		if got != pid {
			continue
		}
		exit.Code = status.ExitStatus()
		if status.Signaled() {
			exit.Code = 128 + int(status.Signal())
			exit.Signal = unix.SignalName(status.Signal())
		}
		return exit
	}
}

// reap kills every child until none is left, and returns how many there were.
// Children of the killed become ours, so the loop ends with no descendant alive.
func reap(exit *worker.Exit) int {
	killed := 0
	for {
		for _, pid := range children() {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		var usage syscall.Rusage
		_, err := syscall.Wait4(-1, nil, 0, &usage)
		switch {
		case err == nil:
			killed++
			account(exit, &usage)
		case errors.Is(err, syscall.EINTR):
		default:
			return killed
		}
	}
}

// account adds the resources of one ended process.
func account(e *worker.Exit, u *syscall.Rusage) {
	e.CPU += time.Duration(u.Utime.Nano() + u.Stime.Nano())
	e.RSSMax = max(e.RSSMax, u.Maxrss*1024)
}

// children lists the direct children of this process.
func children() []int {
	var pids []int
	tasks, _ := os.ReadDir("/proc/self/task")
	for _, t := range tasks {
		b, err := os.ReadFile("/proc/self/task/" + t.Name() + "/children")
		if err != nil {
			return childrenByScan()
		}
		for _, f := range strings.Fields(string(b)) {
			if pid, err := strconv.Atoi(f); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}

// childrenByScan is for kernels without the children files.
func childrenByScan() []int {
	var pids []int
	self := strconv.Itoa(os.Getpid())
	procs, _ := os.ReadDir("/proc")
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil {
			continue
		}
		b, err := os.ReadFile("/proc/" + p.Name() + "/stat")
		if err != nil {
			continue
		}
		// pid (name) state ppid …; the name may contain anything, so count from its end.
		rest := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
		if len(rest) > 1 && rest[1] == self {
			pids = append(pids, pid)
		}
	}
	return pids
}

// killTree ends the program; runProcess then kills the rest.
func killTree(pid int) {
	if pid > 0 {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}
