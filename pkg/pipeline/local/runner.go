package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
	"github.com/dvx-io/dvx/pkg/worker"
)

// Options configures a [Runner].
type Options struct {
	Dir    string           // private folder for the slots; its contents are lost
	Slots  int              // programs at once, at least 1
	Params chunk.Params     // how outputs are cut
	Now    func() time.Time //
}

// Runner runs tasks as child processes, at most Options.Slots at once; besides,
// it lays out the inputs of as many others, and stores their outputs. It
// implements [task.Runner].
type Runner struct {
	opts    Options
	digests digests
	host    string
	idle    chan *bench
	turns   chan struct{} // a token for each program that may run
	closing chan struct{} // closed by Close
	close   func() error
}

// aheadPerSlot is how many tasks share the right to run one program at a time:
// while one runs, the other is laid out or stored.
const aheadPerSlot = 2

// bench is one slot process with its worker.
type bench struct {
	worker *worker.Worker
	exec   *executor
}

var _ task.Runner = (*Runner)(nil)

// New makes a runner. The program must call [MaybeSlot] first of all, because
// slots are started from its executable.
func New(o Options) (*Runner, error) {
	if o.Now == nil {
		return nil, fmt.Errorf("runner needs a clock: %w", fs.ErrInvalid)
	}
	o.Slots = max(o.Slots, 1)
	r := &Runner{opts: o, host: hostFingerprint(), turns: make(chan struct{}, o.Slots), closing: make(chan struct{})}
	r.idle = make(chan *bench, r.Slots())
	r.digests.now = o.Now
	r.close = sync.OnceValue(r.end)
	for i := range r.Slots() {
		x := &executor{}
		w, err := worker.New(o.Params, worker.Options{
			Dir: filepath.Join(o.Dir, "slot-"+strconv.Itoa(i)), Exec: x, Turn: r.turn, Path: Path, Now: o.Now,
		})
		if err != nil {
			return nil, fmt.Errorf("make slot %d: %w", i, err)
		}
		r.idle <- &bench{worker: w, exec: x}
	}
	return r, nil
}

// Slots implements [task.Runner].
func (r *Runner) Slots() int { return aheadPerSlot * r.opts.Slots }

// turn waits for the right to run a program, until done is called.
func (r *Runner) turn(ctx context.Context) (done func(), err error) {
	select {
	case r.turns <- struct{}{}:
		return func() { <-r.turns }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Runtime implements [task.Runner].
func (r *Runner) Runtime(ctx context.Context, t spec.Transform, code tree.Root, chunks chunk.Reader) (memo.Runtime, error) {
	if len(t.Cmd) == 0 {
		return memo.Runtime{}, fmt.Errorf("the pipeline has no command: %w", fs.ErrInvalid)
	}
	path, ok := t.Env["PATH"]
	if !ok {
		path = Path
	}
	execs, err := (&resolver{search: search{path: path}, digests: &r.digests, head: func(path string) ([]byte, error) {
		return head(ctx, code, path, chunks)
	}}).resolve(t.Cmd[0])
	if err != nil {
		return memo.Runtime{}, err
	}
	return memo.Runtime{Host: r.host, Execs: execs}, nil
}

// head returns the first bytes of a file of the code tree.
func head(ctx context.Context, code tree.Root, path string, r chunk.Reader) ([]byte, error) {
	if code.ID.IsZero() {
		return nil, fmt.Errorf("the pipeline has no code folder: %w", fs.ErrNotExist)
	}
	e, err := tree.Open(r, code).Lookup(ctx, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the code folder has no %s: %w", path, fs.ErrNotExist)
	}
	if err != nil {
		return nil, err
	}
	if e.Kind != tree.File || !e.Exec {
		return nil, fmt.Errorf("code/%s is not an executable file; name its interpreter in cmd, or make it executable (chmod +x): %w", path, fs.ErrInvalid)
	}
	if e.Content.Size == 0 {
		return nil, nil
	}
	f, err := chunk.OpenContent(ctx, r, e.Content)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	b := make([]byte, min(e.Content.Size, shebangMax))
	if _, err := f.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b, nil
}

// Run implements [task.Runner]. It waits for a free slot; after Close it
// fails with fs.ErrClosed.
func (r *Runner) Run(ctx context.Context, t task.Task, s chunk.Store) (task.Result, error) {
	select {
	case <-ctx.Done():
		return task.Result{}, ctx.Err()
	case <-r.closing:
		return task.Result{}, fmt.Errorf("run task: runner: %w", fs.ErrClosed)
	case b := <-r.idle:
		defer func() { r.idle <- b }()
		return b.worker.Run(ctx, t, s)
	}
}

// Close waits for the running tasks (end their contexts first) and ends the
// slot processes. The runner can't be used afterwards.
func (r *Runner) Close() error { return r.close() }

func (r *Runner) end() error {
	close(r.closing)
	var errs []error
	for range r.Slots() {
		b := <-r.idle
		errs = append(errs, b.exec.close())
	}
	return errors.Join(errs...)
}
