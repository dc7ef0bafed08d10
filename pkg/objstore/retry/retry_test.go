package retry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/objstore/objstoretest"
	"github.com/dvx-io/dvx/pkg/objstore/retry"
)

func noWait(ctx context.Context, _ time.Duration) error { return ctx.Err() }

func TestStore(t *testing.T) {
	objstoretest.Run(t, func(*testing.T) objstore.Store {
		return retry.New(mem.New(mem.Options{}), retry.Options{Sleep: noWait})
	})
}

// TestStoreThatThrottles: a fifth of all calls asks to slow down and nobody
// above notices.
func TestStoreThatThrottles(t *testing.T) {
	objstoretest.Run(t, func(*testing.T) objstore.Store {
		return retry.New(fault.New(mem.New(mem.Options{}), fault.Options{
			Plan: fault.Random(1, fault.Rates{Throttled: 0.2}),
		}), retry.Options{Sleep: noWait})
	})
}

// script gives the n-th call the n-th effect and lets the rest through.
func script(effects ...fault.Effect) fault.Plan {
	return func(c fault.Call) fault.Effect {
		if c.N <= len(effects) {
			return effects[c.N-1]
		}
		return fault.Effect{}
	}
}

func TestPut(t *testing.T) {
	throttled := fault.Effect{Err: objstore.ErrThrottled}
	lost := fault.Effect{Err: objstore.ErrUnknownOutcome}
	applied := fault.Effect{Err: objstore.ErrUnknownOutcome, Apply: true}
	full := fault.Effect{Err: syscall.ENOSPC}
	const absent, swap, always = "absent", "swap", "always"
	tests := []struct {
		name    string
		cond    string
		before  string // what the key holds; "" for absent
		effects []fault.Effect
		want    objstore.Outcome
		calls   int
		after   string
	}{
		{"throttled", absent, "", []fault.Effect{throttled, throttled}, objstore.OutcomeOK, 3, "new"},
		{"throttled swap", swap, "old", []fault.Effect{throttled}, objstore.OutcomeOK, 2, "new"},
		{"definite", absent, "", []fault.Effect{full}, objstore.OutcomeFailed, 1, ""},
		{"lost", absent, "", []fault.Effect{lost}, objstore.OutcomeOK, 2, "new"},
		{"applied", absent, "", []fault.Effect{applied}, objstore.OutcomeOK, 3, "new"},
		{"applied, then lost", absent, "", []fault.Effect{applied, lost, throttled}, objstore.OutcomeOK, 5, "new"},
		{"taken", absent, "old", nil, objstore.OutcomePrecondition, 1, "old"},
		{"taken by others", absent, "old", []fault.Effect{lost}, objstore.OutcomePrecondition, 3, "old"},
		{"taken by others, same size", absent, "NEW", []fault.Effect{lost}, objstore.OutcomePrecondition, 3, "NEW"},
		{"taken by a twin, surely", absent, "new", []fault.Effect{throttled}, objstore.OutcomePrecondition, 2, "new"},
		{"comparison fails", absent, "", []fault.Effect{applied, {}, full}, objstore.OutcomeUnknown, 3, "new"},
		{"lost, then definite", absent, "", []fault.Effect{lost, full}, objstore.OutcomeUnknown, 2, ""},
		{"unknown swap", swap, "old", []fault.Effect{lost}, objstore.OutcomeUnknown, 1, "old"},
		{"applied swap", swap, "old", []fault.Effect{applied}, objstore.OutcomeUnknown, 1, "new"},
		{"unconditional", always, "old", []fault.Effect{lost, applied}, objstore.OutcomeOK, 3, "new"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inner := mem.New(mem.Options{})
			var c objstore.Condition
			if tt.before != "" {
				info, err := inner.Put(t.Context(), "k", objstore.Bytes([]byte(tt.before)), c)
				if err != nil {
					t.Fatal(err)
				}
				if tt.cond == swap {
					c.IfVersion = info.Version
				}
			}
			c.IfAbsent = tt.cond == absent
			f := fault.New(inner, fault.Options{Plan: script(tt.effects...)})
			info, err := retry.New(f, retry.Options{Sleep: noWait}).Put(t.Context(), "k", objstore.Bytes([]byte("new")), c)
			if got := objstore.OutcomeOf(err); got != tt.want {
				t.Errorf("outcome %d, want %d: %v", got, tt.want, err)
			}
			if err == nil && (info.Size != 3 || info.Version == "") {
				t.Errorf("info %+v", info)
			}
			if f.Count() != tt.calls {
				t.Errorf("%d calls, want %d", f.Count(), tt.calls)
			}
			b, _, err := objstore.ReadAll(t.Context(), inner, "k", objstore.Range{}, 10)
			if string(b) != tt.after || (err != nil) != (tt.after == "") {
				t.Errorf("left %q, %v, want %q", b, err, tt.after)
			}
		})
	}
}

