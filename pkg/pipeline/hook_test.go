package pipeline_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
)

// told is what hooks were run with.
type told struct {
	mu   sync.Mutex
	all  []string
	fail bool
}

func (x *told) run(_ context.Context, cmd []string, j history.Job) (string, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.all = append(x.all, cmd[0]+" "+string(j.State))
	if x.fail {
		return "no network", errors.New("exit status 1")
	}
	return "", nil
}

func (x *told) take() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := strings.Join(x.all, ", ")
	x.all = nil
	return all
}

func withHooks(s *spec.Spec) {
	s.Hooks = &spec.Hooks{OnSuccess: []string{"good"}, OnFailure: []string{"bad"}, OnExit: []string{"exit"}}
}

// TestHooks: they run when a job is over, by how it ended, and what becomes of
// them is recorded and nothing else.
func TestHooks(t *testing.T) {
	b, x := newBench(t), &told{}
	b.hook = x.run
	b.register("up", "src", "main", withHooks)
	stop := b.start()
	b.wait()
	stop() // which waits for them
	if got := x.take(); got != "good done, exit done" {
		t.Errorf("after a success: %s", got)
	}
	b.runner.fail = map[string]bool{"d": true}
	b.commit("bad", map[string]string{"d": "four"})
	x.fail = true
	stop = b.start()
	if s := b.wait(); len(s.Failed) != 1 {
		t.Fatalf("settlement %+v", s)
	}
	stop()
	if got := x.take(); got != "bad failed, exit failed" {
		t.Errorf("after a failure: %s", got)
	}
	events, err := pipeline.OpenHistory(b.store).Events(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(events, func(e history.Event) bool {
		return e.Kind == history.HookDone && strings.Contains(e.Text, "on_failure: exit status 1: no network")
	}) {
		t.Errorf("events %+v", events)
	}
	b.runner.fail, x.fail = nil, false
	b.commit("good", map[string]string{"d": "four", "e": "five"})
	stop = b.start()
	b.wait()
	stop()
	if got := x.take(); got != "good done, exit done" {
		t.Errorf("after a restart: %s", got)
	}
}

// TestHooksAreNotAllowed: unless whoever runs pipelines allows them, they do not
// run, and that is recorded.
func TestHooksAreNotAllowed(t *testing.T) {
	b := newBench(t)
	b.register("up", "src", "main", withHooks)
	stop := b.start()
	b.wait()
	stop()
	events, err := pipeline.OpenHistory(b.store).Events(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(events) != 1 || !strings.Contains(events[0].Text, "allows no hooks") {
		t.Errorf("events %+v", events)
	}
}

// TestHooksAfterACrash: what was due when the power failed is done by the next
// engine.
func TestHooksAfterACrash(t *testing.T) {
	b, x := newBench(t), &told{}
	hung, resume := make(chan struct{}), make(chan struct{})
	b.hook = func(context.Context, []string, history.Job) (string, error) {
		close(hung)
		<-resume
		return "", nil
	}
	b.register("up", "src", "main", func(s *spec.Spec) { s.Hooks = &spec.Hooks{OnSuccess: []string{"good"}} })
	stop := b.start()
	<-hung
	after := b.clone(false)
	close(resume)
	stop()
	after.hook = x.run
	after.start()
	got := ""
	for got == "" {
		got = x.take()
		time.Sleep(time.Millisecond)
	}
	if got != "good done" {
		t.Errorf("after the restart: %s", got)
	}
}

// TestHooksOfAnotherHand: the hooks of a job run whoever brought the record that
// it is over into the root, and without a restart.
func TestHooksOfAnotherHand(t *testing.T) {
	b, x := newBench(t), &told{}
	b.hook = x.run
	b.register("up", "src", "main", func(s *spec.Spec) { s.Hooks = &spec.Hooks{OnSuccess: []string{"good"}} })
	b.start()
	hooksRun := func() {
		t.Helper()
		for until := time.Now().Add(patience); x.take() != "good done"; time.Sleep(time.Millisecond) {
			if time.Now().After(until) {
				t.Fatal("hooks were not run")
			}
		}
	}
	b.wait()
	hooksRun()
	j := b.newest("up")
	j.ID[0]++
	segment, err := history.Encode([]history.Record{{Job: &j}})
	if err != nil {
		t.Fatal(err)
	}
	key := repo.AttachedKey("history", 1, b.op())
	if _, err := b.store.Objects().Put(b.ctx, key, objstore.Bytes(segment), objstore.Condition{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.store.PublishWith(b.ctx, nil, repo.Txn{Op: b.op()}, repo.Attachments{AddHistory: []string{key}}); err != nil {
		t.Fatal(err)
	}
	hooksRun()
}
