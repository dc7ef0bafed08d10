package s3repo

import (
	"bytes"
	"context"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// recentMax is how many chunks of metadata a recent remembers: some MiB.
const recentMax = 64

// recent is a chunk.Reader that remembers the chunks of metadata that were read
// last: two versions of a directory share most of what is read of them.
type recent struct {
	chunk.Reader
	mu    sync.Mutex
	known map[chunk.ID][]byte
	order []chunk.ID // the oldest first
}

// Get implements chunk.Reader.
func (r *recent) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	r.mu.Lock()
	b, ok := r.known[id]
	r.mu.Unlock()
	if ok {
		return bytes.Clone(b), nil
	}
	b, err := r.Reader.Get(ctx, kind, id)
	if err != nil || !kind.Meta() {
		return b, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.known == nil {
		r.known = map[chunk.ID][]byte{}
	}
	if _, ok := r.known[id]; !ok {
		r.known[id], r.order = bytes.Clone(b), append(r.order, id)
	}
	if len(r.order) > recentMax {
		delete(r.known, r.order[0])
		r.order = r.order[1:]
	}
	return b, nil
}
