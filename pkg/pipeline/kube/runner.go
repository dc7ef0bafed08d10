package kube

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/lease"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Options configures a [Runner].
type Options struct {
	API    API
	Board  *lease.Board
	Images *Images
	Pod    PodOptions       // what all worker Pods have in common
	Pods   int              // of one pool at once; 4 by default
	Idle   time.Duration    // after which Pods without work go; one minute by default
	Now    func() time.Time //
	Rand   io.Reader        // of Pods' names
	Log    *slog.Logger     //
}

// Runner runs tasks in worker Pods. It implements [task.Runner] for pipelines
// with an image.
type Runner struct {
	o Options

	mu    sync.Mutex
	pools map[lease.Pool]*pool
}

// pool is what the Pods of a pool are made of, and how they fare.
type pool struct {
	pod     PodOptions
	idle    time.Time // since when there has been nothing to do; zero: there is
	trouble Trouble
	since   time.Time // of the trouble
	failed  int       // Pods that ended before any did a task's work, one after the other
}

var _ task.Runner = (*Runner)(nil)

// slotsPerPod is how many tasks are offered for each Pod: what it runs, what it
// prepares, and enough that it never waits for the engine.
const slotsPerPod = 8

// New makes a runner. Pods come and go while [Runner.Keep] runs.
func New(o Options) (*Runner, error) {
	if o.API == nil || o.Board == nil || o.Images == nil || o.Now == nil || o.Rand == nil || o.Log == nil {
		return nil, fmt.Errorf("runner in Pods needs a cluster, a board, images, a clock, names and a log: %w", fs.ErrInvalid)
	}
	if o.Pods == 0 {
		o.Pods = 4
	}
	if o.Idle == 0 {
		o.Idle = time.Minute
	}
	return &Runner{o: o, pools: map[lease.Pool]*pool{}}, nil
}

// Slots implements [task.Runner].
func (r *Runner) Slots() int { return slotsPerPod * r.o.Pods }

// Runtime implements [task.Runner]: the digest that the image's reference
// stands for now.
func (r *Runner) Runtime(ctx context.Context, t spec.Transform, _ tree.Root, _ chunk.Reader) (memo.Runtime, error) {
	i, err := r.o.Images.Resolve(ctx, t.Image)
	if err != nil {
		return memo.Runtime{}, err
	}
	if len(t.Cmd) == 0 && len(i.Command) == 0 {
		return memo.Runtime{}, fmt.Errorf("image %s has no command of its own; say one as cmd: %w", t.Image, fs.ErrInvalid)
	}
	return memo.Runtime{Image: i.Digest}, nil
}

// Run implements [task.Runner].
func (r *Runner) Run(ctx context.Context, t task.Task, s chunk.Store) (task.Result, error) {
	i, err := r.o.Images.At(ctx, t.Transform.Image, t.Runtime.Image)
	if err != nil {
		return task.Result{}, err
	}
	p := r.o.Pod
	p.Pipeline, p.Image, p.Requests, p.Limits = t.Pipeline, i.Ref, t.Requests, t.Limits
	if len(t.Transform.Cmd) == 0 {
		p.WorkingDir = i.WorkingDir
	}
	t.Transform = i.Fill(t.Transform)
	if p.Pool, err = poolOf(p); err != nil {
		return task.Result{}, err
	}
	r.mu.Lock()
	if r.pools[p.Pool] == nil {
		r.pools[p.Pool] = &pool{pod: p}
	}
	r.mu.Unlock()
	return r.o.Board.Run(ctx, p.Pool, t, s)
}

// poolOf names the pool of a Pod by all that it is made of, so that workers of
// another release, or another daemon's, are never taken for its own.
func poolOf(p PodOptions) (lease.Pool, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return "", fmt.Errorf("name the pool of pipeline %s: %w", p.Pipeline, err)
	}
	sum := sha256.Sum256(b)
	return lease.Pool(hex.EncodeToString(sum[:8])), nil
}

// Trouble returns what keeps the Pods of a pipeline from running, in words, or
// "" if nothing does.
func (r *Runner) Trouble(pipeline string) string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.pools {
		if p.pod.Pipeline == pipeline && p.trouble.Text != "" {
			return p.trouble.Text
		}
	}
	return ""
}

// podUIDExtra and podNameExtra are what a token that is bound to a Pod says of
// it.
const (
	podNameExtra = "authentication.kubernetes.io/pod-name"
	podUIDExtra  = "authentication.kubernetes.io/pod-uid"
)

// Prove returns the worker whose Pod a token is bound to: a Pod that is there
// now, under that UID, and works for this daemon. Else it fails with
// auth.ErrUnauthenticated, or if the cluster can't be asked with its error.
func (r *Runner) Prove(ctx context.Context, proof string) (lease.Worker, error) {
	status, err := r.o.API.ReviewToken(ctx, proof, Audience)
	if err != nil {
		return lease.Worker{}, fmt.Errorf("review the token of a worker: %w", err)
	}
	names, uids := status.User.Extra[podNameExtra], status.User.Extra[podUIDExtra]
	if !status.Authenticated || len(names) != 1 || len(uids) != 1 {
		return lease.Worker{}, fmt.Errorf("the token is no worker's: %w", auth.ErrUnauthenticated)
	}
	pod, err := r.o.API.GetPod(ctx, names[0])
	if apierrors.IsNotFound(err) {
		return lease.Worker{}, fmt.Errorf("the Pod %s of a worker is gone: %w", names[0], auth.ErrUnauthenticated)
	}
	if err != nil {
		return lease.Worker{}, fmt.Errorf("look at Pod %s of a worker: %w", names[0], err)
	}
	if string(pod.UID) != uids[0] || pod.Labels[LabelDaemon] != r.o.Pod.Daemon || pod.DeletionTimestamp != nil {
		return lease.Worker{}, fmt.Errorf("the Pod %s is no worker of this daemon: %w", names[0], auth.ErrUnauthenticated)
	}
	return lease.Worker{ID: uids[0], Pool: lease.Pool(pod.Labels[LabelPool])}, nil
}
