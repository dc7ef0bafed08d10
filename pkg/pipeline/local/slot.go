package local

import (
	"bufio"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"

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
// Requests and replies are gob values on its standard input and output: the
// daemon and its slots are one executable, so the format needs no version, and
// unlike JSON it carries arguments that are not UTF-8.

// request asks a slot to run a process, or to end the running one.
type request struct {
	Run  *worker.Process
	Kill bool
}

// reply says how a process ended.
type reply struct {
	Exit   worker.Exit
	Broken string // why the slot could not run it, the infrastructure's fault
}

// MaybeSlot turns the process into a slot if it was started as one, and does
// not return then. Every program that embeds a [Runner] calls it first of all.
func MaybeSlot() {
	if os.Getenv(slotEnv) == "" {
		return
	}
	settle()
	if err := serveSlot(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "dvx slot:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// slot is the daemon's end of a slot process.
type slot struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	enc    *gob.Encoder
	dec    *gob.Decoder
	stderr *tail
}

// closePatience is how long a slot may take to kill what runs and exit.
const closePatience = 10 * time.Second

// startSlot starts a slot process from this program's own executable.
func startSlot() (*slot, error) {
	exe, err := selfExecutable()
	if err != nil {
		return nil, fmt.Errorf("start slot: %w", err)
	}
	s := &slot{stderr: &tail{}, cmd: &exec.Cmd{Path: exe, Args: []string{"dvx-slot"}, Env: slotEnviron()}}
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
	s.enc, s.dec = gob.NewEncoder(s.in), gob.NewDecoder(bufio.NewReader(stdout))
	if err := s.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start slot: %w", err)
	}
	return s, nil
}

// run runs p in the slot. When ctx ends, the program and all it started are
// killed, and the exit says so. With an error that is an errLost the slot is of
// no use any more.
func (s *slot) run(ctx context.Context, p worker.Process) (worker.Exit, error) {
	if err := ctx.Err(); err != nil {
		return worker.Exit{Killed: true}, err
	}
	if err := s.enc.Encode(request{Run: &p}); err != nil {
		return worker.Exit{}, errLost{err}
	}
	killed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(killed)
		if s.enc.Encode(request{Kill: true}) != nil {
			_ = s.cmd.Process.Kill() // it closed its input: it is ending, or mad
		}
	})
	var r reply
	err := s.dec.Decode(&r)
	if !stop() {
		<-killed // or the kill could come after the next program's start
	}
	if err != nil {
		return worker.Exit{}, errLost{err}
	}
	if r.Broken != "" {
		return r.Exit, errors.New(r.Broken)
	}
	return r.Exit, nil
}

// errLost reports that a slot process is gone.
type errLost struct{ error }

func (e errLost) Unwrap() error { return e.error }

// close ends the slot process and whatever runs in it, and returns what the
// process last said.
func (s *slot) close() (string, error) {
	err := s.in.Close()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	mad := time.AfterFunc(closePatience, func() { _ = s.cmd.Process.Kill() })
	defer mad.Stop()
	werr := s.cmd.Wait()
	var exit *exec.ExitError
	if errors.As(werr, &exit) {
		werr = nil
	}
	return s.stderr.String(), errors.Join(err, werr)
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
