package tree

import (
	"container/list"
	"context"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Cache keeps nodes that were read last, verified and decoded: what looks up
// many paths decodes no node twice. Nodes are values, so one Cache serves all
// versions and all stores. It may be used concurrently.
type Cache struct {
	limit int64

	mu    sync.Mutex
	size  int64
	byID  map[ID]*list.Element
	order list.List // of cachedNode, the one used last in front
}

type cachedNode struct {
	id   ID
	n    *node
	size int64
}

// NewCache returns a Cache of at most limit bytes, as estimated.
func NewCache(limit int64) *Cache { return &Cache{limit: limit, byID: map[ID]*list.Element{}} }

// Reader returns r with the cache: the Trees, walks and diffs that read through
// it take nodes from there. All else is r's.
func (c *Cache) Reader(r chunk.Reader) chunk.Reader { return &cachedReader{r, c} }

type cachedReader struct {
	chunk.Reader
	nodes *Cache
}

// GetMany implements chunk.BatchReader.
func (r *cachedReader) GetMany(ctx context.Context, kind chunk.Kind, ids []chunk.ID, fn func(i int, plain []byte) error) error {
	return chunk.GetMany(ctx, r.Reader, kind, ids, fn)
}

// decodedFactor is by how much more memory a node takes than its bytes.
const decodedFactor = 5

func (c *Cache) get(id ID) *node {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byID[id]
	if !ok {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(cachedNode).n
}

func (c *Cache) add(id ID, n *node, encoded int) {
	size := int64(encoded) * decodedFactor
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byID[id]; ok || size > c.limit {
		return
	}
	c.byID[id] = c.order.PushFront(cachedNode{id, n, size})
	c.size += size
	for c.size > c.limit {
		old := c.order.Remove(c.order.Back()).(cachedNode)
		delete(c.byID, old.id)
		c.size -= old.size
	}
}
