package daemon

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io/fs"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/lease"
	"github.com/dvx-io/dvx/pkg/pipeline/local"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/rpc"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Remote runs the tasks of pipelines with an image, by workers elsewhere.
type Remote interface {
	task.Runner
	rpc.Workers

	// Keep looks after the workers until ctx ends.
	Keep(ctx context.Context) error

	// Trouble says in words what keeps the workers of a pipeline from running; ""
	// if nothing does.
	Trouble(pipeline string) string
}

// Site is what a Remote needs to know of its daemon.
type Site struct {
	Store   string       // the store's UUID
	Pin     string       // the public key by which workers know the daemon, hex
	Board   *lease.Board // on which tasks wait for workers
	Options Options
}

// openRemote makes the board and what looks after its workers, if this daemon
// has any.
func openRemote(store string, key auth.Key, o Options) (*lease.Board, Remote, error) {
	if o.Remote == nil || o.NoPipelines {
		return nil, nil, nil
	}
	board, err := lease.New(lease.Options{Now: time.Now, Rand: rand.Reader})
	if err != nil {
		return nil, nil, err
	}
	if o.TLSCert != "" {
		return nil, nil, fmt.Errorf("workers know the daemon by the certificate that it makes for itself; leave --tls-cert out, and end TLS for others before it: %w", fs.ErrInvalid)
	}
	remote, err := o.Remote(Site{Store: store, Pin: hex.EncodeToString(key.ServerKey()), Board: board, Options: o})
	if err != nil {
		return nil, nil, fmt.Errorf("prepare for workers elsewhere: %w", err)
	}
	return board, remote, nil
}

// tasks returns what runs the engine's tasks, nil if nothing does.
func (e *runningEngine) tasks() task.Runner {
	switch {
	case e.runner == nil:
		return nil
	case e.remote == nil:
		return e.runner
	default:
		return both{e.runner, e.remote}
	}
}

// both runs pipelines with an image elsewhere, and the others here.
type both struct {
	here      *local.Runner
	elsewhere Remote
}

func (b both) of(t spec.Transform) task.Runner {
	if t.Image != "" {
		return b.elsewhere
	}
	return b.here
}

// Runtime implements task.Runner.
func (b both) Runtime(ctx context.Context, t spec.Transform, code tree.Root, r chunk.Reader) (memo.Runtime, error) {
	return b.of(t).Runtime(ctx, t, code, r)
}

// Slots implements task.Runner.
func (b both) Slots() int { return b.here.Slots() + b.elsewhere.Slots() }

// Printed implements task.Teller: what workers elsewhere run is known when it is
// over.
func (b both) Printed(key memo.Key, attempt int, from int64, to []byte) (int, error) {
	return b.here.Printed(key, attempt, from, to)
}

// Run implements task.Runner.
func (b both) Run(ctx context.Context, t task.Task, s chunk.Store) (task.Result, error) {
	return b.of(t.Transform).Run(ctx, t, s)
}
