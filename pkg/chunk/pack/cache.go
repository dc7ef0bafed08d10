package pack

import (
	"container/list"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// chunkKey names a chunk.
type chunkKey struct {
	kind chunk.Kind
	id   chunk.ID
}

// nodeCache keeps the plain bytes of metadata chunks that were used last, up
// to a total size. Whoever takes bytes out verifies them.
type nodeCache struct {
	limit int64

	mu    sync.Mutex
	size  int64
	order list.List // of cached, most recently used first
	byKey map[chunkKey]*list.Element
}

type cached struct {
	key  chunkKey
	data []byte
}

// cacheOverhead is what an entry costs besides its bytes.
const cacheOverhead = 200

func newNodeCache(limit int64) *nodeCache {
	return &nodeCache{limit: limit, byKey: map[chunkKey]*list.Element{}}
}

// get returns the bytes of a chunk, or nil. They must not be changed.
func (c *nodeCache) get(key chunkKey) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return nil
	}
	c.order.MoveToFront(e)
	return e.Value.(cached).data
}

// add keeps data, which must not change any more.
func (c *nodeCache) add(key chunkKey, data []byte) {
	cost := int64(len(data)) + cacheOverhead
	if cost > c.limit {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.byKey[key]; ok {
		return
	}
	c.byKey[key] = c.order.PushFront(cached{key, data})
	c.size += cost
	for c.size > c.limit {
		c.remove(c.order.Back())
	}
}

// drop forgets a chunk.
func (c *nodeCache) drop(key chunkKey) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[key]; ok {
		c.remove(e)
	}
}

func (c *nodeCache) remove(e *list.Element) {
	v := e.Value.(cached)
	c.order.Remove(e)
	delete(c.byKey, v.key)
	c.size -= int64(len(v.data)) + cacheOverhead
}
