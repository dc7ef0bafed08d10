package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
	"github.com/dvx-io/dvx/pkg/repo"
)

// provisional is what is shown of a job that is not complete.
type provisional struct {
	mu    sync.Mutex // held while it changes
	over  bool       // nothing is to be shown any more
	shown output.Merging
}

// partial shows what a job has so far at its provisional branch.
func (c *Controller) partial(ctx context.Context, e engine.Partial, p *provisional) engine.Shown {
	answer := engine.Shown{Job: e.Job.ID, Epoch: e.Epoch, Seq: e.Seq}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.over {
		return answer
	}
	prev := p.shown
	if e.First {
		prev = previousOutput(e.Job)
	}
	delta, err := c.withoutGrowth(ctx, e.Job, e.Delta)
	if err == nil {
		p.shown, err = output.Merge(ctx, c.session, prev, delta, engine.StampOf(e.Job))
	}
	if err == nil {
		err = c.showAt(ctx, e, p.shown)
	}
	if err != nil && ctx.Err() == nil {
		c.o.Report(fmt.Errorf("show what job %s of %s has so far: %w", e.Job.ID.Short(), e.Job.Head.Name, err))
	}
	answer.Err = err
	return answer
}

// showAt moves a job's provisional branch to an output that is not complete.
func (c *Controller) showAt(ctx context.Context, e engine.Partial, m output.Merging) error {
	op, err := c.o.Store.NewOp()
	if err != nil {
		return err
	}
	x := engine.OutputCommit(e.Job, m, e.Delta.Total, 0)
	x.Message = fmt.Sprintf("what job %s of pipeline %s has so far", e.Job.ID.Short(), e.Job.Head.Name)
	x.Op, x.Prov = op.String(), nil
	id, err := commit.Save(ctx, c.session, x)
	if err != nil {
		return err
	}
	name, branch := e.Job.Head.Name, engine.PartialBranch(e.Job.ID)
	view, err := c.o.Store.View(ctx)
	if err != nil {
		return err
	}
	move := repo.MoveBranch{Repo: name, Branch: branch, Expect: view.Repos[name].Branches[branch].Commit, To: id, Force: true}
	_, err = c.swap(ctx, repo.Txn{Op: op, Ops: []repo.Op{move}}, nil)
	return err
}

// previousOutput returns what a job's output is made on top of.
func previousOutput(j engine.JobSpec) output.Merging {
	prev := output.Merging{Tree: j.Head.Output.Commit.Tree}
	if prov := j.Head.Output.Commit.Prov; prov != nil && prov.Datums != nil {
		prev.Table = *prov.Datums
	}
	return prev
}

// conceal removes the provisional branch of a job.
func (c *Controller) conceal(ctx context.Context, j engine.JobSpec, p *provisional) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.over = true
	if err := c.dropBranch(ctx, j.Head.Name, engine.PartialBranch(j.ID)); err != nil {
		c.o.Report(fmt.Errorf("remove the provisional branch of job %s: %w", j.ID.Short(), err))
	}
}

func (c *Controller) dropBranch(ctx context.Context, name, branch string) error {
	view, err := c.o.Store.View(ctx)
	if err != nil {
		return err
	}
	at, ok := view.Repos[name].Branches[branch]
	if !ok {
		return nil
	}
	op, err := c.o.Store.NewOp()
	if err == nil {
		t := repo.Txn{Op: op, Ops: []repo.Op{repo.DeleteBranch{Repo: name, Branch: branch, Expect: at.Commit}}}
		_, err = c.o.Store.PublishWith(ctx, nil, t, repo.Attachments{Term: c.o.Term})
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// sweepPartials removes the provisional branches that an engine left behind which
// did not stop by itself.
func (c *Controller) sweepPartials(ctx context.Context) error {
	view, err := c.o.Store.View(ctx)
	if err != nil {
		return err
	}
	for name, r := range view.Repos {
		for branch := range r.Branches {
			if len(r.Specs) > 0 && strings.HasPrefix(branch, "run/") && strings.HasSuffix(branch, "/partial") {
				if err := c.dropBranch(ctx, name, branch); err != nil {
					return fmt.Errorf("remove the provisional branch %s@%s: %w", name, branch, err)
				}
			}
		}
	}
	return nil
}
