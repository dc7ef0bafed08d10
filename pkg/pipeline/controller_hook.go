package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// HookTime is how long one hook may take.
const HookTime = time.Minute

// hookTextMax bounds what history keeps of how hooks went, in bytes.
const hookTextMax = 2000

// RunHook runs a command for a job that is over, which it is told about, until
// ctx ends, and returns what it printed. It may be called twice for one job.
type RunHook func(ctx context.Context, cmd []string, job history.Job) (printed string, err error)

// hooksAtOnce bounds the jobs whose hooks run at a time.
const hooksAtOnce = 8

// segmentSet is the segments of the history that tell this engine nothing new:
// it wrote them, or has read them. The zero value is empty.
type segmentSet struct {
	mu    sync.Mutex
	names map[string]bool
}

// segmentSetMax bounds a set: what is forgotten is read again.
const segmentSetMax = 1000

func (s *segmentSet) add(names ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil || len(s.names) > segmentSetMax {
		s.names = map[string]bool{}
	}
	for _, n := range names {
		s.names[n] = true
	}
}

func (s *segmentSet) remove(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, n := range names {
		delete(s.names, n)
	}
}

func (s *segmentSet) hasAll(names []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(names, func(n string) bool { return !s.names[n] })
}

// readHistory tells the loop whose hooks are due, if the history has grown by
// other hands: by those of an earlier engine, or by a swap of unknown outcome.
func (c *Controller) readHistory(ctx context.Context) error {
	root, err := c.o.Store.Root(ctx)
	if err != nil || c.segments.hasAll(root.History) {
		return err
	}
	due, err := c.hooksDue(ctx)
	if err != nil {
		return err
	}
	if len(due) > 0 {
		c.deliver(ctx, delivery{of: engine.Owed{Jobs: due}})
	}
	c.segments.add(root.History...)
	return nil
}

// hooksDue returns the jobs whose hooks are due.
func (c *Controller) hooksDue(ctx context.Context) ([]history.Job, error) {
	jobs, err := c.log.Jobs(ctx)
	if err == nil {
		var events []history.Event
		if events, err = c.log.Events(ctx); err == nil {
			return engine.HooksDue(jobs, events), nil
		}
	}
	return nil, fmt.Errorf("look for hooks that are due: %w", err)
}

// lastHooks runs what is due of jobs that were published when the engine was
// told to stop.
func (c *Controller) lastHooks(ctx context.Context) {
	due, err := c.hooksDue(ctx)
	if err != nil {
		c.o.Report(err)
		return
	}
	for _, j := range due {
		c.hook(ctx, j)
	}
}

// hook runs the hooks of a job, and records how they went. A hook that fails
// changes nothing about its job.
func (c *Controller) hook(ctx context.Context, job history.Job) {
	select {
	case c.hooking <- struct{}{}:
		defer func() { <-c.hooking }()
	case <-ctx.Done():
		return
	}
	said, err := c.runHooks(ctx, job)
	if ctx.Err() != nil {
		return // the next engine runs them again
	}
	if err != nil {
		said = append(said, err.Error())
		c.o.Report(fmt.Errorf("hooks of job %s of %s@%s: %w", job.ID.Short(), job.Pipeline, job.Branch, err))
	}
	text := strings.ToValidUTF8(strings.Join(said, "; "), "?")
	c.log.Add(history.Record{Event: &history.Event{
		Time: commit.Stamp(c.o.Now()), Kind: history.HookDone, Job: job.ID, Text: text[:min(len(text), hookTextMax)],
	}})
}

func (c *Controller) runHooks(ctx context.Context, job history.Job) (said []string, err error) {
	r, err := c.o.Store.ReadAny(ctx)
	if err != nil {
		return nil, err
	}
	at, err := commit.Load(ctx, r, job.Spec)
	if err != nil {
		return nil, err
	}
	v, err := LoadVersion(ctx, r, at.Tree)
	if err != nil || v.Spec.Hooks == nil {
		return nil, err
	}
	if c.o.Hook == nil {
		return []string{"not run: whoever runs pipelines here allows no hooks"}, nil
	}
	run := func(name string, cmd []string) {
		if len(cmd) == 0 {
			return
		}
		limited, cancel := context.WithTimeout(ctx, HookTime)
		defer cancel()
		printed, herr := c.o.Hook(limited, cmd, job)
		if herr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w: %.500s", name, herr, printed))
			return
		}
		said = append(said, name+" done")
	}
	switch {
	case job.State == history.Done:
		run("on_success", v.Spec.Hooks.OnSuccess)
	case job.State == history.Failed, job.By != "":
		run("on_failure", v.Spec.Hooks.OnFailure)
	}
	run("on_exit", v.Spec.Hooks.OnExit)
	return said, err
}
