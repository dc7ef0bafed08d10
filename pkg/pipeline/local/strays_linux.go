package local

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// strayRounds is how often processes are looked for: they may fork, and one
// that is about to become another program shows no environment meanwhile.
// strayPause lets such a one get on.
const (
	strayRounds = 200
	strayPause  = time.Millisecond
)

// killStrays kills what the program with this environment left behind, for the
// case that its slot is gone and nobody is its parent: processes that carry the
// private folder of the slot in their environment. It knows those that changed
// their environment no more.
func killStrays(env []string) {
	i := slices.IndexFunc(env, func(v string) bool { return strings.HasPrefix(v, "DVX_CODE=") })
	if i < 0 {
		return
	}
	mark := []byte("\x00" + env[i] + "\x00")
	for range strayRounds {
		if !killMarked(mark) {
			return
		}
		<-time.After(strayPause)
	}
}

// killMarked kills the processes with the mark in their environment, and
// reports whether there was one, or one that may yet turn out to have it.
func killMarked(mark []byte) (again bool) {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		b, err := os.ReadFile("/proc/" + p.Name() + "/environ")
		switch {
		case err != nil:
		case len(b) == 0:
			// In the middle of execve; what has ended, and the kernel's own
			// threads, have no environment either, but no program.
			_, err := os.Readlink("/proc/" + p.Name() + "/exe")
			again = err == nil || again
		case bytes.Contains(append([]byte{0}, b...), mark):
			again = syscall.Kill(pid, syscall.SIGKILL) == nil || again
		}
	}
	return again
}
