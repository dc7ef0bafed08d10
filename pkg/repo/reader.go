package repo

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
)

// Reader implements [Store]. The holder of the store's own credentials may
// read all of it; so of the scope only the repo is looked at.
func (d *Direct) Reader(ctx context.Context, s Scope) (chunk.Reader, error) {
	l, err := d.revalidate(ctx)
	if err != nil {
		return nil, err
	}
	if _, ok := l.root.Repos[s.Repo]; !ok {
		return nil, fmt.Errorf("repo %.80q: %w", s.Repo, ErrRepoNotFound)
	}
	return d.reader(ctx, l)
}

// ReadAny opens all chunks of the store.
func (d *Direct) ReadAny(ctx context.Context) (chunk.Reader, error) {
	l, err := d.load(ctx)
	if err != nil {
		return nil, err
	}
	return d.reader(ctx, l)
}

func (d *Direct) reader(ctx context.Context, l *loaded) (chunk.Reader, error) {
	snap, err := d.snapshot(ctx, l)
	if errors.Is(err, pack.ErrMissing) { // the root moved on and its old segments are gone
		if l, err = d.load(ctx); err == nil {
			snap, err = d.snapshot(ctx, l)
		}
	}
	if err != nil {
		return nil, err
	}
	return &reader{d: d, at: l, snap: snap}, nil
}

// reader reads chunks through one root, and through the root of the day when
// that one does not have a chunk, or has it no more.
type reader struct {
	d *Direct

	mu   sync.Mutex
	at   *loaded
	snap *pack.Snapshot
}

// Get implements chunk.Reader.
func (r *reader) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	r.mu.Lock()
	snap := r.snap
	r.mu.Unlock()
	b, err := snap.Get(ctx, kind, id)
	if err == nil || !errors.Is(err, chunk.ErrNotFound) && !errors.Is(err, pack.ErrMissing) {
		return b, err
	}
	newer, lerr := r.refresh(ctx, snap)
	if lerr != nil {
		return nil, errors.Join(err, lerr)
	}
	if newer == nil {
		return nil, expired(ctx, snap.Has, kind, id, err)
	}
	if b, err = newer.Get(ctx, kind, id); err != nil {
		return nil, expired(ctx, newer.Has, kind, id, err)
	}
	return b, nil
}

// GetMany implements chunk.BatchReader.
func (r *reader) GetMany(ctx context.Context, kind chunk.Kind, ids []chunk.ID, fn func(i int, plain []byte) error) error {
	r.mu.Lock()
	snap := r.snap
	r.mu.Unlock()
	return getMany(ctx, snap, r, kind, ids, fn)
}

// getMany is GetMany of known, and Get of newest for what known does not have:
// that may be in a newer root.
func getMany(ctx context.Context, known chunk.BatchReader, newest chunk.Reader, kind chunk.Kind, ids []chunk.ID, fn func(i int, plain []byte) error) error {
	given := make([]bool, len(ids))
	var own error // of fn, whatever it is about
	err := known.GetMany(ctx, kind, ids, func(i int, plain []byte) error {
		given[i] = true
		own = fn(i, plain)
		return own
	})
	if own != nil {
		return own
	}
	if err == nil || !errors.Is(err, chunk.ErrNotFound) && !errors.Is(err, pack.ErrMissing) {
		return err
	}
	for i, id := range ids {
		if given[i] {
			continue
		}
		plain, err := newest.Get(ctx, kind, id)
		if err != nil {
			return err
		}
		if err := fn(i, plain); err != nil {
			return err
		}
	}
	return nil
}

// refresh returns a snapshot of a newer root than that of old, or nil.
func (r *reader) refresh(ctx context.Context, old *pack.Snapshot) (*pack.Snapshot, error) {
	l, err := r.d.load(ctx)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.root.Gen <= r.at.root.Gen {
		if r.snap != old {
			return r.snap, nil // another call was faster
		}
		return nil, nil
	}
	snap, err := r.d.snapshot(ctx, l)
	if err != nil {
		return nil, err
	}
	r.at, r.snap = l, snap
	return snap, nil
}
