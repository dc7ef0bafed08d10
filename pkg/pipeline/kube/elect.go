package kube

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	coordv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Times of a lease, those that Kubernetes' own parts use: how long it holds
// without being renewed, how long its holder may fail to renew it before he
// stops, and how often it is looked at.
const (
	leaseHolds  = 15 * time.Second
	leaseGiveUp = 10 * time.Second
	leaseEvery  = 2 * time.Second
)

// ErrLost is the error of a daemon that does not lead any more.
var ErrLost = errors.New("the lease of who leads was lost")

// Leases is the few requests about leases that an election makes. Errors are
// those of Kubernetes' API.
type Leases interface {
	// GetLease returns a lease.
	GetLease(ctx context.Context, namespace, name string) (*coordv1.Lease, error)
	// CreateLease makes a lease, unless there is one.
	CreateLease(ctx context.Context, l *coordv1.Lease) (*coordv1.Lease, error)
	// UpdateLease replaces the version of a lease that l came from.
	UpdateLease(ctx context.Context, l *coordv1.Lease) (*coordv1.Lease, error)
}

// Election decides which of several daemons leads. It is for liveness alone:
// clocks that go wrong may let two lead for a while, of whom the store lets one
// publish.
type Election struct {
	API       Leases
	Namespace string
	Name      string // of the lease
	Identity  string // of this daemon, unlike all others'
	Now       func() time.Time
	After     func(time.Duration) <-chan time.Time // nil: time.After
	Log       *slog.Logger

	held *coordv1.Lease // as it was seen last; nil: never, or there is none
	seen time.Time      // when it was first seen so, by this daemon's clock
}

// Lead waits until this daemon leads, then runs do, whose context ends when it
// leads no more, and gives the lease back when do has returned. It fails with
// ErrLost if somebody else leads by then, and returns nil if ctx ended while it
// waited. It must be called once.
func (e *Election) Lead(ctx context.Context, do func(context.Context) error) error {
	if e.API == nil || e.Namespace == "" || e.Name == "" || e.Identity == "" || e.Now == nil || e.Log == nil {
		return fmt.Errorf("election needs a cluster, a lease, a name, a clock and a log: %w", fs.ErrInvalid)
	}
	if e.After == nil {
		e.After = time.After
	}
	e.Log.Info("waiting for the lease of who leads", "lease", e.Namespace+"/"+e.Name, "as", e.Identity)
	for !e.try(ctx) {
		select {
		case <-ctx.Done():
			return nil
		case <-e.After(leaseEvery):
		}
	}
	e.Log.Info("this daemon leads", "as", e.Identity)
	leading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	renewed := make(chan struct{})
	go func() {
		defer close(renewed)
		e.renew(leading, stop)
	}()
	err := do(leading)
	lost := errors.Is(context.Cause(leading), ErrLost)
	stop(nil)
	<-renewed
	if lost {
		return errors.Join(fmt.Errorf("%s: %w", e.Identity, ErrLost), err)
	}
	e.release(context.WithoutCancel(ctx))
	return err
}

// renew holds the lease until ctx ends, or stops the rest when it can't.
func (e *Election) renew(ctx context.Context, stop context.CancelCauseFunc) {
	last := e.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.After(leaseEvery):
		}
		switch mine := e.try(ctx); {
		case ctx.Err() != nil:
			return
		case mine:
			last = e.Now()
		case e.others() || e.Now().Sub(last) >= leaseGiveUp:
			stop(ErrLost)
			return
		}
	}
}

// others reports whether the lease, as it was seen last, is somebody else's.
func (e *Election) others() bool {
	return e.held != nil && holder(e.held) != "" && holder(e.held) != e.Identity
}

// try takes or renews the lease, and reports whether it is this daemon's now.
func (e *Election) try(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, leaseGiveUp/2)
	defer cancel()
	l, err := e.API.GetLease(ctx, e.Namespace, e.Name)
	switch {
	case apierrors.IsNotFound(err):
		l, err = e.API.CreateLease(ctx, e.claim(nil, e.Now()))
		e.note(l, err)
	case err == nil:
		e.note(l, nil)
		if !e.free(e.Now()) {
			return false
		}
		l, err = e.API.UpdateLease(ctx, e.claim(l, e.Now()))
		e.note(l, err)
	}
	if err != nil && ctx.Err() == nil && !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) {
		e.Log.Warn("the lease of who leads can't be taken", "error", err)
	}
	return err == nil
}

// note remembers a lease, and since when it is as it is.
func (e *Election) note(l *coordv1.Lease, err error) {
	if err != nil || l == nil {
		return
	}
	if e.held == nil || e.held.ResourceVersion != l.ResourceVersion {
		e.seen = e.Now()
	}
	e.held = l
}

// free reports whether the lease that was seen last may be taken: it is this
// daemon's or nobody's, or its holder has not renewed it for as long as it
// holds. The time is from when it was seen: clocks of others are not believed.
func (e *Election) free(now time.Time) bool {
	return !e.others() || now.Sub(e.seen) >= leaseHolds
}

// claim returns a lease of this daemon's, which follows l.
func (e *Election) claim(l *coordv1.Lease, now time.Time) *coordv1.Lease {
	at, seconds, took := metav1.NewMicroTime(now), int32(leaseHolds/time.Second), int32(0)
	next := &coordv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: e.Namespace, Name: e.Name}}
	next.Spec.AcquireTime, next.Spec.LeaseTransitions = &at, &took
	if l != nil {
		next = l.DeepCopy()
		if holder(l) != e.Identity {
			if l.Spec.LeaseTransitions != nil {
				took = *l.Spec.LeaseTransitions + 1
			}
			next.Spec.AcquireTime, next.Spec.LeaseTransitions = &at, &took
		}
	}
	next.Spec.HolderIdentity, next.Spec.RenewTime, next.Spec.LeaseDurationSeconds = &e.Identity, &at, &seconds
	return next
}

// release gives the lease back, so that another need not wait.
func (e *Election) release(ctx context.Context) {
	if e.held == nil || holder(e.held) != e.Identity {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, leaseEvery)
	defer cancel()
	nobody := ""
	l := e.held.DeepCopy()
	l.Spec.HolderIdentity = &nobody
	if _, err := e.API.UpdateLease(ctx, l); err != nil {
		e.Log.Warn("the lease of who leads can't be given back", "error", err)
	}
}

func holder(l *coordv1.Lease) string {
	if l.Spec.HolderIdentity == nil {
		return ""
	}
	return *l.Spec.HolderIdentity
}
