package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// Options configures a [Worker].
type Options struct {
	Dir  string   // private folder of this worker; made if absent, its contents are lost
	Exec Executor //
	// Turn waits for the right to run a program, which ends when done is called;
	// nil: programs run at once. Inputs are laid out before, outputs are stored
	// after it.
	Turn func(ctx context.Context) (done func(), err error)
	Path string // PATH that programs get
	// Memory is another private folder, made if absent, on a file system in
	// memory: datums that prove to be small run there. Empty: none do.
	Memory string
	Now    func() time.Time //
}

// Worker runs tasks one after the other in its folder.
type Worker struct {
	opts    Options
	writer  *chunk.Writer
	store   chunk.Store
	params  chunk.Params
	in      inputFolder // on the disk
	tmp     stillness   // of the empty folder tmp
	log     logFile
	disk    place                  // the task's folder
	memory  place                  // the same in memory
	at      *place                 // where the task has its inputs and outputs
	small   *smallInputs           // of a task in memory
	room    func(dir string) int64 // bytes that are free there
	roomMin int64                  // at which a task in memory is ended
	doubted bool                   // it failed, and its room was used up
	habits  habits                 // what is known of the pipelines
	outs    int                    // output folders that were made for programs that take many datums
	shown   shown                  // whose log can be read while it is written
	batch   *batch                 // the program that waits for more datums, or has one; nil: none runs
}

// New makes a worker that cuts outputs by params.
func New(params chunk.Params, o Options) (*Worker, error) {
	if o.Exec == nil || o.Now == nil {
		return nil, fmt.Errorf("worker needs an executor and a clock: %w", fs.ErrInvalid)
	}
	if err := params.Validate(); err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("worker folder: %w", err)
	}
	// Links are compared as text, so the folder's own name must be without any.
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("worker folder: %w", err)
	}
	if o.Dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, fmt.Errorf("worker folder: %w", err)
	}
	w := &Worker{opts: o, params: params, habits: habits{}, room: room}
	w.disk = placeIn(o.Dir)
	w.at = &w.disk
	w.in = inputFolder{dir: w.path("in")}
	w.log.name = w.file("log")
	if w.openMemory() != nil {
		w.memory = place{} // all runs on the disk
	}
	return w, clear(w.disk.dir)
}

// openMemory makes the task's folder in memory.
func (w *Worker) openMemory() error {
	if w.opts.Memory == "" {
		return nil
	}
	dir, err := filepath.Abs(w.opts.Memory)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		dir, err = filepath.EvalSymlinks(dir)
	}
	if err != nil {
		return fmt.Errorf("worker folder in memory: %w", err)
	}
	w.memory = placeIn(dir)
	return clear(w.memory.dir)
}

// path names a file or folder of the task.
func (w *Worker) path(elem ...string) string {
	return filepath.Join(append([]string{w.at.dir}, elem...)...)
}

// Run runs t and puts what it wrote into s; the caller flushes s before it
// relies on the result. An error is the infrastructure's.
func (w *Worker) Run(ctx context.Context, t task.Task, s chunk.Store) (task.Result, error) {
	if w.store != s {
		writer, err := chunk.NewWriter(s, w.params)
		if err != nil {
			return task.Result{}, err
		}
		w.store, w.writer = s, writer
	}
	started := w.opts.Now().UTC()
	w.choose(ctx, t)
	res, err := w.attempt(ctx, t)
	if w.at == &w.memory {
		w.leaveMemory()
		if ctx.Err() == nil && w.doubted {
			w.at = &w.disk
			res, err = w.attempt(ctx, t)
			delete(w.habits, t.Pipeline)
		}
	}
	w.habits.note(t, res)
	res.Started, res.Ended = started, w.opts.Now().UTC()
	return res, err
}

// attempt runs t where it was decided that it runs.
func (w *Worker) attempt(ctx context.Context, t task.Task) (res task.Result, err error) {
	err = w.run(ctx, t, &res)
	var r refused
	if errors.As(err, &r) {
		res.Outcome, res.Failure, res.Reason = task.Failed, task.FailedOutput, r.Error()
		if errors.Is(err, errTooMuch) {
			res.Failure = task.FailedLimit
		}
		err = nil
	}
	return res, err
}

