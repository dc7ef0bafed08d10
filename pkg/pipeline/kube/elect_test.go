package kube

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	coordv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// fakeLeases is an API server that has one lease.
type fakeLeases struct {
	mu      sync.Mutex
	lease   *coordv1.Lease
	version int
}

// voter is one daemon's way to it.
type voter struct {
	*fakeLeases
	cut atomic.Bool // it does not get there
}

var errCut = errors.New("no route to the API server")

var leaseResource = schema.GroupResource{Group: "coordination.k8s.io", Resource: "leases"}

func (v *voter) GetLease(context.Context, string, string) (*coordv1.Lease, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.cut.Load():
		return nil, errCut
	case v.lease == nil:
		return nil, apierrors.NewNotFound(leaseResource, "lead")
	}
	return v.lease.DeepCopy(), nil
}

func (v *voter) CreateLease(_ context.Context, l *coordv1.Lease) (*coordv1.Lease, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.cut.Load():
		return nil, errCut
	case v.lease != nil:
		return nil, apierrors.NewAlreadyExists(leaseResource, "lead")
	}
	return v.keep(l), nil
}

func (v *voter) UpdateLease(_ context.Context, l *coordv1.Lease) (*coordv1.Lease, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case v.cut.Load():
		return nil, errCut
	case l.ResourceVersion != v.lease.ResourceVersion:
		return nil, apierrors.NewConflict(leaseResource, "lead", errors.New("changed meanwhile"))
	}
	return v.keep(l), nil
}

// now returns the lease as it is.
func (f *fakeLeases) now() *coordv1.Lease {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.lease.DeepCopy()
}

func (v *voter) keep(l *coordv1.Lease) *coordv1.Lease {
	v.version++
	v.lease = l.DeepCopy()
	v.lease.ResourceVersion = strconv.Itoa(v.version)
	return v.lease.DeepCopy()
}

// candidate is a daemon that runs for it.
type candidate struct {
	*voter
	stop  context.CancelFunc
	leads atomic.Bool
	err   error
	over  chan struct{}
}

func (f *fakeLeases) run(name string) *candidate {
	ctx, stop := context.WithCancel(context.Background())
	c := &candidate{voter: &voter{fakeLeases: f}, stop: stop, over: make(chan struct{})}
	e := Election{API: c, Namespace: "dvx", Name: "lead", Identity: name, Now: time.Now, Log: slog.New(slog.DiscardHandler)}
	go func() {
		defer close(c.over)
		c.err = e.Lead(ctx, func(ctx context.Context) error {
			c.leads.Store(true)
			<-ctx.Done()
			c.leads.Store(false)
			return nil
		})
	}()
	return c
}

// One leads until it stops, and the next one need not wait for the lease to run
// out.
func TestElectionHandsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeLeases{}
		a := api.run("a")
		synctest.Wait()
		b := api.run("b")
		time.Sleep(time.Hour)
		if !a.leads.Load() || b.leads.Load() {
			t.Fatal("a was first, and is well")
		}
		a.stop()
		<-a.over
		time.Sleep(leaseEvery + time.Millisecond)
		if a.leads.Load() || !b.leads.Load() || a.err != nil {
			t.Errorf("a has given it back (%v), and b not taken it", a.err)
		}
		if n := *api.now().Spec.LeaseTransitions; n != 1 {
			t.Errorf("%d transitions", n)
		}
		b.stop()
		<-b.over
	})
}

// Who can't renew stops before another starts, whatever their clocks say.
func TestElectionLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeLeases{}
		a := api.run("a")
		synctest.Wait()
		b := api.run("b")
		time.Sleep(time.Minute)
		a.cut.Store(true)
		for !b.leads.Load() {
			time.Sleep(100 * time.Millisecond)
			if a.leads.Load() && b.leads.Load() {
				t.Fatal("two lead")
			}
		}
		<-a.over
		if !errors.Is(a.err, ErrLost) {
			t.Errorf("a: %v", a.err)
		}
		b.cut.Store(true) // for less than it may
		time.Sleep(leaseGiveUp / 2)
		b.cut.Store(false)
		time.Sleep(time.Minute)
		if !b.leads.Load() {
			t.Error("b gave up too soon")
		}
		b.stop()
		<-b.over
	})
}

// A lease that somebody else has taken is not fought for.
func TestElectionTaken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeLeases{}
		a := api.run("a")
		synctest.Wait()
		thief, at := "b", metav1.NewMicroTime(time.Now().Add(-time.Hour)) // by a clock that is behind
		l := api.now()
		l.Spec.HolderIdentity, l.Spec.RenewTime = &thief, &at
		a.mu.Lock()
		a.keep(l)
		a.mu.Unlock()
		<-a.over
		if !errors.Is(a.err, ErrLost) || holder(api.now()) != "b" {
			t.Errorf("a: %v; the lease is %s's", a.err, holder(api.now()))
		}
		c := api.run("c")
		time.Sleep(leaseHolds - time.Second)
		if c.leads.Load() {
			t.Error("c believes the clock of b")
		}
		time.Sleep(leaseEvery + time.Second)
		if !c.leads.Load() {
			t.Error("b is dead, and c does not lead")
		}
		c.stop()
		<-c.over
	})
}

// Who is stopped while it waits has not failed.
func TestElectionStopsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &fakeLeases{}
		a := api.run("a")
		a.cut.Store(true)
		synctest.Wait()
		a.stop()
		<-a.over
		if a.err != nil || a.leads.Load() {
			t.Errorf("%v", a.err)
		}
	})
	if err := (&Election{}).Lead(t.Context(), nil); err == nil {
		t.Error("an election of nothing")
	}
}
