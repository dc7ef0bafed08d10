package kube

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/dvx-io/dvx/pkg/pipeline/lease"
)

// How often the Pods are looked at: while there is work, or Pods; and else.
const (
	lookBusy = time.Second
	lookIdle = 15 * time.Second
	lookSoon = 50 * time.Millisecond // after a change, so that many changes are one look
)

// patience is how long a Pod may be in trouble that waiting could mend, such as
// a registry that does not answer, before the tasks that wait are ended.
const patience = 30 * time.Second

// failuresMax is how many Pods of a pool may fail one after the other before the
// tasks that wait are ended.
const failuresMax = 5

// Keep starts and ends worker Pods as there is work for them, until ctx ends.
// Pods that a former daemon of this store left are found again.
func (r *Runner) Keep(ctx context.Context) error {
	for {
		_, changed := r.o.Board.Demand()
		r.o.Board.Expire()
		work, err := r.look(ctx)
		if err != nil && ctx.Err() == nil {
			r.o.Log.Warn("the cluster can't be asked for worker Pods", "error", err)
		}
		wait := lookIdle
		if work || err != nil {
			wait = lookBusy
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		case <-changed:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(lookSoon):
			}
		}
	}
}

// look makes the Pods be those that the demand asks for, and reports whether
// there are any, or is any demand.
func (r *Runner) look(ctx context.Context) (bool, error) {
	workers := r.o.Board.Workers()
	list, err := r.o.API.ListPods(ctx, LabelDaemon, r.o.Pod.Daemon)
	if err != nil {
		return false, err
	}
	for _, id := range workers {
		if !slices.ContainsFunc(list, func(p corev1.Pod) bool { return string(p.UID) == id }) {
			r.o.Board.Lost(id, "the worker's Pod was deleted")
		}
	}
	live := map[lease.Pool][]*corev1.Pod{}
	worst := map[lease.Pool]Trouble{}
	for i := range list {
		p := &list[i]
		name := lease.Pool(p.Labels[LabelPool])
		t := Diagnose(p)
		if t.Over() {
			r.over(ctx, p, t)
			continue
		}
		if t.Class == Leaving {
			r.o.Board.Leave(string(p.UID))
			continue
		}
		if t.Class != None && t.Class != Waiting {
			worst[name] = t
		}
		live[name] = append(live[name], p)
	}
	demand, _ := r.o.Board.Demand() // after those that were lost
	r.mu.Lock()
	known := slices.Concat(slices.Collect(maps.Keys(live)), slices.Collect(maps.Keys(r.pools)))
	r.mu.Unlock()
	for _, name := range known {
		if _, ok := demand[name]; !ok {
			demand[name] = lease.Demand{}
		}
	}
	for name, d := range demand {
		if err := r.tend(ctx, name, d, live[name], worst[name]); err != nil {
			return true, err
		}
	}
	return len(list)+len(demand) > 0, nil
}

// over gives the worker of a Pod up that will never work again, and removes
// what is left of it.
func (r *Runner) over(ctx context.Context, p *corev1.Pod, t Trouble) {
	if r.o.Board.Leased(string(p.UID)) > 0 {
		r.o.Log.Info("a worker Pod has ended while it had work", "pod", p.Name, "why", t.Text)
	}
	r.o.Board.Lost(string(p.UID), t.Text)
	if t.Class == AgentFailed {
		r.fail(lease.Pool(p.Labels[LabelPool]), t)
	}
	if p.DeletionTimestamp == nil {
		r.remove(ctx, p)
	}
}

func (r *Runner) remove(ctx context.Context, p *corev1.Pod) {
	err := r.o.API.DeletePod(ctx, p.Name, p.UID)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		r.o.Log.Warn("a worker Pod can't be deleted", "pod", p.Name, "error", err)
	}
}

// fail counts a Pod of ours that failed.
func (r *Runner) fail(name lease.Pool, t Trouble) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p := r.pools[name]; p != nil {
		p.failed++
		p.trouble, p.since = t, r.o.Now()
	}
}

// tend looks after one pool.
func (r *Runner) tend(ctx context.Context, name lease.Pool, d lease.Demand, live []*corev1.Pod, t Trouble) error {
	now := r.o.Now()
	r.mu.Lock()
	p := r.pools[name]
	if p == nil { // of a former daemon: it goes unless there is work for it
		p = &pool{}
		r.pools[name] = p
	}
	busy := d.Waiting+d.Leased > 0
	switch {
	case busy:
		p.idle = time.Time{}
	case p.idle.IsZero():
		p.idle = now
	}
	if d.Workers > 0 {
		p.failed = 0
	}
	p.note(t, d, now)
	give, why := p.hopeless(now), p.trouble.Text
	idle := !busy && now.Sub(p.idle) >= r.o.Idle
	if idle && len(live) == 0 {
		delete(r.pools, name)
	}
	pod := p.pod
	r.mu.Unlock()
	switch {
	case give && d.Waiting > 0:
		r.o.Board.Refuse(name, why)
		r.end(ctx, live)
		return nil
	case idle:
		r.end(ctx, live)
		return nil
	case !busy || pod.Pipeline == "":
		return nil
	}
	for range min(r.o.Pods, d.Waiting+d.Leased) - len(live) {
		if err := r.start(ctx, name, pod); err != nil {
			return err
		}
	}
	return nil
}

// note remembers the trouble of a pool, and since when it has had it.
func (p *pool) note(t Trouble, d lease.Demand, now time.Time) {
	switch {
	case d.Workers > 0 || (t.Class == None && p.failed == 0 && !p.trouble.refused()):
		p.trouble, p.since = Trouble{}, time.Time{}
	case t.Class != None && t.Class != p.trouble.Class:
		p.trouble, p.since = t, now
	case t.Class != None:
		p.trouble = t
	}
}

// refused reports whether the cluster did not let a Pod be made.
func (t Trouble) refused() bool { return t.Class == Refused }

// hopeless reports whether waiting is of no use any more.
func (p *pool) hopeless(now time.Time) bool {
	switch p.trouble.Class {
	case NoImage, BadPod, Refused:
		return now.Sub(p.since) >= patience
	case AgentFailed:
		return p.failed >= failuresMax
	default:
		return false
	}
}

// end lets workers finish, and go.
func (r *Runner) end(ctx context.Context, pods []*corev1.Pod) {
	for _, p := range pods {
		if p.DeletionTimestamp == nil {
			r.o.Board.Leave(string(p.UID))
			r.remove(ctx, p)
		}
	}
}

// start makes one Pod.
func (r *Runner) start(ctx context.Context, name lease.Pool, o PodOptions) error {
	var suffix [4]byte
	if _, err := io.ReadFull(r.o.Rand, suffix[:]); err != nil {
		return fmt.Errorf("name a worker Pod: %w", err)
	}
	o.Name = fmt.Sprintf("dvx-%s-%s", name, hex.EncodeToString(suffix[:]))
	pod, err := BuildPod(o)
	if err != nil {
		return err
	}
	err = r.o.API.CreatePod(ctx, pod)
	if err == nil {
		return nil
	}
	if apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsNotFound(err) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if p := r.pools[name]; p != nil && p.trouble.Class != Refused {
			p.trouble, p.since = Trouble{Refused, "the cluster refuses the worker Pod: " + oneLine(err.Error())}, r.o.Now()
		}
		return nil
	}
	return fmt.Errorf("make worker Pod %s: %w", o.Name, err)
}
