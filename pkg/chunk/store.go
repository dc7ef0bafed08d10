package chunk

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
)

// SizeMax is the largest chunk in plain bytes: 8 MiB of data (the chunker's
// maximum), or 16 MiB of metadata ([MetaSizeMax]).
const SizeMax = 8 << 20

// MetaSizeMax is the largest chunk of a metadata kind in plain bytes.
const MetaSizeMax = 16 << 20

// ErrCorrupt is the kind of error for stored bytes that do not match their
// name or their format. Such bytes are never returned.
var ErrCorrupt = errors.New("corrupt data")

// ErrNotFound is the error for a chunk that a store does not have. It wraps
// fs.ErrNotExist.
var ErrNotFound = fmt.Errorf("chunk not found: %w", fs.ErrNotExist)

// Reader fetches chunks. It may be used concurrently.
type Reader interface {
	// Get returns the plain bytes of a chunk, verified against id on every
	// call. The caller owns the slice. ErrNotFound if the chunk is not there,
	// ErrCorrupt if it is damaged.
	Get(ctx context.Context, kind Kind, id ID) ([]byte, error)
}

// BatchReader is a Reader that fetches many chunks with fewer requests than one
// for each.
type BatchReader interface {
	Reader

	// GetMany calls fn once for each of the ids, in any order but one call at a
	// time, with the verified plain bytes, which are fn's until it returns. An
	// error of fn ends the work and is returned; the others are as of Get.
	GetMany(ctx context.Context, kind Kind, ids []ID, fn func(i int, plain []byte) error) error
}

// GetMany is r.GetMany, or one Get after the other where r has none.
func GetMany(ctx context.Context, r Reader, kind Kind, ids []ID, fn func(i int, plain []byte) error) error {
	if b, ok := r.(BatchReader); ok {
		return b.GetMany(ctx, kind, ids, fn)
	}
	for i, id := range ids {
		plain, err := r.Get(ctx, kind, id)
		if err != nil {
			return err
		}
		if err := fn(i, plain); err != nil {
			return err
		}
	}
	return nil
}

// Store fetches and keeps chunks. It may be used concurrently. Chunks that
// were Put can be read back at once, and are durable after Flush.
type Store interface {
	Reader

	// Put keeps a chunk, unless the store has it, and returns its ID. data is
	// not retained; it must not exceed SizeMax (MetaSizeMax for metadata).
	Put(ctx context.Context, kind Kind, data []byte) (ID, error)

	// Flush returns once every chunk Put before the call is durable.
	Flush(ctx context.Context) error
}

// CheckSize fails with fs.ErrInvalid if n plain bytes are too many for a chunk
// of kind k.
func CheckSize(k Kind, n int) error {
	limit := SizeMax
	if k.Meta() {
		limit = MetaSizeMax
	}
	if n > limit {
		return fmt.Errorf("%v chunk of %d bytes exceeds the limit of %d: %w", k, n, limit, fs.ErrInvalid)
	}
	return nil
}

// Mem is a Store in memory. The zero Mem is ready to use.
type Mem struct {
	mu     sync.RWMutex
	chunks map[memKey][]byte
	reads  int
	writes int
}

type memKey struct {
	kind Kind
	id   ID
}

// Get implements [Reader].
func (m *Mem) Get(ctx context.Context, kind Kind, id ID) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	m.mu.Lock()
	m.reads++
	b, ok := m.chunks[memKey{kind, id}]
	m.mu.Unlock()
	if !ok {
		return nil, fmt.Errorf("%v %v: %w", kind, id.Short(), ErrNotFound)
	}
	if kind.Sum(b) != id {
		return nil, fmt.Errorf("%v %v: %w", kind, id.Short(), ErrCorrupt)
	}
	return append([]byte(nil), b...), nil
}

// Put implements [Store].
func (m *Mem) Put(ctx context.Context, kind Kind, data []byte) (ID, error) {
	if err := ctx.Err(); err != nil {
		return ID{}, err
	}
	if err := CheckSize(kind, len(data)); err != nil {
		return ID{}, err
	}
	id := kind.Sum(data)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.chunks == nil {
		m.chunks = map[memKey][]byte{}
	}
	if _, ok := m.chunks[memKey{kind, id}]; !ok {
		m.chunks[memKey{kind, id}] = append([]byte(nil), data...)
		m.writes++
	}
	return id, nil
}

// Flush implements [Store]; memory is as durable as it gets.
func (m *Mem) Flush(ctx context.Context) error { return ctx.Err() }

// Counts returns how many chunks were fetched and how many distinct ones were
// stored so far: what tests of cost count.
func (m *Mem) Counts() (reads, writes int) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.reads, m.writes
}
