package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// readJournal is a journal of which nothing may be dropped while it is read: what
// is dropped before it was read is lost.
type readJournal struct {
	*pipeline.MemoryJournal
	t       *testing.T
	reading bool
}

func (j *readJournal) Replay(ctx context.Context, visit func(pipeline.Entry) error) error {
	j.reading = true
	defer func() { j.reading = false }()
	return j.MemoryJournal.Replay(ctx, visit)
}

func (j *readJournal) Drop(ctx context.Context, mark uint64) error {
	if j.reading {
		j.t.Error("the journal is dropped while it is read")
	}
	return j.MemoryJournal.Drop(ctx, mark)
}

// TestReplayOfMuch: a journal with more than the memo holds at once is replayed
// to its end.
func TestReplayOfMuch(t *testing.T) {
	b := newBench(t)
	var parts []memo.Part
	for i := range 200 {
		parts = append(parts, memo.Part{Name: fmt.Sprintf("%04d", i) + strings.Repeat("x", 1000), Digest: "0123456789abcdef"})
	}
	view, err := b.store.View(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	r, err := b.store.ReadAny(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	src, err := commit.Load(b.ctx, r, view.Repos["src"].Branches["main"].Commit) // some output that is stored
	if err != nil {
		t.Fatal(err)
	}
	n := memo.PendingSizeMax/200_000 + 10
	for i := range n {
		key := memo.Key{1, byte(i >> 8), byte(i)}
		e := pipeline.Entry{
			Record:  &memo.Record{Key: key, Output: src.Tree, Scope: "test", Parts: parts},
			Attempt: history.Attempt{Job: engine.JobID{1}, Identity: fmt.Sprint(i), Key: key, Attempt: 1, Outcome: "succeeded"},
		}
		if err := b.journal.Append(b.ctx, []pipeline.Entry{e}); err != nil {
			t.Fatal(err)
		}
	}
	j := &readJournal{MemoryJournal: b.journal, t: t}
	c, err := pipeline.NewController(pipeline.ControllerOptions{
		Store: b.store, Runner: b.runner, Journal: j, Now: b.clock.Now, Platform: "test/test", Scope: "test",
	})
	if err != nil {
		t.Fatal(err)
	}
	b.register("up", "src", "main", nil) // so that there is a time at which the replay is over
	ctx, cancel := context.WithCancel(b.ctx)
	ended := make(chan error)
	go func() { ended <- c.Run(ctx) }()
	b.wait()
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	cache := pipeline.OpenMemo(b.store)
	root, err := b.store.Root(b.ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := cache.Sync(b.ctx, root.Memo); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if _, ok, err := cache.Lookup(b.ctx, memo.Key{1, byte(i >> 8), byte(i)}, "test"); err != nil || !ok {
			t.Fatalf("result %d of %d is lost: %v", i, n, err)
		}
	}
}

// TestWishWithoutEngine: who asks an engine that does not run learns so at once.
func TestWishWithoutEngine(t *testing.T) {
	b := newBench(t)
	b.register("up", "src", "main", nil)
	stop := b.start()
	b.wait()
	id := b.newest("up").ID
	stop()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := b.engine.Cancel(ctx, engine.Cancel{Job: id}); err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
}
