package fault

import (
	"context"
	"errors"
	"io"
	"runtime"
	"sync"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// Defect is a way in which a store violates the contract.
type Defect string

// The defects of Broken.
const (
	IgnoresConditions  Defect = "ignores conditions"
	InvertsConditions  Defect = "inverts conditions"
	RacesConditions    Defect = "checks conditions apart from writing"
	AcceptsAbsent      Defect = "accepts a version on an absent key"
	ReadsStaleReplicas Defect = "reads from replicas that lag"
)

// Defects returns every defect that Broken knows.
func Defects() []Defect {
	return []Defect{IgnoresConditions, InvertsConditions, RacesConditions, AcceptsAbsent, ReadsStaleReplicas}
}

// Broken wraps a good store so that it has the given defect.
func Broken(inner objstore.Store, d Defect) objstore.Store {
	b := &broken{Store: inner, defect: d}
	if d == ReadsStaleReplicas {
		return &stale{broken: b, old: map[string]replica{}}
	}
	return b
}

type broken struct {
	objstore.Store
	defect Defect
}

// Put implements objstore.Store, badly.
func (b *broken) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	if c == (objstore.Condition{}) {
		return b.Store.Put(ctx, key, body, c)
	}
	switch b.defect {
	case IgnoresConditions:
		c = objstore.Condition{}
	case InvertsConditions, RacesConditions:
		holds, err := b.holds(ctx, key, c)
		if err != nil {
			return objstore.Info{}, err
		}
		if holds == (b.defect == InvertsConditions) {
			return objstore.Info{}, objstore.ErrPrecondition
		}
		c = objstore.Condition{}
	case AcceptsAbsent:
		_, err := b.Stat(ctx, key)
		if c.IfVersion != "" && errors.Is(err, objstore.ErrNotFound) {
			c = objstore.Condition{}
		}
	case ReadsStaleReplicas: // writes well
	}
	return b.Store.Put(ctx, key, body, c)
}

// holds checks a condition and then lets others run, so that theirs hold too.
func (b *broken) holds(ctx context.Context, key string, c objstore.Condition) (bool, error) {
	info, err := b.Stat(ctx, key)
	absent := errors.Is(err, objstore.ErrNotFound)
	if err != nil && !absent {
		return false, err
	}
	const turns = 100 // enough for every racer to get here before one goes on
	for range turns {
		runtime.Gosched()
	}
	if c.IfAbsent {
		return absent, nil
	}
	return !absent && info.Version == c.IfVersion, nil
}

// stale answers the first read of a key after each write from before it.
type stale struct {
	*broken

	mu  sync.Mutex
	old map[string]replica
}

// replica is what a key held before its last write.
type replica struct {
	body   []byte
	info   objstore.Info
	absent bool
}

// Put implements objstore.Store.
func (s *stale) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	before, info, err := objstore.ReadAll(ctx, s.Store, key, objstore.Range{}, 1<<30)
	absent := errors.Is(err, objstore.ErrNotFound)
	if err != nil && !absent {
		return objstore.Info{}, err
	}
	now, err := s.broken.Put(ctx, key, body, c)
	if err == nil {
		s.mu.Lock()
		s.old[key] = replica{body: before, info: info, absent: absent}
		s.mu.Unlock()
	}
	return now, err
}

// take returns the lagging replica of a key once.
func (s *stale) take(key string) (replica, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, ok := s.old[key]
	delete(s.old, key)
	return r, ok
}

// Get implements objstore.Store.
func (s *stale) Get(ctx context.Context, key string, r objstore.Range) (io.ReadCloser, objstore.Info, error) {
	old, ok := s.take(key)
	if !ok {
		return s.Store.Get(ctx, key, r)
	}
	if old.absent {
		return nil, objstore.Info{}, objstore.ErrNotFound
	}
	start, length, err := r.Resolve(old.info.Size)
	if err != nil {
		return nil, objstore.Info{}, err
	}
	return io.NopCloser(io.NewSectionReader(objstore.Bytes(old.body), start, length)), old.info, nil
}

// Stat implements objstore.Store.
func (s *stale) Stat(ctx context.Context, key string) (objstore.Info, error) {
	old, ok := s.take(key)
	switch {
	case !ok:
		return s.Store.Stat(ctx, key)
	case old.absent:
		return objstore.Info{}, objstore.ErrNotFound
	}
	return old.info, nil
}
