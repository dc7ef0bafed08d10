package s3repo

import (
	"context"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
)

// commitsMax is how many commits are remembered.
const commitsMax = 256

// commits remembers what the commits that were read last say of their tree: each
// request begins with one. The zero value is ready to use.
type commits struct {
	mu    sync.Mutex
	known map[commit.ID]commit.Commit // Tree and Time alone
}

func (c *commits) load(ctx context.Context, r chunk.Reader, id commit.ID) (commit.Commit, error) {
	c.mu.Lock()
	v, ok := c.known[id]
	c.mu.Unlock()
	if ok {
		return v, nil
	}
	v, err := commit.Load(ctx, r, id)
	if err != nil {
		return commit.Commit{}, err
	}
	v = commit.Commit{Tree: v.Tree, Time: v.Time}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= commitsMax || c.known == nil {
		c.known = map[commit.ID]commit.Commit{}
	}
	c.known[id] = v
	return v, nil
}
