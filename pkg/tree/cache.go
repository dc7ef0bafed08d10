package tree

import (
	"container/list"
	"context"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Cache keeps nodes that were read last, verified and decoded: what looks up
// many paths decodes no node twice. It also takes nodes that are written, as
// long as it has room: so what is written next to be checked is not decoded at
// all. Nodes are values, so one Cache serves all versions and all stores. It
// may be used concurrently.
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

// Nodes returns the reader's cache, see [CacheOf].
func (r *cachedReader) Nodes() *Cache { return r.nodes }

// CacheOf returns the Cache through which nodes are read from r and written to
// it, nil if there is none. A chunk.Reader or chunk.Store has one if it has a
// method Nodes that returns it.
func CacheOf(r any) *Cache {
	if c, ok := r.(interface{ Nodes() *Cache }); ok {
		return c.Nodes()
	}
	return nil
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

// add keeps a node that nobody changes any more.
func (c *Cache) add(id ID, n *node, encoded int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := int64(encoded) * decodedFactor
	if _, ok := c.byID[id]; ok || size > c.limit {
		return
	}
	c.push(cachedNode{id, n, size})
	for c.size > c.limit {
		old := c.order.Remove(c.order.Back()).(cachedNode)
		delete(c.byID, old.id)
		c.size -= old.size
	}
}

// addNew keeps a node that was written, unless others would have to go for it
// or it is there already. It reports whether it does.
func (c *Cache) addNew(id ID, n *node, encoded int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	size := int64(encoded) * decodedFactor
	if _, ok := c.byID[id]; ok || c.size+size > c.limit || n.check() != nil {
		return false
	}
	c.push(cachedNode{id, n, size})
	return true
}

func (c *Cache) push(n cachedNode) {
	c.byID[n.id] = c.order.PushFront(n)
	c.size += n.size
}
