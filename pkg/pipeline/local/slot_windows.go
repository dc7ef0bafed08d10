package local

import (
	"os"
	"os/exec"
)

// detach does nothing on Windows.
func detach(*exec.Cmd) {}

// killTree ends the process.
func killTree(p *os.Process) { _ = p.Kill() }

// signalOf has nothing to say on Windows.
func signalOf(*os.ProcessState) (int, string) { return 255, "" }