// run fills res; a refused error is the author's to mend.
func (w *Worker) run(ctx context.Context, t task.Task, res *task.Result) error {
	at := w.opts.Now()
	defer func() { _, _ = w.in.lazy.close() }() // closed below unless the program was not run
	in, err := w.prepare(ctx, t, at)
	res.Stats.Fetch, res.Stats.BytesIn = w.opts.Now().Sub(at), in
	if err != nil {
		w.doubted = w.at == &w.memory
		return err
	}
	w.shown.show(t)
	defer w.shown.hide()
	exit, timedOut, err := w.takeTurn(ctx, t, &res.Stats)
	fetched, lazyErr := w.in.lazy.close()
	res.Stats.BytesIn += fetched
	if err = errors.Join(err, lazyErr); err != nil {
		return err
	}
	at = w.opts.Now()
	defer func() { res.Stats.Store = w.opts.Now().Sub(at) }()
	last, err := w.storeLog(ctx, res)
	if err != nil {
		return err
	}
	res.Exit = exit.Code
	res.Outcome, res.Failure, res.Reason = judge(t, exit, timedOut, last)
	if w.doubted = w.cramped(exit, timedOut); w.doubted {
		return nil // it is run again
	}
	if res.Outcome != task.Succeeded {
		return w.recover(ctx, t, res)
	}
	res.Output, res.Stats.BytesOut, w.at.bare, err = collect(ctx, w.home(t).dir, w.at.dir, w.at.out, t, w.store, w.writer)
	if err != nil {
		res.Outcome = task.Crashed
	}
	return err
}

// prepare lays out everything that the program finds, and returns the bytes of
// its inputs.
func (w *Worker) prepare(ctx context.Context, t task.Task, now time.Time) (int64, error) {
	if !w.Serves(t) {
		w.Rest()
		if err := w.prepareProgram(ctx, t, now); err != nil {
			return 0, err
		}
	}
	if t.Batch {
		if err := errors.Join(w.disk.drop(), w.freshOut()); err != nil {
			return 0, fmt.Errorf("prepare task: %w", err)
		}
	}
	w.at.bare, w.home(t).bare = false, false
	if err := w.log.begin(); err != nil {
		return 0, fmt.Errorf("prepare task: %w", err)
	}
	if w.at == &w.disk {
		return w.in.lay(ctx, t.Inputs, w.store, now)
	}
	if t.Batch {
		if err := w.in.refer(filepath.Join(w.at.dir, "in")); err != nil {
			return 0, fmt.Errorf("prepare task: %w", err)
		}
	}
	return w.small.bytes, w.small.lay(ctx, w.at.dir)
}

// prepareProgram lays out what a new process of the program finds besides
// inputs.
func (w *Worker) prepareProgram(ctx context.Context, t task.Task, now time.Time) error {
	home := w.home(t)
	if err := home.sweep(home == &w.disk); err != nil {
		return err
	}
	if err := home.clearOut(); err != nil {
		return err
	}
	if t.Batch { // some of its datums will be in memory
		if err := w.memory.clearOut(); err != nil {
			return err
		}
	}
	if home == &w.memory { // TMPDIR is on the disk, but a folder tmp is there as everywhere
		if err := os.Mkdir(filepath.Join(home.dir, "tmp"), 0o755); err != nil {
			return fmt.Errorf("prepare task: %w", err)
		}
	}
	if tmp := w.tmpFolder(); !w.tmp.holds(tmp) {
		if err := clear(tmp); err != nil {
			return err
		}
		w.tmp.note(tmp, now)
	}
	if err := home.code.prepare(ctx, t.Code, w.store); err != nil {
		return err
	}
	if len(t.Transform.Stdin) > 0 {
		stdin := strings.Join(t.Transform.Stdin, "\n") + "\n"
		if err := os.WriteFile(w.file("stdin"), []byte(stdin), 0o600); err != nil {
			return fmt.Errorf("prepare task: %w", err)
		}
	}
	return nil
}

// home is where a program works: with its inputs and outputs, unless it takes
// many datums.
func (w *Worker) home(t task.Task) *place {
	if t.Batch {
		return &w.disk
	}
	return w.at
}

// tmpFolder names the folder for what programs keep meanwhile.
func (w *Worker) tmpFolder() string { return filepath.Join(w.disk.dir, "tmp") }

// file names a file of the worker, out of the program's working directory.
func (w *Worker) file(name string) string { return filepath.Join(w.opts.Dir, name) }

// recover runs the error command of a task that failed for the last time. It
// finds what the program left; what it prints is added to the log.
func (w *Worker) recover(ctx context.Context, t task.Task, res *task.Result) error {
	if !t.Final(res.Failure) || len(t.Transform.ErrCmd) == 0 {
		return nil
	}
	t.Transform.Cmd, t.Transform.AcceptReturnCode = t.Transform.ErrCmd, nil
	var stats task.Stats
	exit, timedOut, err := w.takeTurn(ctx, t, &stats)
	if err != nil {
		return err
	}
	res.Stats.Queue += stats.Queue
	res.Stats.Run += stats.Run
	res.Stats.CPU += stats.CPU
	last, err := w.storeLog(ctx, res)
	if err != nil {
		return err
	}
	outcome, _, reason := judge(t, exit, timedOut, last)
	if outcome == task.Succeeded {
		res.Outcome = task.Recovered
		return nil
	}
	res.Reason += "; and err_cmd: " + reason
	return nil
}

