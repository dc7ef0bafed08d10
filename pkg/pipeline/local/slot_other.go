//go:build !linux

package local

import (
	"errors"
	"os"
	"os/exec"
	"time"

	"github.com/dvx-io/dvx/pkg/worker"
)

// selfExecutable names this program's executable.
func selfExecutable() (string, error) { return os.Executable() }

// adopt: only Linux lets a process adopt orphans.
func adopt() {}

// runProcess starts p and waits for it. What it started and left behind is
// killed as far as the system can name it: its process group on Unix, the
// process alone on Windows.
func runProcess(p worker.Process, started chan<- int) worker.Exit {
	cmd := &exec.Cmd{Path: p.Path, Args: p.Argv, Env: p.Env, Dir: p.Dir}
	detach(cmd)
	log, err := os.OpenFile(p.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return worker.Exit{Code: 127, Failure: err.Error()}
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if p.Stdin != "" {
		in, err := os.Open(p.Stdin)
		if err != nil {
			return worker.Exit{Code: 127, Failure: err.Error()}
		}
		defer in.Close()
		cmd.Stdin = in
	}
	if err := cmd.Start(); err != nil {
		return worker.Exit{Code: 127, Failure: err.Error()}
	}
	started <- cmd.Process.Pid
	err = cmd.Wait()
	killTree(cmd.Process.Pid)
	exit := worker.Exit{Code: cmd.ProcessState.ExitCode()}
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		exit.Failure = err.Error()
	}
	if exit.Code < 0 {
		exit.Code, exit.Signal = signalOf(cmd.ProcessState)
	}
	exit.CPU = time.Duration(cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime())
	return exit
}
