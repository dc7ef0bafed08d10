package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/lease"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/worker"
)

// BeatEvery is how often an agent says that it lives, and so how soon it hears
// that a lease has ended.
const BeatEvery = 2 * time.Second

// ahead is how many tasks an agent has at once: while one program runs, another
// task is laid out or stored.
const ahead = 2

// Board is where the agent takes its tasks.
type Board interface {
	// Take leases up to n tasks; none if there were none for a while.
	Take(ctx context.Context, n int) ([]lease.Lease, error)
	// Beat says which leases the agent works on, and returns those that have
	// ended and whether it is to leave.
	Beat(ctx context.Context, tokens []uint64) (ended []uint64, leave bool, err error)
	// Report ends a lease.
	Report(ctx context.Context, token uint64, r task.Result, failure string) error
	// Store returns the chunks of a lease.
	Store(token uint64) chunk.Store
}

// Options configures an agent.
type Options struct {
	Board    Board
	Dir      string                           // private folder for tasks; its contents are lost
	Exec     func(dir string) worker.Executor // executes the programs of one worker's folder
	Params   chunk.Params                     // how outputs are cut
	Path     string                           // PATH that programs get
	Patience time.Duration                    // for what runs when ctx ends
	Now      func() time.Time                 //
	Log      *slog.Logger                     //
	// Fatal says of an error that no task can be run any more: the agent ends,
	// and who looks at it from outside knows more of the reason.
	Fatal func(error) bool
}

// agent is one run.
type agent struct {
	o     Options
	turn  chan struct{}   // holds a token while a program runs
	alive context.Context //nolint:containedctx // of one run: it ends when no more is to be taken
	leave context.CancelFunc

	mu   sync.Mutex
	held map[uint64]context.CancelFunc // leases that are worked on
}

// Run works until ctx ends or the board lets the agent go, and returns nil
// then. It fails if the board knows it no more, or does not answer.
func Run(ctx context.Context, o Options) error {
	if o.Board == nil || o.Exec == nil || o.Now == nil || o.Log == nil {
		return fmt.Errorf("agent needs a board, an executor, a clock and a log: %w", fs.ErrInvalid)
	}
	// What runs outlives ctx for a while.
	work, kill := context.WithCancel(context.WithoutCancel(ctx))
	defer kill()
	taking, leave := context.WithCancel(ctx)
	defer leave()
	a := &agent{o: o, turn: make(chan struct{}, 1), alive: taking, leave: leave, held: map[uint64]context.CancelFunc{}}
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(o.Patience, kill) })
	defer stop()
	g, work := errgroup.WithContext(work)
	defer context.AfterFunc(work, leave)() // when one part fails the others take nothing more
	beating, calm := context.WithCancel(work)
	defer calm()
	var benches sync.WaitGroup
	for i := range ahead {
		dir := filepath.Join(o.Dir, strconv.Itoa(i))
		w, err := worker.New(o.Params, worker.Options{Dir: dir, Exec: o.Exec(dir), Turn: a.takeTurn, Path: o.Path, Now: o.Now})
		if err != nil {
			return err
		}
		benches.Add(1)
		g.Go(func() error {
			defer benches.Done()
			return a.bench(work, w)
		})
	}
	g.Go(func() error { return a.beat(beating) })
	g.Go(func() error {
		benches.Wait()
		calm()
		return nil
	})
	return g.Wait()
}

// takeTurn waits for the right to run a program.
func (a *agent) takeTurn(ctx context.Context) (done func(), err error) {
	select {
	case a.turn <- struct{}{}:
		return func() { <-a.turn }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// bench takes one task after the other.
func (a *agent) bench(work context.Context, w *worker.Worker) error {
	for a.alive.Err() == nil && work.Err() == nil {
		leases, err := a.o.Board.Take(a.alive, 1) //nolint:contextcheck // what runs outlives the right to take more
		if a.alive.Err() != nil && len(leases) == 0 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("take a task: %w", err)
		}
		for _, l := range leases {
			if err := a.run(work, w, l); err != nil {
				return err
			}
		}
	}
	return nil
}

// run runs one task to its report. An error ends the agent: it can run nothing
// any more.
func (a *agent) run(work context.Context, w *worker.Worker, l lease.Lease) error {
	ctx, cancel := context.WithCancel(work)
	defer cancel()
	a.hold(l.Token, cancel)
	defer a.drop(l.Token) // it is named in beats until it was reported on
	store := a.o.Board.Store(l.Token)
	r, runErr := w.Run(ctx, l.Task, store)
	if runErr == nil {
		runErr = store.Flush(ctx)
	}
	if !a.holds(l.Token) || errors.Is(runErr, lease.ErrGone) {
		a.o.Log.Info("the lease has ended", "lease", l.Token)
		return nil
	}
	if runErr != nil && a.o.Fatal != nil && a.o.Fatal(runErr) {
		return runErr
	}
	failure := ""
	if runErr != nil {
		failure = runErr.Error()
	}
	err := a.o.Board.Report(context.WithoutCancel(ctx), l.Token, r, failure)
	switch {
	case errors.Is(err, lease.ErrGone):
		a.o.Log.Info("the lease has ended", "lease", l.Token)
	case err != nil:
		return fmt.Errorf("report on lease %d: %w", l.Token, err)
	}
	return nil
}

// beat says that the agent lives, until ctx ends.
func (a *agent) beat(ctx context.Context) error {
	tick := time.NewTicker(BeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		ended, leave, err := a.o.Board.Beat(ctx, a.tokens())
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return fmt.Errorf("say that the worker lives: %w", err)
		}
		for _, token := range ended {
			a.end(token)
		}
		if leave {
			a.leave()
		}
	}
}

func (a *agent) hold(token uint64, cancel context.CancelFunc) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.held[token] = cancel
}

func (a *agent) holds(token uint64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held[token] != nil
}

func (a *agent) drop(token uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.held, token)
}

func (a *agent) tokens() []uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	tokens := make([]uint64, 0, len(a.held))
	for t := range a.held {
		tokens = append(tokens, t)
	}
	return tokens
}

// end stops what runs for a lease.
func (a *agent) end(token uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if cancel, ok := a.held[token]; ok {
		delete(a.held, token)
		cancel()
	}
}
