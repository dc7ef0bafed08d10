package agent

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/lease"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
	"github.com/dvx-io/dvx/pkg/worker"
)

// near is a board in this process, as one worker sees it.
type near struct {
	*lease.Board
	key lease.Key
}

func (n near) Take(ctx context.Context, max int) ([]lease.Lease, error) {
	return n.Board.Take(ctx, n.key, max)
}

func (n near) Beat(_ context.Context, tokens []uint64) ([]uint64, bool, error) {
	return n.Board.Beat(n.key, tokens)
}

func (n near) Report(ctx context.Context, token uint64, r task.Result, failure string) error {
	return n.Board.Report(ctx, n.key, token, r, failure)
}

func (n near) Store(token uint64) chunk.Store { return nearStore{n, token} }

type nearStore struct {
	n     near
	token uint64
}

func (s nearStore) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	return s.n.Read(ctx, s.n.key, s.token, kind, id)
}

func (s nearStore) Put(ctx context.Context, kind chunk.Kind, data []byte) (chunk.ID, error) {
	return s.n.Write(ctx, s.n.key, s.token, kind, data)
}

func (nearStore) Flush(context.Context) error { return nil }

// programs is an executor whose programs are the test's.
type programs func(ctx context.Context, p worker.Process) (worker.Exit, error)

func (f programs) Exec(ctx context.Context, p worker.Process) (worker.Exit, error) { return f(ctx, p) }

// params cut outputs.
var params = chunk.DefaultParams()

// begin runs an agent on a new board; the returned function ends it.
func begin(t *testing.T, x programs) (*lease.Board, context.CancelFunc, <-chan error) {
	t.Helper()
	b, err := lease.New(lease.Options{Now: time.Now, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	key, err := b.Admit(lease.Worker{ID: "w", Pool: "p"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	dir := t.TempDir()
	go func() {
		ended <- Run(ctx, Options{
			Board: near{b, key}, Dir: dir, Params: params, Now: time.Now, Log: slog.New(slog.DiscardHandler), Patience: time.Minute,
			Exec:  func(string) worker.Executor { return x },
			Fatal: func(err error) bool { return errors.Is(err, errLost) },
		})
	}()
	return b, stop, ended
}

var errLost = errors.New("the stub is gone")

var transform = spec.Transform{Cmd: []string{"program"}}

// write is a program that writes one file.
func write(_ context.Context, p worker.Process) (worker.Exit, error) {
	return worker.Exit{}, os.WriteFile(filepath.Join(p.Dir, "out", "f"), []byte("hello"), 0o644)
}

func TestAgentRunsTasks(t *testing.T) {
	b, stop, ended := begin(t, write)
	s := &chunk.Mem{}
	for range 5 {
		r, err := b.Run(t.Context(), "p", task.Task{Transform: transform}, s)
		if err != nil || r.Outcome != task.Succeeded {
			t.Fatalf("%+v, %v", r, err)
		}
		e, err := tree.Open(s, r.Output).Lookup(t.Context(), "f")
		if err != nil || e.Content.Size != 5 {
			t.Fatalf("%+v, %v", e, err)
		}
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// What runs when the agent is to end is finished and reported.
func TestAgentDrains(t *testing.T) {
	for _, how := range []string{"its context ends", "the board lets it go"} {
		t.Run(how, func(t *testing.T) {
			running, finish := make(chan struct{}), make(chan struct{})
			b, stop, ended := begin(t, func(ctx context.Context, p worker.Process) (worker.Exit, error) {
				close(running)
				select {
				case <-finish:
				case <-ctx.Done():
					return worker.Exit{}, ctx.Err()
				}
				return write(ctx, p)
			})
			defer stop()
			done := make(chan error, 1)
			go func() {
				r, err := b.Run(t.Context(), "p", task.Task{Transform: transform}, &chunk.Mem{})
				if err == nil && r.Outcome != task.Succeeded {
					err = errors.New(r.Reason)
				}
				done <- err
			}()
			<-running
			if how == "its context ends" {
				stop()
			} else {
				b.Leave("w")
			}
			close(finish)
			if err := <-done; err != nil {
				t.Error(err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// A lease that has ended stops what runs for it, and the agent goes on.
func TestAgentHearsOfCancel(t *testing.T) {
	running := make(chan struct{})
	first := true
	b, stop, ended := begin(t, func(ctx context.Context, p worker.Process) (worker.Exit, error) {
		if !first {
			return write(ctx, p)
		}
		first = false
		close(running)
		<-ctx.Done()
		return worker.Exit{Killed: true}, nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := b.Run(ctx, "p", task.Task{Transform: transform}, &chunk.Mem{})
		done <- err
	}()
	<-running
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if r, err := b.Run(t.Context(), "p", task.Task{Transform: transform}, &chunk.Mem{}); err != nil || r.Outcome != task.Succeeded {
		t.Errorf("%+v, %v", r, err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// An agent whose stub is gone ends without a report: those who look at its Pod
// know why.
func TestAgentEndsWithItsStub(t *testing.T) {
	b, stop, ended := begin(t, func(context.Context, worker.Process) (worker.Exit, error) { return worker.Exit{}, errLost })
	defer stop()
	done := make(chan error, 1)
	go func() {
		_, err := b.Run(t.Context(), "p", task.Task{Transform: transform}, &chunk.Mem{})
		done <- err
	}()
	if err := <-ended; !errors.Is(err, errLost) {
		t.Errorf("%v, want errLost", err)
	}
	b.Lost("w", "out of memory")
	if err := <-done; err == nil || err.Error() != "out of memory" {
		t.Error(err)
	}
}
