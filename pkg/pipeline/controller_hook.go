package pipeline

import (
	"context"
	"errors"
	"fmt"
	"strings"
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

// dueHooks runs the hooks that the last engine left undone.
func (c *Controller) dueHooks(ctx context.Context) {
	jobs, err := c.log.Jobs(ctx)
	if err == nil {
		var events []history.Event
		if events, err = c.log.Events(ctx); err == nil {
			for _, j := range engine.HooksDue(jobs, events) {
				c.hook(ctx, j)
			}
		}
	}
	if err != nil && ctx.Err() == nil {
		c.o.Report(fmt.Errorf("look for hooks that are due: %w", err))
	}
}

// hook runs the hooks of a job, and records how they went. A hook that fails
// changes nothing about its job.
func (c *Controller) hook(ctx context.Context, job history.Job) {
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
