package local

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/dvx-io/dvx/pkg/worker"
)

// reap kills every child until none is left, and returns how many it killed.
// Children of the killed become ours, so the loop ends with no descendant alive
// but those that we have no right to kill.
func reap(exit *worker.Exit) int {
	killed, hang := 0, syscall.WNOHANG
	for {
		var status syscall.WaitStatus
		var usage syscall.Rusage
		pid, err := syscall.Wait4(-1, &status, hang, &usage)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil: // no children
			return killed
		case pid > 0:
			account(exit, &usage)
			if status.Signaled() && status.Signal() == syscall.SIGKILL {
				killed++
			}
			hang = syscall.WNOHANG
		case !killChildren():
			return killed
		default:
			hang = 0 // what was killed dies soon
		}
	}
}

// killChildren kills the children of this process with their process groups,
// and reports whether any could be killed. A group dies as one, so a program
// that forks faster than we look does not get away. Programs run in sessions
// of their own, so no group of theirs is one of ours.
func killChildren() bool {
	any := false
	own := syscall.Getpgrp()
	for _, pid := range children() {
		if group, err := syscall.Getpgid(pid); err == nil && group != own && syscall.Kill(-group, syscall.SIGKILL) == nil {
			any = true
		}
		if syscall.Kill(pid, syscall.SIGKILL) == nil {
			any = true
		}
	}
	return any
}

// children lists the direct children of this process.
func children() []int {
	var pids []int
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return nil
	}
	for _, t := range tasks {
		b, err := os.ReadFile("/proc/self/task/" + t.Name() + "/children")
		if errors.Is(err, os.ErrNotExist) {
			if _, err := os.Stat("/proc/self/task/" + t.Name()); err != nil {
				continue // the thread ended, the others have its children
			}
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
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
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
