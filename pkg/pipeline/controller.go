package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/repo"
)

// ControllerOptions say how a Controller works. Store, Runner, Now, Platform
// and Scope are required.
type ControllerOptions struct {
	Store    *repo.Direct
	Runner   task.Runner
	Journal  Journal // a MemoryJournal by default
	Now      func() time.Time
	Platform string // as in "linux/amd64": part of every memo key
	Scope    string // the trust scope of results: which host and user the runner's processes are of
	By       string // the principal as whom they run; the owner by default

	// Rights are asked whether a pipeline's owner may read its inputs; nil: he may.
	Rights auth.Authorizer

	// Fetch gets the files of inputs that come from elsewhere; nil: they stay
	// without any.
	Fetch Fetcher

	// Engine holds the figures of Step. Slots are the runner's if not set.
	Engine engine.Options

	// FlushEvery is the least time between two flushes of results, but for the
	// first few after a rest: results that come in between share one, so that
	// trivial datums do not cost a flush each. 100 ms by default: what a crash
	// makes run again at most.
	FlushEvery time.Duration

	// Term is that of the daemon that leads the store, whose engine this is: once
	// another leads, it publishes nothing of jobs any more, and Run fails with
	// repo.ErrDeposed. What both would fill an input with is committed once. 0:
	// there is one daemon.
	Term uint64

	// Again: evaluations that failed before the start are tried again.
	Again bool

	// Hook runs the hooks of specs; nil: they are not allowed.
	Hook RunHook

	// Report is told what went wrong and is being tried again, if set.
	Report func(error)
}

func (o *ControllerOptions) applyDefaults() error {
	if o.Store == nil || o.Runner == nil || o.Now == nil || o.Platform == "" || o.Scope == "" {
		return fmt.Errorf("controller without a store, runner, clock, platform or scope: %w", fs.ErrInvalid)
	}
	if o.Journal == nil {
		o.Journal = &MemoryJournal{}
	}
	o.By = cmp.Or(o.By, auth.Owner.Name)
	if o.Engine.Slots <= 0 {
		o.Engine.Slots = o.Runner.Slots()
	}
	o.Engine = o.Engine.Defaulted()
	if o.FlushEvery <= 0 {
		o.FlushEvery = 100 * time.Millisecond
	}
	if o.Report == nil {
		o.Report = func(error) {}
	}
	return nil
}

// Controller is the shell around [engine.Step]: it observes the store, feeds events,
// and carries out effects. One goroutine owns the state; effects run beside
// it. Its methods may be used concurrently.
type Controller struct {
	o        ControllerOptions
	observer *Observer
	memo     *memo.Cache
	log      *history.Log

	mu    sync.Mutex    // held by the loop during a step, and by who looks
	state *engine.State // nil while it does not run

	events   chan delivery
	over     chan struct{}         // closed when the loop has ended; under mu
	replayed map[engine.JobID]bool // jobs of which the journal had attempts: the store need not know them yet
	replays  bool                  // the journal is being read: what it has is not to be dropped
	session  repo.Session
	fail     context.CancelCauseFunc // ends the engine's life: what it relies on is broken
	swapping sync.Mutex              // held during a swap
	keeping  sync.Mutex              // held while results become part of journal, memo and log: a swap takes them from all three or none
	persists queue
	named    map[string]bool               // index segments that the journal names; of who persists
	tasks    map[memo.Key]*assignment      // of the loop
	partials map[engine.JobID]*provisional // of the loop: jobs of which something is shown
	running  map[int]context.CancelFunc    // of the loop: attempts by serial
	latest   engine.Snapshot               // of the loop: the newest that it was shown
	effects  sync.WaitGroup
	steps    bell          // rings after each
	hooking  chan struct{} // holds a token for each job whose hooks run
	segments segmentSet    // of the history, that need not be read
	observed chan struct{} // holds a token if the root has moved since sources were looked at
	sources  *Sources      // of who fills inputs
}

// delivery is an event on its way to the loop, with what belongs to it.
type delivery struct {
	of    engine.Happening
	tasks map[memo.Key]*assignment // of an Enumerated
}

// NewController returns a controller that is not running.
func NewController(o ControllerOptions) (*Controller, error) {
	if err := o.applyDefaults(); err != nil {
		return nil, err
	}
	observer := NewObserver(o.Store)
	observer.Judge(o.Rights)
	return &Controller{
		o: o, observer: observer, memo: OpenMemo(o.Store), log: OpenHistory(o.Store), events: make(chan delivery),
		observed: make(chan struct{}, 1), hooking: make(chan struct{}, hooksAtOnce), sources: newSources(o, observer),
	}, nil
}

