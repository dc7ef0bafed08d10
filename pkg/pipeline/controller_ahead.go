package pipeline

import (
	"context"
	"fmt"

	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/datum"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/tree"
)

// foresee lists the datums that follow from outputs of a job which is not
// complete, for the pipelines that read nothing else.
func (c *Controller) foresee(ctx context.Context, e engine.Foresee, snap engine.Snapshot) delivery {
	answer, tasks := engine.Foreseen{}, map[memo.Key]*assignment{}
	for _, p := range snap.Pipelines {
		if !p.Follows(e.Pipeline, e.Branch) {
			continue
		}
		ahead, err := c.foreseeIn(ctx, e, p, tasks)
		if err != nil {
			c.o.Report(fmt.Errorf("look ahead for pipeline %s: %w", p.Name, err)) // its job will say the same
			continue
		}
		answer.Datums = append(answer.Datums, ahead...)
	}
	return delivery{of: answer, tasks: tasks}
}

// foreseeIn lists those of one pipeline that have no result. Only files count: a
// directory may yet get files of other datums.
func (c *Controller) foreseeIn(ctx context.Context, e engine.Foresee, p engine.PipelineHead, tasks map[memo.Key]*assignment) ([]engine.Ahead, error) {
	keys, err := c.lister().keying(ctx, p)
	if err != nil {
		return nil, err
	}
	var all []engine.Ahead
	for _, o := range e.Outputs {
		v := datum.Version{Reader: c.session, Trees: []tree.Root{o.Tree}}
		for d, err := range datum.All(ctx, v, p.Version.Spec) {
			if err != nil {
				return nil, err
			}
			if len(d.Inputs) != 1 || len(d.Inputs[0].Items) != 1 || d.Inputs[0].Items[0].Entry.Kind == tree.Dir {
				continue
			}
			key := keys.key(d)
			if _, ok, err := c.memo.Lookup(ctx, key, c.o.Scope); err != nil || ok {
				continue
			}
			tasks[key] = &assignment{plan: keys, datum: d}
			all = append(all, engine.Ahead{Pipeline: p.Name, Branch: p.Branch, Identity: d.Identity, Key: key})
		}
	}
	return all, nil
}
