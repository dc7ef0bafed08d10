package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// capitals is a runner whose program writes each input file in capitals.
type capitals struct{}

func (capitals) Runtime(_ context.Context, t spec.Transform, _ tree.Root, _ chunk.Reader) (memo.Runtime, error) {
	if t.Cmd[0] != "upper" {
		return memo.Runtime{}, fmt.Errorf("no program %s: %w", t.Cmd[0], fs.ErrNotExist)
	}
	return memo.Runtime{Host: "test"}, nil
}

func (capitals) Slots() int { return 2 }

func (capitals) Run(ctx context.Context, t task.Task, s chunk.Store) (task.Result, error) {
	it := t.Inputs[0].Items[0]
	f, err := chunk.OpenContent(ctx, s, it.Entry.Content)
	if err != nil {
		return task.Result{}, err
	}
	b, err := io.ReadAll(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return task.Result{}, err
	}
	log, err := chunk.WriteContent(ctx, s, chunk.DefaultParams(), strings.NewReader("saw "+it.Path+"\n"))
	if err != nil {
		return task.Result{}, err
	}
	c, err := chunk.WriteContent(ctx, s, chunk.DefaultParams(), strings.NewReader(strings.ToUpper(string(b))))
	if err != nil {
		return task.Result{}, err
	}
	out, err := tree.Apply(ctx, s, tree.Root{}, []tree.Edit{{Op: tree.Put, Path: it.Path, Entry: tree.Entry{Kind: tree.File, Content: c}}})
	return task.Result{Outcome: task.Succeeded, Output: out, Log: log}, err
}

// pipelined makes a store with five files and a pipeline that has not run.
func pipelined(t testing.TB) *mem.Store {
	objects := mem.New(mem.Options{})
	d := create(t, objects)
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		mustPut(t, d, "main", name, name)
	}
	op, err := d.NewOp()
	if err != nil {
		t.Fatal(err)
	}
	s := spec.Spec{Pipeline: "up", Transform: spec.Transform{Cmd: []string{"upper"}}, Input: spec.Input{Repo: "r", Glob: "/*"}}
	_, _, err = pipeline.Register(owner(t), d, pipeline.Registration{
		Spec: s.WithDefaults(), Source: []byte("source"), Branch: "main", Author: "owner", Op: op, Time: testTime(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// atOnceBut is a timer that does not wait, but for one kind of wait, which has
// no end.
func atOnceBut(d time.Duration) func(time.Duration) <-chan time.Time {
	return func(wait time.Duration) <-chan time.Time {
		if wait == d {
			return nil
		}
		return atOnce(wait)
	}
}

// runJob runs a daemon, whose journal is lost with it, until all pipelines are up
// to date or the store is gone.
func runJob(ctx context.Context, objects objstore.Store) error {
	o := options(0)
	o.RetryFor, o.After, o.WatchEvery = retryFor, atOnceBut(time.Hour), time.Hour
	d, err := repo.OpenDirect(ctx, objects, o)
	if err != nil {
		return err
	}
	defer d.Close()
	c, err := pipeline.NewController(pipeline.ControllerOptions{
		Store: d, Runner: capitals{}, Journal: &pipeline.MemoryJournal{}, Now: o.Now, Platform: "test/test", Scope: "test",
		FlushEvery: time.Millisecond, Report: func(error) {},
		Engine: engine.Options{BackoffMin: time.Millisecond, BackoffMax: 5 * time.Millisecond, NoteAfter: time.Millisecond},
	})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	settled := make(chan error, 1)
	go func() { settled <- upToDate(ctx, d, objects) }()
	select {
	case err = <-settled:
		cancel()
		if end := <-ended; !errors.Is(end, context.Canceled) { // it may have been about to start
			err = errors.Join(err, end)
		}
		return err
	case err = <-ended:
		cancel()
		return errors.Join(err, notCrashed(<-settled))
	}
}

// notCrashed drops what only says that the end came while somebody waited.
func notCrashed(err error) error {
	if errors.Is(err, fault.ErrCrashed) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// upToDate waits until nothing is to be done.
func upToDate(ctx context.Context, d *repo.Direct, objects objstore.Store) error {
	jobs := pipeline.OpenJobs(d, "test")
	for start := time.Now(); time.Since(start) < 5*time.Minute; {
		if f, ok := objects.(*fault.Store); ok && f.Crashed() {
			return fault.ErrCrashed
		}
		snap, err := pipeline.Observe(ctx, d)
		if err != nil {
			return err
		}
		l, err := jobs.Ledger(ctx)
		if err != nil {
			return err
		}
		if engine.Settle(snap, l, "", "").Settled() {
			return nil
		}
		short, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
		_, err = d.Watch(short, snap.Gen)
		cancel()
		if err != nil && short.Err() == nil {
			return err
		}
	}
	return errTimeout
}