// Run works until ctx ends, which is a graceful stop: attempts are killed,
// nothing is half visible, and what was accepted is published. It returns nil
// then. Any other end is an error; the caller may call Run again, and must end
// the process first if the journal failed. It must not be called twice at a
// time.
func (c *Controller) Run(ctx context.Context) error {
	ctx = auth.With(ctx, auth.Principal{Name: c.o.By})
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := c.start(work); err != nil {
		return fmt.Errorf("start the engine: %w", err)
	}
	c.fail = cancel
	c.background(func() { c.watch(work) })
	c.background(func() { c.persistAll(work) })
	c.background(func() { c.fillInputs(work) })
	c.loop(work)
	close(c.over)
	cancel(nil)
	c.effects.Wait()
	err := context.Cause(work)
	if ctx.Err() != nil {
		err = c.leave(context.WithoutCancel(ctx))
	}
	c.mu.Lock()
	c.state = nil
	c.mu.Unlock()
	return errors.Join(err, c.session.Close())
}

// start makes the state of the engine from what is durable.
func (c *Controller) start(ctx context.Context) error {
	// What waits since an earlier life is in the journal too, or not durable.
	c.memo.DropPending()
	c.log.Published(len(c.log.Pending()))
	root, err := c.o.Store.Root(ctx)
	if err != nil {
		return err
	}
	if err := c.memo.Sync(ctx, root.Memo); err != nil {
		return err
	}
	// The session outlives ctx: what is accepted is published after it ended.
	c.session, err = c.o.Store.Session(context.WithoutCancel(ctx), repo.Scope{Repo: sessionRepo})
	if err != nil {
		return err
	}
	if err := c.replay(ctx, root); err != nil {
		return errors.Join(err, c.session.Close())
	}
	jobs, err := c.log.Jobs(ctx)
	if err != nil {
		return errors.Join(err, c.session.Close())
	}
	slices.Reverse(jobs) // oldest first
	open := slices.DeleteFunc(slices.Clone(jobs), func(j history.Job) bool { return j.State.Final() })
	ledger := engine.NewLedger(jobs)
	if c.o.Again {
		ledger.Again(jobs)
	}
	if err := c.sweepPartials(ctx); err != nil {
		return errors.Join(err, c.session.Close())
	}
	c.partials = map[engine.JobID]*provisional{}
	c.tasks, c.running = map[memo.Key]*assignment{}, map[int]context.CancelFunc{}
	c.persists.clear()
	c.named = nil
	c.segments = segmentSet{}
	c.mu.Lock()
	c.state, c.over = engine.NewState(c.o.Engine, ledger, open), make(chan struct{})
	c.mu.Unlock()
	return nil
}

// sessionRepo is the repo in whose name the engine opens its session, which
// serves all pipelines.
const sessionRepo = "pipelines"

// background runs an effect beside the loop.
func (c *Controller) background(do func()) {
	c.effects.Add(1)
	go func() {
		defer c.effects.Done()
		do()
	}()
}

// loop owns the state.
func (c *Controller) loop(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	c.step(ctx, timer, delivery{of: engine.Tick{}})
	for {
		d := delivery{of: engine.Tick{}}
		select {
		case <-ctx.Done():
		case d = <-c.events:
		case <-timer.C:
		}
		if ctx.Err() != nil { // what came with the end is not to start anything
			return
		}
		c.step(ctx, timer, d)
	}
}

func (c *Controller) step(ctx context.Context, timer *time.Timer, d delivery) {
	for key, a := range d.tasks {
		c.tasks[key] = a
	}
	switch of := d.of.(type) {
	case engine.Finished:
		delete(c.running, of.Serial)
	case engine.Observed:
		if of.Snapshot.Gen >= c.latest.Gen {
			c.latest = of.Snapshot
		}
		select {
		case c.observed <- struct{}{}:
		default:
		}
	}
	c.mu.Lock()
	effects := engine.Step(c.state, engine.Event{At: c.o.Now(), Of: d.of})
	for key := range d.tasks { // an answer that came too late is not taken
		if !c.state.Wants(key) {
			delete(c.tasks, key)
		}
	}
	c.mu.Unlock()
	for _, e := range effects {
		c.carryOut(ctx, timer, e)
	}
	c.steps.ring()
}

