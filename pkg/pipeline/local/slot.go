package local

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"

	"github.com/dvx-io/dvx/pkg/worker"
)

// slotEnv marks a process as a slot.
const slotEnv = "DVX_SLOT_PROCESS"

// A slot is a small process beside the daemon that runs one program at a time
// for it, any number of them in turn. On Linux it adopts whatever the program
// leaves behind and kills it before it reports, so that nothing of one datum
// lives on into the next; when the daemon dies the slot's standard input ends,
// and it kills what runs and exits.
//
// Requests and replies are lines of JSON on its standard input and output.

// request is one line to a slot: a process to run, or the wish to end the
// running one.
type request struct {
	Run  *worker.Process `json:"run,omitempty"`
	Kill bool            `json:"kill,omitempty"`
}

// MaybeSlot turns the process into a slot if it was started as one, and does
// not return then. Every program that embeds a [Runner] calls it first of all.
func MaybeSlot() {
	if os.Getenv(slotEnv) == "" {
		return
	}
	if err := serveSlot(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "dvx slot:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// serveSlot runs one request after the other until in ends.
func serveSlot(in io.Reader, out io.Writer) error {
	requests := make(chan request)
	go func() {
		defer close(requests)
		dec := json.NewDecoder(bufio.NewReader(in))
		for {
			var r request
			if dec.Decode(&r) != nil {
				return
			}
			requests <- r
		}
	}()
	adopt()
	enc := json.NewEncoder(out)
	for r := range requests {
		if r.Run == nil {
			continue // a kill that came after the end
		}
		if err := enc.Encode(runOne(*r.Run, requests)); err != nil {
			return err
		}
	}
	return nil
}

// runOne runs p to its end. A kill request, or the end of requests, kills it.
func runOne(p worker.Process, requests <-chan request) worker.Exit {
	done := make(chan worker.Exit, 1)
	started := make(chan int, 1)
	go func() { done <- runProcess(p, started) }()
	var pid int
	var killed bool
	for {
		select {
		case e := <-done:
			e.Killed = killed
			return e
		case pid = <-started:
			if killed {
				killTree(pid)
			}
		case _, open := <-requests:
			killed = true
			killTree(pid)
			if !open {
				requests = nil
			}
		}
	}
}

// slot is the daemon's end of a slot process.
type slot struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *json.Decoder
	stderr *tail
}

// startSlot starts a slot process from this program's own executable.
func startSlot() (*slot, error) {
	exe, err := selfExecutable()
	if err != nil {
		return nil, fmt.Errorf("start slot: %w", err)
	}
	s := &slot{cmd: exec.Command(exe), stderr: &tail{}}
	s.cmd.Env = []string{slotEnv + "=1"}
	s.cmd.Stderr = s.stderr
	detach(s.cmd)
	s.in, err = s.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start slot: %w", err)
	}
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start slot: %w", err)
	}
	s.out = json.NewDecoder(bufio.NewReader(stdout))
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start slot: %w", err)
	}
	return s, nil
}

// run runs p in the slot. When ctx ends, the program and all it started are
// killed, and the exit says so. An error means that the slot is lost.
func (s *slot) run(ctx context.Context, p worker.Process) (worker.Exit, error) {
	enc := json.NewEncoder(s.in)
	if err := enc.Encode(request{Run: &p}); err != nil {
		return worker.Exit{}, s.lost(err)
	}
	var e worker.Exit
	answered := make(chan error, 1)
	go func() { answered <- s.out.Decode(&e) }()
	select {
	case err := <-answered:
		if err != nil {
			return worker.Exit{}, s.lost(err)
		}
		return e, nil
	case <-ctx.Done():
	}
	if err := enc.Encode(request{Kill: true}); err != nil {
		_ = s.cmd.Process.Kill()
	}
	if err := <-answered; err != nil {
		return worker.Exit{}, s.lost(err)
	}
	return e, nil
}

func (s *slot) lost(err error) error {
	return fmt.Errorf("slot process ended: %w %s", err, s.stderr.String())
}

// close ends the slot process and whatever runs in it.
func (s *slot) close() error {
	err := s.in.Close()
	if werr := s.cmd.Wait(); werr != nil {
		var exit *exec.ExitError
		if !errors.As(werr, &exit) {
			err = errors.Join(err, werr)
		}
	}
	return err
}

// tail keeps the last KiB of what is written to it.
type tail struct {
	mu sync.Mutex
	b  []byte
}

// Write implements io.Writer; it never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - 1024; over > 0 {
		t.b = append(t.b[:0], t.b[over:]...)
	}
	return len(p), nil
}

// String returns what is kept.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