// takeTurn waits for the right to run the program, and runs it.
func (w *Worker) takeTurn(ctx context.Context, t task.Task, stats *task.Stats) (exit Exit, timedOut bool, err error) {
	at := w.opts.Now()
	if w.opts.Turn != nil {
		done, err := w.opts.Turn(ctx)
		if err != nil {
			return Exit{}, false, err
		}
		defer done()
		began := w.opts.Now()
		stats.Queue, at = began.Sub(at), began
	}
	defer w.log.watch()()
	limited := ctx
	if w.at == &w.memory {
		guarded, stop := w.guard(ctx)
		defer stop()
		limited = guarded
	}
	if t.Batch {
		exit, timedOut, err = w.execBatch(limited, t)
	} else {
		exit, timedOut, err = w.exec(limited, t)
	}
	w.doubted = limited.Err() != nil && ctx.Err() == nil
	stats.Run, stats.CPU, stats.RSSMax = w.opts.Now().Sub(at), exit.CPU, exit.RSSMax
	return exit, timedOut, err
}

// exec runs the program under its time limit.
func (w *Worker) exec(ctx context.Context, t task.Task) (Exit, bool, error) {
	p, err := w.process(t)
	if err != nil {
		return Exit{}, false, err
	}
	limited, cancel := ctx, context.CancelFunc(func() {})
	if t.Timeout > 0 {
		limited, cancel = context.WithTimeout(ctx, t.Timeout)
	}
	defer cancel()
	exit, err := w.opts.Exec.Exec(limited, p)
	if ctx.Err() != nil {
		return exit, false, ctx.Err()
	}
	return exit, limited.Err() != nil && exit.Killed, err
}

// process describes the program's process.
func (w *Worker) process(t task.Task) (Process, error) {
	if len(t.Transform.Cmd) == 0 {
		return Process{}, refusef("the pipeline has no command: %w", fs.ErrInvalid)
	}
	home := w.home(t).dir
	p := Process{Argv: t.Transform.Cmd, Env: w.environ(t), Dir: home, Log: w.log.name}
	if len(t.Transform.Stdin) > 0 {
		p.Stdin = w.file("stdin")
	}
	if dir := t.Transform.WorkingDir; dir != "" {
		if !filepath.IsLocal(filepath.FromSlash(dir)) {
			return Process{}, refusef("working_dir %q leaves the task's folder: %w", dir, fs.ErrInvalid)
		}
		p.Dir = filepath.Join(home, filepath.FromSlash(dir))
		if info, err := os.Stat(p.Dir); err != nil || !info.IsDir() {
			return Process{}, refusef("working_dir %q is no folder of the task: it holds in, out and code: %w", dir, fs.ErrNotExist)
		}
	}
	if clean := path.Clean(t.Transform.Cmd[0]); strings.HasPrefix(clean, "code/") {
		p.Path = filepath.Join(home, filepath.FromSlash(clean))
	}
	return p, nil
}

// judge decides how the program fared.
func judge(t task.Task, e Exit, timedOut bool, lastLine string) (task.Outcome, task.Failure, string) {
	said := ""
	if lastLine != "" {
		said = "; it last said: " + lastLine
	}
	switch {
	case e.Failure != "":
		return task.Failed, task.FailedStart, "could not be started: " + e.Failure
	case e.Answer != "":
		return task.Failed, task.FailedExit, e.Answer
	case timedOut:
		return task.TimedOut, task.FailedTimeout, fmt.Sprintf("killed after its time limit of %v%s", t.Timeout, said)
	case e.Starved:
		limit := ""
		if t.Limits.Memory != "" {
			limit = " of " + t.Limits.Memory
		}
		return task.Failed, task.FailedLimit, "it needed more memory than its limit" + limit + ": raise resource_limits.memory" + said
	case e.Signal != "":
		return task.Failed, task.FailedSignal, fmt.Sprintf("ended by %s%s", e.Signal, said)
	case e.Code == 0 || slices.Contains(t.Transform.AcceptReturnCode, e.Code):
		return task.Succeeded, "", ""
	default:
		return task.Failed, task.FailedExit, fmt.Sprintf("exit status %d%s", e.Code, said)
	}
}
