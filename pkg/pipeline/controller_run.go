package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/datum"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// launch runs an attempt beside the loop.
func (c *Controller) launch(ctx context.Context, e engine.Start) {
	a := c.tasks[e.Key]
	attempt, stop := context.WithCancel(ctx)
	c.running[e.Serial] = stop
	c.background(func() {
		defer stop()
		f := engine.Finished{Key: e.Key, Attempt: e.Attempt, Serial: e.Serial}
		started := c.o.Now()
		if r, ok := c.recall(ctx, a, e.Key); ok {
			f.Known, f.Result.Output = true, r.Output
		} else {
			f.Result = c.attempt(attempt, a, e)
		}
		if f.Result.Started.IsZero() {
			f.Result.Started = started
		}
		if f.Result.Ended.IsZero() {
			f.Result.Ended = c.o.Now()
		}
		c.deliver(ctx, delivery{of: f})
	})
}

// recall returns the result of a datum that came since it was listed, unless it
// is to be done anew each time.
func (c *Controller) recall(ctx context.Context, a *assignment, key memo.Key) (memo.Record, bool) {
	if a != nil && a.plan.anew() {
		return memo.Record{}, false
	}
	r, ok, err := c.memo.Lookup(ctx, key, c.o.Scope)
	return r, ok && err == nil && (a == nil || a.plan.counts(r))
}

// attempt runs a task and says what it came to.
func (c *Controller) attempt(ctx context.Context, a *assignment, e engine.Start) task.Result {
	if a == nil {
		return task.Result{Outcome: task.Crashed, Reason: "dvx: bug: a datum was started that nobody enumerated"}
	}
	values, err := datum.Values(ctx, c.session, a.datum)
	switch {
	case errors.Is(err, fs.ErrInvalid):
		return task.Result{Outcome: task.Failed, Failure: task.FailedStart, Reason: err.Error()}
	case err != nil:
		return task.Result{Outcome: task.Crashed, Reason: err.Error()}
	}
	t, err := a.plan.taskOf(a.datum, e, values)
	if err != nil {
		return task.Result{Outcome: task.Failed, Reason: err.Error()}
	}
	r, err := c.o.Runner.Run(ctx, t, deferred{c.session})
	switch {
	case ctx.Err() != nil && (err != nil || r.Outcome != task.Succeeded):
		r.Outcome = task.Cancelled
		if r.Reason == "" {
			r.Reason = "stopped"
		}
	case err != nil:
		r = task.Result{Outcome: task.Crashed, Reason: err.Error(), Started: r.Started, Ended: r.Ended}
	case r.Outcome == task.Succeeded && r.Output.ID.IsZero():
		r = task.Result{Outcome: task.Crashed, Reason: "the runner returned a success without an output"}
	}
	return r
}

// deferred leaves it to the controller to flush: many results share one.
type deferred struct{ chunk.Store }

// Flush implements chunk.Store.
func (deferred) Flush(ctx context.Context) error { return ctx.Err() }

// persist is a result that waits to become durable.
type persist struct {
	effect engine.Persist
	by     *assignment
}

// queue is an unbounded queue of results: the loop never waits for the disk.
// Attempts under way bound it, since a slot is given away only after a step.
type queue struct {
	mu    sync.Mutex
	items []persist
	more  chan struct{} // holds a token if there are items
}

func (q *queue) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.items, q.more = nil, make(chan struct{}, 1)
}

func (q *queue) push(p persist) {
	q.mu.Lock()
	q.items = append(q.items, p)
	q.mu.Unlock()
	select {
	case q.more <- struct{}{}:
	default:
	}
}

func (q *queue) take() []persist {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items = nil
	return items
}

// flushBurst is how many flushes after a rest need not keep the pace: the
// results of stages that wait for each other come one at a time.
const flushBurst = 8

// pace says when the next flush may be.
type pace struct {
	every time.Duration // between two flushes, in the long run
	next  time.Time     // when the next would be at that pace
}

// wait returns how long the next flush is to wait, at most every.
func (p *pace) wait(now time.Time) time.Duration {
	return min(p.every, p.next.Add(-(flushBurst-1)*p.every).Sub(now))
}

