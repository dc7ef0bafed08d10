package local

import (
	"os"
	"os/exec"
)

// detach does nothing on Windows.
func detach(*exec.Cmd) {}

// killTree ends the process.
func killTree(pid int) {
	if p, err := os.FindProcess(pid); pid > 0 && err == nil {
		_ = p.Kill()
	}
}

// signalOf has nothing to say on Windows.
func signalOf(*os.ProcessState) (int, string) { return 255, "" }
