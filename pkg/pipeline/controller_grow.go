package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/datum"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
)

// grow lists the datums that datums of a job emitted.
func (c *Controller) grow(ctx context.Context, e engine.Grow) delivery {
	answer := engine.Grown{Job: e.Job.ID, Epoch: e.Epoch, Level: e.Level}
	tasks := map[memo.Key]*assignment{}
	keys, err := c.lister().keying(ctx, e.Job.Head)
	for i := 0; err == nil && i < len(e.Of) && len(answer.Items) <= e.Job.Head.Version.Spec.Growth.Max; i++ {
		err = c.growFrom(ctx, keys, e.Of[i], &answer, tasks)
	}
	if err != nil {
		answer.Err = fmt.Errorf("list further datums: %w", err)
		answer.Final = errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid)
	}
	return delivery{of: answer, tasks: tasks}
}

// growFrom lists those that one datum emitted.
func (c *Controller) growFrom(ctx context.Context, keys *keying, o output.Datum, answer *engine.Grown, tasks map[memo.Key]*assignment) error {
	for d, err := range datum.Emitted(ctx, c.session, o.Tree) {
		if err != nil {
			return err
		}
		it := engine.Emitted{From: o.Identity, Item: engine.Item{Identity: d.Identity, Key: keys.key(d)}}
		if !keys.anew() {
			r, ok, err := c.memo.Lookup(ctx, it.Key, c.o.Scope)
			if err != nil {
				return err
			}
			if it.Hit = ok && keys.counts(r); it.Hit {
				it.Output = r.Output
			}
		}
		if !it.Hit {
			tasks[it.Key] = &assignment{plan: keys, datum: d}
		}
		answer.Items = append(answer.Items, it)
	}
	return nil
}

// withoutGrowth returns the changes of an output in which outputs are without the
// datums that they emitted.
func (c *Controller) withoutGrowth(ctx context.Context, j engine.JobSpec, d output.Delta) (output.Delta, error) {
	if j.Head.Version.Spec.Growth == nil {
		return d, nil
	}
	d.Changed = slices.Clone(d.Changed)
	for i, x := range d.Changed {
		var err error
		if d.Changed[i].Tree, err = datum.WithoutEmitted(ctx, c.session, x.Tree); err != nil {
			return d, fmt.Errorf("datum %s: %w", x.Identity, err)
		}
	}
	return d, nil
}
