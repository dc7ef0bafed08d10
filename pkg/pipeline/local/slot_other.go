//go:build !linux

package local

import (
	"bufio"
	"encoding/gob"
	"errors"
	"io"
	"os"
	"os/exec"
	"sync"

	"github.com/dvx-io/dvx/pkg/worker"
)

// selfExecutable names this program's executable.
func selfExecutable() (string, error) { return os.Executable() }

// settle: only Linux lets a process adopt orphans.
func settle() {}

// killStrays: only Linux shows the environments of processes.
func killStrays([]string) {}

// slotEnviron is the environment of a slot process.
func slotEnviron() []string { return []string{slotEnv + "=1"} }

// serveSlot runs one request after the other until in ends.
func serveSlot(in io.Reader, out io.Writer) error {
	programs := make(chan *program)
	go readRequests(in, programs)
	enc := gob.NewEncoder(out)
	for g := range programs {
		if err := enc.Encode(g.run()); err != nil {
			return err
		}
	}
	return nil
}

// readRequests hands programs over to be run and kills the newest one on
// request and when in ends. A kill that comes after a program's end finds it
// ended, so it does not hit the next one.
func readRequests(in io.Reader, programs chan<- *program) {
	defer close(programs)
	dec := gob.NewDecoder(bufio.NewReader(in))
	newest := &program{}
	for {
		var r request
		if dec.Decode(&r) != nil {
			newest.kill()
			return
		}
		if r.Run == nil {
			newest.kill()
			continue
		}
		newest = &program{process: *r.Run}
		programs <- newest
	}
}

// program is a program that this process is to run.
type program struct {
	process worker.Process
	mu      sync.Mutex
	proc    *os.Process // while it runs
	ended   bool
	killed  bool // before it ended
}

// kill ends the program, at once or as soon as it was started.
func (g *program) kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.killed = g.killed || !g.ended
	if g.proc != nil {
		killTree(g.proc)
	}
}

// run starts the program and waits for it. What it started and left behind is killed as
// far as the system can name it: its process group on Unix, the process alone
// on Windows.
func (g *program) run() reply {
	p := g.process
	cmd := &exec.Cmd{Path: p.Path, Args: p.Argv, Env: p.Env, Dir: p.Dir}
	detach(cmd)
	log, err := os.OpenFile(p.Log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return reply{Broken: err.Error()}
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if p.Stdin != "" {
		in, err := os.Open(p.Stdin)
		if err != nil {
			return reply{Broken: err.Error()}
		}
		defer in.Close()
		cmd.Stdin = in
	}
	if p.Lines != "" {
		lines, err := os.Open(p.Lines)
		if err != nil {
			return reply{Broken: err.Error()}
		}
		defer lines.Close()
		answers, err := os.OpenFile(p.Answers, os.O_WRONLY, 0)
		if err != nil {
			return reply{Broken: err.Error()}
		}
		defer answers.Close()
		cmd.ExtraFiles = []*os.File{lines, answers}
	}
	if err := g.start(cmd); err != nil {
		return reply{Exit: worker.Exit{Code: 127, Failure: p.Argv[0] + ": " + err.Error(), Killed: errors.Is(err, errKilled)}}
	}
	err = cmd.Wait()
	g.mu.Lock()
	killTree(g.proc)
	g.proc, g.ended = nil, true
	exit := worker.Exit{Code: cmd.ProcessState.ExitCode(), Killed: g.killed && !cmd.ProcessState.Success()}
	g.mu.Unlock()
	var ended *exec.ExitError
	if err != nil && !errors.As(err, &ended) {
		exit.Failure = err.Error()
	}
	if exit.Code < 0 {
		exit.Code, exit.Signal = signalOf(cmd.ProcessState)
	}
	exit.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return reply{Exit: exit}
}

// errKilled ends what was killed before it began.
var errKilled = errors.New("killed before it was started")

// start starts cmd, unless it was killed before.
func (g *program) start(cmd *exec.Cmd) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.killed {
		return errKilled
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	g.proc = cmd.Process
	return nil
}
