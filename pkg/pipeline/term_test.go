package pipeline_test

import (
	"context"
	"errors"
	"testing"

	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/repo"
)

// TestDeposed: the engine of a daemon that leads no more publishes nothing and
// ends, and that of the one that leads goes on where it was.
func TestDeposed(t *testing.T) {
	b := newBench(t)
	b.register("up", "src", "main", nil)
	lead := func(name string) uint64 {
		t.Helper()
		if _, err := b.store.PublishWith(b.ctx, nil, repo.Txn{Op: b.op()}, repo.Attachments{Lead: name}); err != nil {
			t.Fatal(err)
		}
		root, err := b.store.Root(b.ctx)
		if err != nil || root.Leader != name {
			t.Fatalf("%q leads: %v", root.Leader, err)
		}
		return root.Term
	}
	engineOf := func(term uint64) *pipeline.Controller {
		t.Helper()
		c, err := pipeline.NewController(pipeline.ControllerOptions{
			Store: b.store, Runner: b.runner, Journal: &pipeline.MemoryJournal{}, Now: b.clock.Now, Platform: "test/test", Scope: "test", Term: term,
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	former, present := lead("a"), lead("b")
	if _, err := b.store.Move(b.ctx, repo.Txn{Op: b.op(), Ops: []repo.Op{repo.CreateBranch{Repo: "up", Branch: "run/1/partial"}}}); err != nil {
		t.Fatal(err)
	}
	before, err := b.store.View(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := engineOf(former).Run(b.ctx); !errors.Is(err, repo.ErrDeposed) {
		t.Errorf("the engine of a: %v", err)
	}
	after, err := b.store.View(b.ctx)
	if err != nil || after.Repos["up"].Branches["main"].Commit != before.Repos["up"].Branches["main"].Commit {
		t.Errorf("the engine of a has published (%v)", err)
	}
	if _, ok := after.Repos["up"].Branches["run/1/partial"]; !ok {
		t.Error("the engine of a has removed what a job of b shows")
	}
	ctx, stop := context.WithCancel(b.ctx)
	ended := make(chan error, 1)
	c := engineOf(present)
	go func() { ended <- c.Run(ctx) }()
	b.wait()
	stop()
	if err := <-ended; err != nil {
		t.Errorf("the engine of b: %v", err)
	}
}