// done takes in a flush.
func (p *pace) done(began, ended time.Time) {
	if p.next.Before(began) {
		p.next = began
	}
	p.next = p.next.Add(p.every + ended.Sub(began))
}

// persistAll makes results durable, as many at a time as have come in.
func (c *Controller) persistAll(ctx context.Context) {
	pace := pace{every: c.o.FlushEvery}
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.persists.more:
		}
		if wait := pace.wait(c.o.Now()); wait > 0 {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
		}
		began := c.o.Now()
		answers, err := c.persistBatch(context.WithoutCancel(ctx), c.persists.take())
		if err != nil {
			c.fail(err)
			return
		}
		pace.done(began, c.o.Now())
		for _, a := range answers {
			c.deliver(ctx, delivery{of: a})
		}
	}
}

// persistBatch flushes the session once, journals the results once, and adds
// the successful ones to the memo. A swap may be under way: what it does not
// publish stays in the journal. An error ends the engine's life: the session or
// the journal can't be relied on any more.
func (c *Controller) persistBatch(ctx context.Context, batch []persist) ([]engine.Persisted, error) {
	if len(batch) == 0 {
		return nil, nil
	}
	if err := c.session.Flush(ctx); err != nil {
		return nil, fmt.Errorf("store the results of %d datums: %w", len(batch), err)
	}
	segments := c.newSegments()
	entries := make([]Entry, len(batch))
	answers := make([]engine.Persisted, len(batch))
	for i, p := range batch {
		answers[i] = engine.Persisted{Key: p.effect.Attempt.Key, Seq: p.effect.Seq}
		entries[i] = Entry{Attempt: p.effect.Attempt}
		if i == 0 {
			entries[i].Segments = segments
		}
		if p.effect.Attempt.Outcome == string(task.Succeeded) {
			entries[i].Record = c.record(p)
		}
		if p.by != nil && p.by.plan.anew() {
			entries[i].Record, answers[i].Output = nil, p.effect.Output
		}
	}
	c.keeping.Lock()
	defer c.keeping.Unlock()
	if err := c.o.Journal.Append(ctx, entries); err != nil {
		return nil, fmt.Errorf("journal the results of %d datums: %w", len(batch), err)
	}
	for i, e := range entries {
		if e.Record != nil {
			kept, err := c.memo.Add(ctx, *e.Record)
			if err != nil && !errors.Is(err, memo.ErrMismatch) {
				answers[i].Err = err
				continue
			}
			answers[i].Output = kept.Output
			c.mismatch(err, e.Attempt)
		}
		c.log.Add(history.Record{Attempt: &entries[i].Attempt})
	}
	return answers, nil
}

// mismatch records that a datum gave a second, other result.
func (c *Controller) mismatch(err error, a history.Attempt) {
	if err == nil {
		return
	}
	c.log.Add(history.Record{Event: &history.Event{
		Time: commit.Stamp(c.o.Now()), Kind: history.NotReproducible, Job: a.Job, Key: a.Key, Text: "datum " + a.Identity + ": " + err.Error(),
	}})
}

// newSegments returns the index segments with the session's chunks that no
// root and no entry of the journal names yet.
func (c *Controller) newSegments() []string {
	s, ok := c.session.(interface{ Segments() []string })
	if !ok {
		return nil
	}
	unnamed := s.Segments()
	var fresh []string
	for _, key := range unnamed {
		if !c.named[key] {
			fresh = append(fresh, key)
		}
	}
	c.named = map[string]bool{}
	for _, key := range unnamed {
		c.named[key] = true
	}
	return fresh
}

// record is what the memo keeps of a success.
func (c *Controller) record(p persist) *memo.Record {
	a := p.effect.Attempt
	r := &memo.Record{
		Key: a.Key, Output: p.effect.Output, Log: a.Log, Exit: a.Exit, Started: a.Started, Ended: a.Ended,
		Scope: c.o.Scope, By: c.o.By,
	}
	if p.by != nil {
		r.Parts = p.by.plan.parts(p.by.datum)
		if p.by.plan.settings[p.by.datum.Setting].runtime.Image != "" {
			r.Scope = "" // all that runs is in the key, so the result serves everybody
		}
	}
	return r
}
