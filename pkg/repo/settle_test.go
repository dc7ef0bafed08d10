package repo

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

// TestSettle asks for operations that were applied, that never were, and that
// the root has forgotten.
func TestSettle(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	ctx := ownerCtx(t)
	first, _ := d.NewOp()
	if _, err := d.Move(ctx, Txn{Op: first, Ops: []Op{CreateRepo{Repo: "a"}}}); err != nil {
		t.Fatal(err)
	}
	committed := mustPut(t, d, "main", "f", "text")
	never, _ := d.NewOp()
	old, _ := NewOpID(testTime.Add(-2*OpMemory), strings.NewReader(strings.Repeat("x", 16)))
	for i := range OpsMax + 10 {
		move(t, d, CreateBranch{Repo: "a", Branch: fmt.Sprint("b", i)})
	}
	if r, _ := d.Root(ctx); len(r.Ops) != OpsMax {
		t.Fatalf("%d operations remembered", len(r.Ops))
	}
	committedOp, _ := ParseOpID(committed.Commit.Op)
	for name, c := range map[string]struct {
		op      OpID
		applied bool
		err     error
	}{
		"forgotten, in a kept root": {op: first, applied: true},
		"forgotten commit":          {op: committedOp, applied: true},
		"never applied":             {op: never},
		"too old":                   {op: old, err: ErrForgotten},
	} {
		out, err := Settle(ctx, d, c.op)
		if out.Applied != c.applied || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	if out, err := d.Settle(ctx, committedOp); err != nil || len(out.Moved) != 1 || out.Moved[0].Commit != committed.ID {
		t.Errorf("commit: %+v, %v", out, err)
	}
	checkStore(t, objects)
}

// TestSettleWithoutKeptRoots finds a commit by its history alone, and does not
// guess about what left no commit.
func TestSettleWithoutKeptRoots(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	ctx := ownerCtx(t)
	move(t, d, CreateRepo{Repo: "a"})
	committed := mustPut(t, d, "main", "f", "text")
	never, _ := d.NewOp()
	for i := range OpsMax + 1 {
		move(t, d, CreateBranch{Repo: "a", Branch: fmt.Sprint("b", i)})
	}
	for info, err := range objects.List(ctx, "roots/", "") {
		if err != nil {
			t.Fatal(err)
		}
		if err := objects.Delete(ctx, info.Key); err != nil {
			t.Fatal(err)
		}
	}
	op, _ := ParseOpID(committed.Commit.Op)
	if out, err := d.Settle(ctx, op); err != nil || !out.Applied || out.Moved[0].Commit != committed.ID {
		t.Errorf("commit: %+v, %v", out, err)
	}
	if out, err := d.Settle(ctx, never); !errors.Is(err, ErrForgotten) {
		t.Errorf("nothing is known of it: %+v, %v", out, err)
	}
}

// TestDiskFails lets the sync of the root's folder fail after the root was
// replaced: visible is not durable, so the outcome is unknown, until another
// swap has gone through.
func TestDiskFails(t *testing.T) {
	objects := mem.New(mem.Options{})
	move(t, newDirect(t, objects, 1), CreateRepo{Repo: "a"})
	failed := fmt.Errorf("%w: %w", objstore.ErrUnknownOutcome, syscall.EIO)
	d := faulty(t, objects, time.Hour, onRoot(1, fault.Effect{Err: failed, Apply: true}))
	_, err := put(ownerCtx(t), d, CommitOptions{Op: fixedOp(1)}, "f", "x")
	if !errors.Is(err, ErrUnknown) || !errors.Is(err, syscall.EIO) {
		t.Fatalf("a disk that failed: %v", err)
	}
	again := openDirect(t, objects, 3)
	before, _ := again.Root(ownerCtx(t))
	out, err := again.Settle(ownerCtx(t), fixedOp(1))
	if err != nil || !out.Applied {
		t.Errorf("settled: %+v, %v", out, err)
	}
	if after, _ := again.Root(ownerCtx(t)); after.Gen != before.Gen+1 {
		t.Errorf("generation %d after %d: said to be applied without another swap", after.Gen, before.Gen)
	}
}

// TestDiskFailsBefore lets the copy of the root fail: nothing was changed, and
// that is certain.
func TestDiskFailsBefore(t *testing.T) {
	objects := mem.New(mem.Options{})
	move(t, newDirect(t, objects, 1), CreateRepo{Repo: "a"})
	failed := fmt.Errorf("%w: %w", objstore.ErrUnknownOutcome, syscall.EIO)
	d := faulty(t, objects, time.Hour, func(c fault.Call) fault.Effect {
		if c.Kind == fault.Put && strings.HasPrefix(c.Key, "roots/") {
			return fault.Effect{Err: failed, Apply: true}
		}
		return fault.Effect{}
	})
	_, err := put(ownerCtx(t), d, CommitOptions{}, "f", "x")
	if errors.Is(err, ErrUnknown) || !errors.Is(err, syscall.EIO) || objstore.OutcomeOf(err) != objstore.OutcomeFailed {
		t.Errorf("%v", err)
	}
	if n := countLog(t, openDirect(t, objects, 3), "a"); n != 0 {
		t.Errorf("%d versions", n)
	}
}
