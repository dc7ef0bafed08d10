package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
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

	// InMemory has datums that prove to be small run on the machine's file system
	// in memory (/dev/shm), where there is one: they cost half there.
	InMemory bool
}

// Runner runs tasks as child processes, at most Options.Slots at once; besides,
// it lays out the inputs of as many others, and stores their outputs. It
// implements [task.Runner].
type Runner struct {
	opts    Options
	digests digests
	host    string
	idle    chan struct{} // a token for each bench that is not at work
	turns   chan struct{} // a token for each program that may run
	closing chan struct{} // closed by Close
	close   func() error
	memory  *memoryFolder // nil: all run on the disk

	all     []*bench
	mu      sync.Mutex
	benches []*bench // not at work, the one that came last at the end
}

// aheadPerSlot is how many tasks share the right to run one program at a time:
// while one runs, the other is laid out or stored.
const aheadPerSlot = 2

// bench is one slot process with its worker.
type bench struct {
	worker *worker.Worker
	exec   *executor
	rest   *time.Timer // ends a program that waits for datums in vain; nil: there is none
}

var (
	_ task.Runner = (*Runner)(nil)
	_ task.Teller = (*Runner)(nil)
)

// New makes a runner. The program must call [MaybeSlot] first of all, because
// slots are started from its executable.
func New(o Options) (*Runner, error) {
	if o.Now == nil {
		return nil, fmt.Errorf("runner needs a clock: %w", fs.ErrInvalid)
	}
	o.Slots = max(o.Slots, 1)
	r := &Runner{opts: o, host: hostFingerprint(), turns: make(chan struct{}, o.Slots), closing: make(chan struct{})}
	r.idle = make(chan struct{}, r.Slots())
	r.digests.now = o.Now
	r.close = sync.OnceValue(r.end)
	if o.InMemory {
		r.memory = openMemory(memoryRoot)
	}
	for i := range r.Slots() {
		x, name := &executor{}, "slot-"+strconv.Itoa(i)
		w, err := worker.New(o.Params, worker.Options{
			Dir: filepath.Join(o.Dir, name), Memory: r.memory.slot(name), Exec: x, Turn: r.turn, Path: Path, Now: o.Now,
		})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("make slot %d: %w", i, err), r.memory.remove())
		}
		r.all = append(r.all, &bench{worker: w, exec: x})
		r.put(r.all[i])
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
	if t.Image != "" {
		return memo.Runtime{}, fmt.Errorf("the pipeline runs in the image %s, and this daemon runs programs of its own host only; start dvxd with --kube, or leave image out: %w", t.Image, fs.ErrInvalid)
	}
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
	case <-r.idle:
		b := r.take(t)
		defer r.put(b)
		return b.worker.Run(ctx, t, s)
	}
}

// Printed implements [task.Teller].
func (r *Runner) Printed(key memo.Key, attempt int, from int64, b []byte) (int, error) {
	for _, at := range r.all {
		if n, err := at.worker.Printed(key, attempt, from, b); !errors.Is(err, fs.ErrNotExist) {
			return n, err
		}
	}
	return 0, fmt.Errorf("attempt %d at datum %s does not run on this machine: %w", attempt, key.Short(), fs.ErrNotExist)
}

// take takes a bench for a task, for which the caller has a token: one with a
// process of the task's program that waits for datums, else one without any,
// else the one that was left alone longest.
func (r *Runner) take(t task.Task) *bench {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := slices.IndexFunc(r.benches, func(b *bench) bool { return b.worker.Serves(t) })
	if i < 0 {
		i = max(0, slices.IndexFunc(r.benches, func(b *bench) bool { return !b.worker.Idles() }))
	}
	b := r.benches[i]
	r.benches = slices.Delete(r.benches, i, i+1)
	if b.rest != nil {
		b.rest.Stop()
		b.rest = nil
	}
	return b
}

// restAfter is how long a program that takes many datums waits for one before
// it is ended.
const restAfter = 30 * time.Second

// put puts a bench back.
func (r *Runner) put(b *bench) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b.worker.Idles() {
		b.rest = time.AfterFunc(restAfter, func() { r.retire(b) })
	}
	r.benches = append(r.benches, b)
	r.idle <- struct{}{} // there is room for a token of each bench
}

// retire ends the program of a bench, unless it is at work.
func (r *Runner) retire(b *bench) {
	select {
	case <-r.idle:
	default:
		return // all are at work
	}
	r.mu.Lock()
	i := slices.Index(r.benches, b)
	if i < 0 || b.rest == nil {
		r.mu.Unlock()
		r.idle <- struct{}{}
		return
	}
	r.benches = slices.Delete(r.benches, i, i+1)
	b.rest = nil
	r.mu.Unlock()
	b.worker.Rest()
	r.put(b)
}

// Close waits for the running tasks (end their contexts first) and ends the
// slot processes. The runner can't be used afterwards.
func (r *Runner) Close() error { return r.close() }

func (r *Runner) end() error {
	close(r.closing)
	var errs []error
	for range r.Slots() {
		<-r.idle
		b := r.take(task.Task{})
		b.worker.Rest()
		errs = append(errs, b.exec.close())
	}
	errs = append(errs, r.memory.remove())
	return errors.Join(errs...)
}
