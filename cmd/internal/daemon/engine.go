package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/journal"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/explain"
	"github.com/dvx-io/dvx/pkg/pipeline/lease"
	"github.com/dvx-io/dvx/pkg/pipeline/local"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/rpc"
)

// runningEngine is the controller with what it runs on. Without pipelines there is
// only the store's history to look at.
type runningEngine struct {
	store      *repo.Direct
	controller *pipeline.Controller // nil: runs no pipelines
	runner     *local.Runner
	remote     Remote       // nil: all runs here
	board      *lease.Board // of the remote's workers
	journal    *journal.Journal
	rights     auth.Authorizer
	log        *slog.Logger
}

// newEngine makes the engine of a daemon.
func newEngine(ctx context.Context, store *repo.Direct, key auth.Key, o Options) (*runningEngine, error) {
	e := &runningEngine{store: store, log: o.Log, rights: o.rights}
	if o.NoPipelines {
		return e, nil
	}
	var err error
	if o.Lead != nil {
		if o.term, err = takeLead(ctx, store, o.Lead.Name); err != nil {
			return nil, err
		}
	}
	if e.board, e.remote, err = openRemote(store.Config().Store, key, o); err != nil {
		return nil, err
	}
	j, recovery, err := journal.Open(filepath.Join(o.State, "journal"), journal.Options{Log: o.Log, Now: time.Now})
	if err != nil {
		return nil, fmt.Errorf("open the daemon's journal: %w", err)
	}
	e.journal = j
	if recovery.StateLost {
		o.Log.Warn("the journal was damaged and set aside; what was not yet published runs again",
			"reason", recovery.Reason, "moved", recovery.Moved)
	}
	e.runner, err = local.New(local.Options{
		Dir: cmp.Or(o.Work, filepath.Join(o.State, "work")), Slots: o.Slots, Params: store.Config().Chunker, Now: time.Now,
		InMemory: o.Work == "",
	})
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	e.controller, err = NewController(store, e.tasks(), &durable{j: j}, o)
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// NewController makes a controller.
func NewController(store *repo.Direct, r task.Runner, j pipeline.Journal, o Options) (*pipeline.Controller, error) {
	var hook pipeline.RunHook
	if o.Hooks {
		hook = runHooks(cmp.Or(o.State, os.TempDir()))
	}
	return pipeline.NewController(pipeline.ControllerOptions{
		Store: store, Runner: r, Journal: j, Now: time.Now,
		Platform: runtime.GOOS + "/" + runtime.GOARCH, Scope: local.Scope(), Term: o.term,
		Engine: engine.Options{CheckpointEvery: o.CheckpointEvery, Pools: o.Pools}, Rights: o.rights, Again: o.Again, Hook: hook, Fetch: &fetcher{place: o.Place},
		Report: func(err error) { o.Log.Warn("the engine goes on after a failure", "error", err) },
	})
}

// restartPause is how long the engine waits after a failure before it starts
// again from what is durable.
const restartPause = time.Second

// run works until ctx ends. A failure of the engine does not end the daemon:
// everything can be read meanwhile, and the engine starts again.
func (e *runningEngine) run(ctx context.Context) error {
	if e.controller == nil {
		<-ctx.Done()
		return nil
	}
	if e.remote == nil {
		return e.control(ctx)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return e.remote.Keep(ctx) })
	g.Go(func() error { return e.control(ctx) })
	return g.Wait()
}

// control runs the controller, again and again.
func (e *runningEngine) control(ctx context.Context) error {
	for {
		err := e.controller.Run(ctx)
		if ctx.Err() != nil {
			return err
		}
		if errors.Is(err, repo.ErrDeposed) {
			return err
		}
		if errors.Is(err, journal.ErrFailed) {
			return fmt.Errorf("the journal can't be written any more; start the daemon again: %w", err)
		}
		e.log.Error("the engine stopped and starts again", "error", err)
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(restartPause):
		}
	}
}

// jobs returns what the edges show.
func (e *runningEngine) jobs() rpc.Jobs {
	if e.controller == nil {
		return rpc.NewLocalJobs(e.store, pipeline.OpenJobs(e.store, local.Scope())).Judge(e.rights)
	}
	jobs := rpc.NewLocalJobs(e.store, e.controller.Jobs()).Judge(e.rights)
	if e.remote != nil {
		jobs.Hear(e.remote.Trouble)
	}
	return jobs.Steer(e.controller)
}

// close frees what the engine holds.
func (e *runningEngine) close() error {
	var errs []error
	if e.runner != nil {
		errs = append(errs, e.runner.Close())
	}
	if e.journal != nil {
		errs = append(errs, e.journal.Close())
	}
	return errors.Join(errs...)
}

// RemoveWork removes a folder that tasks ran in, read-only parts too.
func RemoveWork(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	walkErr := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			err = os.Chmod(p, 0o700)
		}
		return err
	})
	return errors.Join(walkErr, os.RemoveAll(dir))
}

// explain returns what answers questions about the pipelines.
func (e *runningEngine) explain() *explain.Explainer {
	jobs := pipeline.OpenJobs(e.store, local.Scope())
	if e.controller != nil {
		jobs = e.controller.Jobs()
	}
	return NewExplainer(e.store, jobs, e.tasks(), e.rights)
}

// NewExplainer answers questions about a store's pipelines as those who run
// them on this machine see them. Without a runner it makes no plans.
func NewExplainer(store *repo.Direct, jobs *pipeline.Jobs, r task.Runner, rights auth.Authorizer) *explain.Explainer {
	return explain.New(explain.Options{Store: store, Jobs: jobs, Scope: local.Scope(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Rights: rights, Runner: r})
}

// cache returns what looks after the results; nil if no programs run here.
func (e *runningEngine) cache() rpc.Cache {
	if e.runner == nil {
		return nil
	}
	return NewVerifier(e.store, e.runner)
}

// NewVerifier looks after a store's results as those who run programs on this
// machine see them. Without a runner it only counts.
func NewVerifier(store *repo.Direct, r *local.Runner) *pipeline.Verifier {
	v := &pipeline.Verifier{Store: store, Memo: pipeline.OpenMemo(store), Scope: local.Scope(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Now: time.Now}
	if r != nil {
		v.Runner = r
	}
	return v
}
