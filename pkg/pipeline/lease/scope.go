package lease

import (
	"context"
	"fmt"
	"io/fs"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// ErrScope is the error for a chunk that is no part of a task. It wraps
// fs.ErrPermission.
var ErrScope = fmt.Errorf("outside of the task: %w", fs.ErrPermission)

// namedMax bounds the chunks that one lease names, some 40 bytes each.
const namedMax = 8 << 20

// scope is what may be read, and named by what is written, through one lease.
type scope struct {
	mu    sync.Mutex
	named map[chunk.Ref]struct{}
}

// open names what a task is made of.
func (s *scope) open(t task.Task) {
	s.named = map[chunk.Ref]struct{}{}
	if !t.Code.ID.IsZero() {
		s.named[nodeRef(t.Code)] = struct{}{}
	}
	for _, in := range t.Inputs {
		for _, it := range in.Items {
			if it.Entry.Kind == tree.Dir {
				s.named[nodeRef(it.Entry.Dir)] = struct{}{}
			} else if ref, ok := it.Entry.Content.Ref(); ok {
				s.named[ref] = struct{}{}
			}
		}
	}
}

func nodeRef(r tree.Root) chunk.Ref { return chunk.Ref{Kind: chunk.Node, ID: chunk.ID(r.ID)} }

// allows fails with ErrScope unless all of the chunks are named.
func (s *scope) allows(refs ...chunk.Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range refs {
		if _, ok := s.named[r]; !ok {
			return fmt.Errorf("%v %s: %w", r.Kind, r.ID.Short(), ErrScope)
		}
	}
	return nil
}

// name allows chunks.
func (s *scope) name(refs ...chunk.Ref) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.named)+len(refs) > namedMax {
		return fmt.Errorf("a task of more than %d chunks: %w", namedMax, ErrScope)
	}
	for _, r := range refs {
		s.named[r] = struct{}{}
	}
	return nil
}

// names lists the chunks that a chunk names.
func names(kind chunk.Kind, b []byte) ([]chunk.Ref, error) {
	switch kind {
	case chunk.Data:
		return nil, nil
	case chunk.List:
		return chunk.ListRefs(b)
	case chunk.Node:
		return tree.NodeRefs(b)
	default:
		return nil, fmt.Errorf("%v is no part of a task: %w", kind, ErrScope)
	}
}

// Get implements [chunk.Reader]: what the lease's task is made of, and what was
// written through it.
func (o *offer) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	if err := o.scope.allows(chunk.Ref{Kind: kind, ID: id}); err != nil {
		return nil, err
	}
	b, err := o.store.Get(ctx, kind, id)
	if err != nil {
		return nil, err
	}
	refs, err := names(kind, b)
	if err != nil {
		return nil, err
	}
	return b, o.scope.name(refs...)
}

// put keeps a chunk that names nothing but what the lease's task is made of, or
// what was written through it before.
func (o *offer) put(ctx context.Context, kind chunk.Kind, data []byte) (chunk.ID, error) {
	refs, err := names(kind, data)
	if err == nil {
		err = o.scope.allows(refs...)
	}
	if err != nil {
		return chunk.ID{}, fmt.Errorf("refuse %v: %w", kind, err)
	}
	id, err := o.store.Put(ctx, kind, data)
	if err != nil {
		return id, err
	}
	return id, o.scope.name(chunk.Ref{Kind: kind, ID: id})
}

// offer returns what is leased to a worker under a token.
func (b *Board) offer(k Key, token uint64) (*offer, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m, err := b.member(k)
	if err != nil {
		return nil, err
	}
	o, ok := m.leases[token]
	if !ok {
		return nil, fmt.Errorf("lease %d: %w", token, ErrGone)
	}
	return o, nil
}

// Read returns a chunk of what a leased task is made of.
func (b *Board) Read(ctx context.Context, k Key, token uint64, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	o, err := b.offer(k, token)
	if err != nil {
		return nil, err
	}
	return o.Get(ctx, kind, id)
}

// Write keeps a chunk of what a leased task gives.
func (b *Board) Write(ctx context.Context, k Key, token uint64, kind chunk.Kind, data []byte) (chunk.ID, error) {
	o, err := b.offer(k, token)
	if err != nil {
		return chunk.ID{}, err
	}
	return o.put(ctx, kind, data)
}

// Report ends a lease with what came of its task: a result, or if failure is
// not empty why the worker could not run it. It fails with [ErrGone] if the
// lease has ended; nothing of it counts then. What can't be believed ends the
// lease as a failure of the worker.
func (b *Board) Report(ctx context.Context, k Key, token uint64, r task.Result, failure string) error {
	o, err := b.offer(k, token)
	if err != nil {
		return err
	}
	a := answer{result: r}
	switch {
	case failure != "":
		a.err = fmt.Errorf("the worker could not run it: %s", failure)
	default:
		a.err = o.believe(ctx, r)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	m, err := b.member(k)
	if err != nil {
		return err
	}
	if m.leases[token] != o {
		return fmt.Errorf("lease %d: %w", token, ErrGone)
	}
	delete(m.leases, token)
	o.done <- a
	b.wake()
	return nil
}

// believe fails unless a result names only what was written through the lease,
// and its output is what its entries make.
func (o *offer) believe(ctx context.Context, r task.Result) error {
	if ref, ok := r.Log.Ref(); ok {
		if err := o.scope.allows(ref); err != nil {
			return fmt.Errorf("the worker reported a log that it did not write: %w", err)
		}
	}
	if r.Outcome != task.Succeeded {
		return nil
	}
	if err := o.scope.allows(nodeRef(r.Output)); err != nil {
		return fmt.Errorf("the worker reported an output that it did not write: %w", err)
	}
	if err := tree.Verify(ctx, o, r.Output); err != nil {
		return fmt.Errorf("the worker reported a damaged output: %w", err)
	}
	return nil
}
