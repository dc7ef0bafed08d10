package pipeline

import (
	"context"
	"fmt"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// choose finds the versions of a pipeline's inputs that it evaluates: the
// newest that fit together, or the next of every commit.
func (o *Observer) choose(ctx context.Context, p *engine.PipelineHead, used map[commit.ID]bool) error {
	done, err := o.done(ctx, *p, used)
	if err != nil {
		return err
	}
	past := o.past(ctx, p.Inputs, used)
	if p.Version.Spec.Commits == spec.CommitsEvery {
		p.Inputs, p.Waits, err = engine.Next(p.Inputs, done, past)
		return err
	}
	if len(p.Inputs) > 1 {
		if p.Inputs, p.Waits, err = engine.Align(p.Inputs, past); err != nil {
			return err
		}
	}
	p.Skipped, err = engine.Skipped(p.Inputs, done, past)
	return err
}

// byHandMax bounds how many commits that no job made are looked behind for the
// newest that one did.
const byHandMax = 100

// done returns the inputs of the newest output that the pipeline made; none if
// there is none.
func (o *Observer) done(ctx context.Context, p engine.PipelineHead, used map[commit.ID]bool) ([]commit.Input, error) {
	at := p.Output
	for range byHandMax {
		prov := at.Commit.Prov
		if prov != nil && prov.Pipeline == p.Name {
			return prov.Inputs, nil
		}
		if len(at.Commit.Parents) == 0 {
			break
		}
		var err error
		if at, err = o.head(ctx, p.Name, at.Commit.Parents[0], used); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// pastMax bounds how far back fitting versions of inputs are looked for, in
// commits of one input.
const pastMax = 10_000

// past returns how to go back in the histories of inputs.
func (o *Observer) past(ctx context.Context, inputs []engine.InputHead, used map[commit.ID]bool) engine.Past {
	histories := make([][]engine.Head, len(inputs))
	for i, in := range inputs {
		histories[i] = []engine.Head{in.Head}
	}
	return func(input, back int) (engine.Head, bool, error) {
		for len(histories[input]) <= back {
			h := histories[input]
			last := h[len(h)-1]
			if len(last.Commit.Parents) == 0 || len(h) > pastMax {
				return engine.Head{}, false, nil
			}
			next, err := o.head(ctx, inputs[input].Repo, last.Commit.Parents[0], used)
			if err != nil {
				return engine.Head{}, false, fmt.Errorf("history of %s@%s: %w", inputs[input].Repo, inputs[input].Branch, err)
			}
			histories[input] = append(h, next)
		}
		return histories[input][back], true, nil
	}
}
