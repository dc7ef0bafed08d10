package fault_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/objstore/objstoretest"
)

func TestStoreWithoutFaults(t *testing.T) {
	objstoretest.Run(t, func(*testing.T) objstore.Store {
		return fault.New(mem.New(mem.Options{}), fault.Options{Record: true})
	})
}

// scenario writes three objects and replaces one; it stops at the first error.
func scenario(ctx context.Context, s objstore.Store) error {
	var root objstore.Info
	for i := range 3 {
		if _, err := s.Put(ctx, fmt.Sprintf("packs/%d", i), objstore.Bytes([]byte("pack body")), objstore.Condition{IfAbsent: true}); err != nil {
			return err
		}
		var err error
		c := objstore.Condition{IfAbsent: i == 0, IfVersion: root.Version}
		if root, err = s.Put(ctx, "root", objstore.Bytes(fmt.Appendf(nil, "root %d", i)), c); err != nil {
			return err
		}
		if _, err := s.Stat(ctx, "root"); err != nil {
			return err
		}
	}
	return s.Delete(ctx, "packs/0")
}

func bodies(t *testing.T, s objstore.Store) map[string]string {
	t.Helper()
	m := map[string]string{}
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := objstore.ReadAll(t.Context(), s, info.Key, objstore.Range{}, 100)
		if err != nil {
			t.Fatal(err)
		}
		m[info.Key] = string(b)
	}
	return m
}

// TestCrashPoints enumerates the crash points of a scenario and compares what
// is left with the same number of calls made without faults.
func TestCrashPoints(t *testing.T) {
	count := fault.New(mem.New(mem.Options{}), fault.Options{Record: true})
	if err := scenario(t.Context(), count); err != nil {
		t.Fatal(err)
	}
	calls := count.Calls()
	if len(calls) != 10 || count.Count() != 10 {
		t.Fatalf("%d calls: %+v", len(calls), calls)
	}
	states := make([]map[string]string, len(calls)+1) // after k calls
	for k := range states {
		s := fault.New(mem.New(mem.Options{}), fault.Options{Plan: fault.CrashAt(k+1, false)})
		if err := scenario(t.Context(), s); k < len(calls) && !errors.Is(err, fault.ErrCrashed) {
			t.Fatalf("crash at %d: %v", k+1, err)
		}
		if k < len(calls) {
			if _, err := s.Stat(t.Context(), "root"); !errors.Is(err, fault.ErrCrashed) || !s.Crashed() || s.Count() != k+1 {
				t.Fatalf("after the crash at %d: %v", k+1, err)
			}
			if objstore.OutcomeOf(fault.ErrCrashed) != objstore.OutcomeUnknown {
				t.Fatal("a crash is not unknown")
			}
		}
		s.Revive(nil)
		states[k] = bodies(t, s)
	}
	for k := 1; k <= len(calls); k++ {
		inner := mem.New(mem.Options{})
		s := fault.New(inner, fault.Options{Plan: fault.CrashAt(k, true)})
		if err := scenario(t.Context(), s); !errors.Is(err, fault.ErrCrashed) {
			t.Fatalf("crash at %d: %v", k, err)
		}
		if got := bodies(t, inner); !reflect.DeepEqual(got, states[k]) {
			t.Errorf("crash after call %d was applied: %v, want %v", k, got, states[k])
		}
		if calls[k-1].Writes() == reflect.DeepEqual(states[k-1], states[k]) {
			t.Errorf("call %d %+v changed: %v", k, calls[k-1], !calls[k-1].Writes())
		}
	}
}

func TestTornWrite(t *testing.T) {
	inner := mem.New(mem.Options{})
	s := fault.New(inner, fault.Options{Plan: fault.TearAt(1)})
	_, err := s.Put(t.Context(), "k", objstore.Bytes([]byte("whole body")), objstore.Condition{IfAbsent: true})
	if !errors.Is(err, fault.ErrCrashed) {
		t.Fatal(err)
	}
	if got := bodies(t, inner)["k"]; got != "whole" {
		t.Errorf("torn to %q", got)
	}
}

func TestRandomRatesAndRepetition(t *testing.T) {
	run := func(seed uint64) (map[objstore.Outcome]int, []objstore.Outcome) {
		s := fault.New(mem.New(mem.Options{}), fault.Options{Plan: fault.Random(seed, fault.Rates{
			Throttled: 0.1, Failed: 0.1, NotSent: 0.1, AckLost: 0.1,
		})})
		counts, trace := map[objstore.Outcome]int{}, []objstore.Outcome(nil)
		for i := range 4000 {
			_, err := s.Put(t.Context(), fmt.Sprintf("k%d", i), objstore.Bytes(nil), objstore.Condition{IfAbsent: true})
			o := objstore.OutcomeOf(err)
			counts[o]++
			trace = append(trace, o)
		}
		return counts, trace
	}
	counts, trace := run(1)
	for o, want := range map[objstore.Outcome]int{
		objstore.OutcomeOK: 2400, objstore.OutcomeThrottled: 400, objstore.OutcomeFailed: 400, objstore.OutcomeUnknown: 800,
	} {
		if got := counts[o]; got < want*8/10 || got > want*12/10 {
			t.Errorf("outcome %d: %d times, want about %d", o, got, want)
		}
	}
	if _, again := run(1); !reflect.DeepEqual(trace, again) {
		t.Error("one seed gave two runs")
	}
	if _, other := run(2); reflect.DeepEqual(trace, other) {
		t.Error("two seeds gave one run")
	}
}

func TestDamagedReads(t *testing.T) {
	const body = "0123456789"
	for name, tt := range map[string]struct {
		plan fault.Plan
		want string
	}{
		"flip":     {fault.Random(1, fault.Rates{FlipBit: 1}), "0123416789"},
		"truncate": {fault.Random(1, fault.Rates{Truncate: 1}), "01234"},
	} {
		s := fault.New(mem.New(mem.Options{}), fault.Options{Plan: tt.plan})
		if _, err := s.Put(t.Context(), "k", objstore.Bytes([]byte(body)), objstore.Condition{}); err != nil {
			t.Fatal(err)
		}
		b, _, err := objstore.ReadAll(t.Context(), s, "k", objstore.Range{}, 100)
		if err != nil || string(b) != tt.want {
			t.Errorf("%s: %q, %v, want %q", name, b, err, tt.want)
		}
	}
}

func TestDelay(t *testing.T) {
	var asked []time.Duration
	s := fault.New(mem.New(mem.Options{}), fault.Options{Delay: func(_ context.Context, c fault.Call) error {
		asked = append(asked, time.Duration(c.N)*time.Millisecond)
		if c.Kind == fault.Stat {
			return context.DeadlineExceeded
		}
		return nil
	}})
	if err := s.Delete(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Stat(t.Context(), "k"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if len(asked) != 2 {
		t.Errorf("delays %v", asked)
	}
}
