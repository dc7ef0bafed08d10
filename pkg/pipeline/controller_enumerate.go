package pipeline

import (
	"context"
	"errors"
	"io/fs"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/datum"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// assignment is what it takes to run a datum.
type assignment struct {
	plan  *keying
	datum datum.Datum
}

// enumerate lists the datums of a job, or what changed since its pipeline's
// previous output.
func (c *Controller) enumerate(ctx context.Context, e engine.Enumerate) delivery {
	answer := engine.Enumerated{Job: e.Job.ID, Epoch: e.Epoch}
	var own map[memo.Key]bool
	var l *Listing
	g, both := errgroup.WithContext(ctx)
	g.Go(func() (err error) {
		own, err = c.ownResults(both, e.Job.ID)
		return err
	})
	g.Go(func() (err error) {
		l, err = c.lister().List(both, e.Job)
		return err
	})
	if err := g.Wait(); err != nil {
		answer.Err = err
		answer.Final = errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) || errors.Is(err, fs.ErrPermission)
		return delivery{of: answer}
	}
	answer.Total, answer.Delta, answer.Removed, answer.Items = l.Total, l.Delta, l.Removed, l.Items
	for i, it := range l.Items {
		answer.Items[i].Own = it.Hit && own[it.Key]
	}
	tasks := make(map[memo.Key]*assignment, len(l.Missing))
	for key, d := range l.Missing {
		tasks[key] = &assignment{plan: l.keys, datum: d}
	}
	return delivery{of: answer, tasks: tasks}
}

// lister returns what lists datums for the engine.
func (c *Controller) lister() *Lister {
	return &Lister{Store: c.o.Store, Runner: c.o.Runner, Memo: c.memo, Scope: c.o.Scope, Platform: c.o.Platform}
}

// ownResults returns which datums the job ran already, if this is not its first
// listing: after a restart they have results, and are the job's own all the
// same.
func (c *Controller) ownResults(ctx context.Context, id engine.JobID) (map[memo.Key]bool, error) {
	jobs, err := c.log.Jobs(ctx)
	if err != nil || !c.replayed[id] && !slices.ContainsFunc(jobs, func(j history.Job) bool { return j.ID == id }) {
		return nil, err // it never ran anything
	}
	attempts, err := c.log.Attempts(ctx, id)
	if err != nil {
		return nil, err
	}
	own := make(map[memo.Key]bool, len(attempts))
	for _, a := range attempts {
		if a.Outcome == string(task.Succeeded) {
			own[a.Key] = true
		}
	}
	return own, nil
}
