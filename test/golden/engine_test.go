package golden_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// scope is the trust scope of what the runner gives.
const scope = "golden"

// runner runs "golden count", "golden shout" and "golden picky" in process.
type runner struct {
	mu  sync.Mutex
	ran []string // program and path
}

// all returns what was run, sorted.
func (r *runner) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(slices.Values(r.ran))
}

// Runtime implements task.Runner.
func (r *runner) Runtime(context.Context, spec.Transform, tree.Root, chunk.Reader) (memo.Runtime, error) {
	return memo.Runtime{Host: scope}, nil
}

// Slots implements task.Runner.
func (r *runner) Slots() int { return 1 }

// Run implements task.Runner.
func (r *runner) Run(ctx context.Context, t task.Task, s chunk.Store) (task.Result, error) {
	item := t.Inputs[0].Items[0]
	program := t.Transform.Cmd[1]
	r.mu.Lock()
	r.ran = append(r.ran, program+" "+item.Path)
	r.mu.Unlock()
	in, err := chunk.OpenContent(ctx, s, item.Entry.Content)
	if err != nil {
		return task.Result{}, err
	}
	text, err := io.ReadAll(in)
	if err != nil {
		return task.Result{}, err
	}
	store := func(text []byte) (chunk.Content, error) {
		return chunk.WriteContent(ctx, s, chunk.DefaultParams(), bytes.NewReader(text))
	}
	log, err := store([]byte(program + " saw " + item.Path + "\n"))
	if err != nil {
		return task.Result{}, err
	}
	began := newClock(12).Now()
	res := task.Result{Outcome: task.Succeeded, Log: log, Started: began, Ended: began.Add(time.Second)}
	res.Stats = task.Stats{Run: time.Second, BytesIn: int64(len(text))}
	path := item.Path
	var out []byte
	switch {
	case program == "picky" && strings.Contains(item.Path, "two"):
		res.Outcome, res.Exit, res.Reason = task.Failed, 3, "exit status 3"
		return res, nil
	case program == "count":
		n := bytes.Count(text, []byte("\n"))
		if t.Params["unit"] == "words" {
			n = len(bytes.Fields(text))
		}
		path = strings.TrimSuffix(path[strings.LastIndex(path, "/")+1:], ".txt")
		out = fmt.Appendf(nil, "%s has %d %s\n", path, n, t.Params["unit"])
	default:
		out = bytes.ToUpper(text)
	}
	c, err := store(out)
	if err != nil {
		return task.Result{}, err
	}
	res.Output, err = tree.Apply(ctx, s, tree.Root{}, []tree.Edit{{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.File, Content: c}}})
	return res, err
}

// engine runs a controller until the function that it returns is called.
func (a *at) engine(r *runner) (stop func()) {
	a.Helper()
	c, err := pipeline.NewController(pipeline.ControllerOptions{
		Store: a.store, Runner: r, Now: a.clock.Now, Platform: "linux/amd64", Scope: scope,
		Report: func(err error) { a.Logf("engine: %v", err) },
	})
	if err != nil {
		a.Fatal(err)
	}
	ctx, cancel := context.WithCancel(a.ctx)
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	return func() {
		a.Helper()
		cancel()
		if err := <-done; err != nil {
			a.Errorf("engine: %v", err)
		}
	}
}

// settle waits until no job is to be done.
func (a *at) settle() {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.ctx, 5*time.Minute)
	defer cancel()
	for {
		snap, err := pipeline.Observe(ctx, a.store)
		if err != nil {
			a.Fatal(err)
		}
		l, err := pipeline.OpenJobs(a.store, scope).Ledger(ctx)
		if err != nil {
			a.Fatal(err)
		}
		if engine.Settle(snap, l, "", "").Settled() {
			return
		}
		if _, err := a.store.Watch(ctx, snap.Gen); err != nil {
			a.Fatal(err)
		}
	}
}