// carryOut starts an effect. What takes time runs in the background and
// delivers its answer.
func (c *Controller) carryOut(ctx context.Context, timer *time.Timer, e engine.Effect) {
	switch e := e.(type) {
	case engine.Look:
		c.background(func() {
			if _, err := c.look(ctx); err != nil && ctx.Err() == nil {
				c.o.Report(err) // watch looks again
			}
		})
	case engine.Enumerate:
		c.background(func() { c.deliver(ctx, c.enumerate(ctx, e)) })
	case engine.Start:
		c.launch(ctx, e)
	case engine.Kill:
		if stop := c.running[e.Serial]; stop != nil {
			stop()
		}
	case engine.Foresee:
		snap := c.latest
		c.background(func() { c.deliver(ctx, c.foresee(ctx, e, snap)) })
	case engine.Grow:
		c.background(func() { c.deliver(ctx, c.grow(ctx, e)) })
	case engine.Persist:
		c.persists.push(persist{effect: e, by: c.tasks[e.Attempt.Key]})
	case engine.Merge:
		c.background(func() { c.deliver(ctx, delivery{of: c.merge(ctx, e)}) })
	case engine.Publish:
		c.background(func() { c.deliver(ctx, delivery{of: c.publish(ctx, e)}) })
	case engine.Checkpoint:
		c.background(func() { c.deliver(ctx, delivery{of: c.checkpoint(ctx, e)}) })
	case engine.Record:
		c.log.Add(e.Record)
	case engine.Partial:
		p := c.partials[e.Job.ID]
		if p == nil {
			p = &provisional{}
			c.partials[e.Job.ID] = p
		}
		c.background(func() { c.deliver(ctx, delivery{of: c.partial(ctx, e, p)}) })
	case engine.Conceal:
		if p := c.partials[e.Job.ID]; p != nil {
			delete(c.partials, e.Job.ID)
			c.background(func() {
				ctx, done := lasting(ctx)
				defer done()
				c.conceal(ctx, e.Job, p)
			})
		}
	case engine.Hook:
		c.background(func() {
			ctx, done := lasting(ctx)
			defer done()
			c.hook(ctx, e.Job)
		})
	case engine.Forget:
		for _, key := range e.Keys {
			delete(c.tasks, key)
		}
	case engine.WakeAt:
		timer.Reset(max(time.Millisecond, e.Time.Sub(c.o.Now())))
	case engine.Complain:
		c.o.Report(fmt.Errorf("dvx: bug: %s", e.Text))
	}
}

// deliver hands an event to the loop, or drops it when the engine stops.
func (c *Controller) deliver(ctx context.Context, d delivery) {
	select {
	case c.events <- d:
	case <-ctx.Done():
	}
}

// watch looks at the store whenever its root changes.
func (c *Controller) watch(ctx context.Context) {
	failures := 0
	for {
		gen, err := c.look(ctx)
		if err == nil {
			failures = 0
			_, err = c.o.Store.Watch(ctx, gen)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.o.Report(err)
			failures++
			select {
			case <-time.After(c.o.Engine.Backoff(failures)):
			case <-ctx.Done():
				return
			}
		}
	}
}

// Fill makes the commits that are due of inputs which the engine itself fills,
// clocks and files from elsewhere, and returns when the next is due, and those
// that could not be filled. A running engine does so by itself: it must not be
// called beside one.
func (c *Controller) Fill(ctx context.Context) (next time.Time, failed []Unfilled, err error) {
	return c.sources.Look(auth.With(ctx, auth.Principal{Name: c.o.By}))
}

// fillInputs fills inputs whenever something is due or the root has moved.
func (c *Controller) fillInputs(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		next, failed, err := c.sources.Look(ctx)
		for _, f := range failed {
			c.o.Report(f.Err)
		}
		wait := next.Sub(c.o.Now())
		if failures++; err == nil {
			failures = 0
		} else if wait = c.o.Engine.Backoff(failures); ctx.Err() == nil {
			c.o.Report(fmt.Errorf("fill inputs: %w", err))
		}
		select {
		case <-time.After(max(wait, time.Millisecond)):
		case <-c.observed:
		case <-ctx.Done():
		}
	}
}

// look delivers what the store looks like, and what is new in its history.
func (c *Controller) look(ctx context.Context) (uint64, error) {
	snap, err := c.observer.Observe(ctx)
	if err != nil {
		return 0, err
	}
	c.deliver(ctx, delivery{of: engine.Observed{Snapshot: snap}})
	return snap.Gen, c.readHistory(ctx)
}
