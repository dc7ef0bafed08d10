package memo

import (
	"context"
	"fmt"
)

// Stats says what a cache holds.
type Stats struct {
	Records  int64            `json:"records"` // published ones; of one key there may be several, of different scopes
	Segments int              `json:"segments"`
	Bytes    int64            `json:"bytes"`   // of the segments; outputs are part of the store's data
	Pending  int              `json:"pending"` // records that are not published yet
	Scopes   map[string]int64 `json:"scopes"`  // records by trust scope: whose results they are; "" is everybody's
}

// Stats counts what the cache holds. It reads all of it.
func (c *Cache) Stats(ctx context.Context) (Stats, error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	st := Stats{Segments: len(c.segments), Pending: len(c.pending), Scopes: map[string]int64{}}
	for _, s := range c.segments {
		st.Bytes += s.size
		for r, err := range s.All() {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return st, fmt.Errorf("memo segment %s: %w", s.name, err)
			}
			st.Records++
			st.Scopes[r.Scope]++
		}
	}
	return st, nil
}
