package local

import (
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// strayRounds is how often processes are looked for, since they may fork.
const strayRounds = 10

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
	}
}

// killMarked kills the processes with the mark in their environment, and
// reports whether there was one.
func killMarked(mark []byte) bool {
	procs, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	found := false
	for _, p := range procs {
		pid, err := strconv.Atoi(p.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		b, err := os.ReadFile("/proc/" + p.Name() + "/environ")
		if err == nil && bytes.Contains(append([]byte{0}, b...), mark) {
			found = syscall.Kill(pid, syscall.SIGKILL) == nil || found
		}
	}
	return found
}