// TestWaits checks the waits on a fake clock: full jitter under a doubling
// ceiling, and the end at the deadline with the last kind of error.
func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fault.New(mem.New(mem.Options{}), fault.Options{Plan: fault.Random(1, fault.Rates{Throttled: 1})})
		var waits []time.Duration
		s := retry.New(f, retry.Options{Seed: 7, Notify: func(op, key string, attempt int, err error, wait time.Duration) {
			if op != "stat" || key != "k" || attempt != len(waits)+1 || !errors.Is(err, objstore.ErrThrottled) {
				t.Errorf("notified of %s %s, attempt %d, %v", op, key, attempt, err)
			}
			waits = append(waits, wait)
		}})
		start := time.Now()
		_, err := s.Stat(t.Context(), "k")
		if !errors.Is(err, objstore.ErrThrottled) {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 5*time.Minute || took < 5*time.Minute-5*time.Second {
			t.Errorf("gave up after %v", took)
		}
		ceiling, sum := 50*time.Millisecond, time.Duration(0)
		for i, w := range waits {
			if w < 0 || w > ceiling {
				t.Errorf("wait %d is %v, ceiling %v", i+1, w, ceiling)
			}
			sum += w
			ceiling = min(2*ceiling, 5*time.Second)
		}
		if mean := sum / time.Duration(len(waits)); mean < 1500*time.Millisecond || mean > 3500*time.Millisecond {
			t.Errorf("mean of %d waits is %v", len(waits), mean)
		}
	})
}

func TestCancelledWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fault.New(mem.New(mem.Options{}), fault.Options{Plan: fault.Random(1, fault.Rates{Throttled: 1})})
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		start := time.Now()
		err := retry.New(f, retry.Options{}).Delete(ctx, "k")
		if !errors.Is(err, objstore.ErrThrottled) || !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != 10*time.Second {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// breaking is a store whose bodies break off after some bytes, and whose lists
// after some objects.
type breaking struct {
	objstore.Store
	after    int
	onBreak  func()
	requests int
}

func (b *breaking) Get(ctx context.Context, key string, r objstore.Range) (io.ReadCloser, objstore.Info, error) {
	b.requests++
	rc, info, err := b.Store.Get(ctx, key, r)
	if err != nil {
		return nil, info, err
	}
	return &brokenBody{rc, b.after, b.onBreak}, info, nil
}

type brokenBody struct {
	io.ReadCloser
	left    int
	onBreak func()
}

func (b *brokenBody) Read(p []byte) (int, error) {
	if b.left == 0 {
		if b.onBreak != nil {
			b.onBreak()
		}
		return 0, syscall.ECONNRESET
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

func (b *breaking) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		n := 0
		for info, err := range b.Store.List(ctx, prefix, after) {
			if n == b.after {
				yield(objstore.Info{}, objstore.ErrUnknownOutcome)
				return
			}
			n++
			if !yield(info, err) {
				return
			}
		}
	}
}

func TestBodyContinues(t *testing.T) {
	inner := mem.New(mem.Options{})
	want := bytes.Repeat([]byte("0123456789"), 10)
	if _, err := inner.Put(t.Context(), "k", objstore.Bytes(want), objstore.Condition{}); err != nil {
		t.Fatal(err)
	}
	for _, r := range []objstore.Range{{}, {Offset: 13}, {Offset: -31}, {Offset: 5, Length: 44}, {Offset: -20, Length: 9}} {
		b := &breaking{Store: inner, after: 7}
		got, _, err := objstore.ReadAll(t.Context(), retry.New(b, retry.Options{Sleep: noWait}), "k", r, 1000)
		start, length, _ := r.Resolve(100)
		if err != nil || !bytes.Equal(got, want[start:start+length]) {
			t.Errorf("%+v: %q, %v", r, got, err)
		}
		if atLeast := (int(length) + 6) / 7; b.requests < atLeast || b.requests > atLeast+1 {
			t.Errorf("%+v: %d requests", r, b.requests)
		}
	}
}

func TestBodyOfAReplacedObjectEnds(t *testing.T) {
	inner := mem.New(mem.Options{})
	put := func(body string) {
		if _, err := inner.Put(t.Context(), "k", objstore.Bytes([]byte(body)), objstore.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	put("old old old")
	b := &breaking{Store: inner, after: 4, onBreak: func() { put("new new new") }}
	got, _, err := objstore.ReadAll(t.Context(), retry.New(b, retry.Options{Sleep: noWait}), "k", objstore.Range{}, 100)
	if !errors.Is(err, objstore.ErrUnknownOutcome) {
		t.Errorf("read %q, %v", got, err)
	}
}

func TestListContinues(t *testing.T) {
	inner := mem.New(mem.Options{})
	for i := range 23 {
		if _, err := inner.Put(t.Context(), fmt.Sprintf("k%02d", i), objstore.Bytes(nil), objstore.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	s := retry.New(&breaking{Store: inner, after: 5}, retry.Options{Sleep: noWait})
	n := 0
	for info, err := range s.List(t.Context(), "k", "k02") {
		if err != nil || info.Key != fmt.Sprintf("k%02d", n+3) {
			t.Fatalf("object %d: %+v, %v", n, info, err)
		}
		n++
	}
	if n != 20 {
		t.Errorf("%d objects, want 20", n)
	}
}
