package pipeline

import (
	"context"
	"sync/atomic"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// nodeCounter is a reader that counts the tree nodes which are read through it.
type nodeCounter struct {
	chunk.Reader
	nodes atomic.Int64
}

var _ chunk.BatchReader = (*nodeCounter)(nil)

func (c *nodeCounter) count(kind chunk.Kind, n int) {
	if kind == chunk.Node {
		c.nodes.Add(int64(n))
	}
}

// Get implements chunk.Reader.
func (c *nodeCounter) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	c.count(kind, 1)
	return c.Reader.Get(ctx, kind, id)
}

// GetMany implements chunk.BatchReader.
func (c *nodeCounter) GetMany(ctx context.Context, kind chunk.Kind, ids []chunk.ID, fn func(i int, plain []byte) error) error {
	c.count(kind, len(ids))
	return chunk.GetMany(ctx, c.Reader, kind, ids, fn)
}
