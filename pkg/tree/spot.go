package tree

import (
	"context"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// upperNodes holds the nodes above the lowest level of one directory that were
// read so far, so that no level reads them again.
type upperNodes struct {
	r     chunk.Reader
	root  *node
	nodes map[ID]*node
}

func (u *upperNodes) child(ctx context.Context, f frame) (*node, error) {
	id := f.n.items[f.i].Dir.ID
	if n := u.nodes[id]; n != nil {
		return n, nil
	}
	n, err := loadChild(ctx, u.r, f.n, f.i)
	if err == nil && n.level > 0 {
		u.nodes[id] = n
	}
	return n, err
}

// spot is a node's place in a level below the root: the way down to the
// pointer to it.
type spot struct {
	upper *upperNodes
	level int
	way   []frame // from the root to the level above
}

// seek returns the place of the node that would hold key.
func (u *upperNodes) seek(ctx context.Context, level int, key string) (*spot, error) {
	s := &spot{upper: u, level: level, way: []frame{{n: u.root}}}
	err := s.descend(ctx, func(n *node) int { return min(n.search(key), len(n.items)-1) })
	return s, err
}

// descend chooses an item of the last node on the way and goes down through
// it, to the level above the spot's.
func (s *spot) descend(ctx context.Context, choose func(*node) int) error {
	for {
		f := &s.way[len(s.way)-1]
		f.i = choose(f.n)
		if f.n.level == s.level+1 {
			return nil
		}
		n, err := s.upper.child(ctx, *f)
		if err != nil {
			return err
		}
		s.way = append(s.way, frame{n: n})
	}
}

// pointer returns the item that points to the node.
func (s *spot) pointer() *item {
	f := s.way[len(s.way)-1]
	return &f.n.items[f.i]
}

// node reads the node.
func (s *spot) node(ctx context.Context) (*node, error) {
	return s.upper.child(ctx, s.way[len(s.way)-1])
}

// before returns the last key of the node before, false if there is none.
func (s *spot) before() (string, bool) {
	for d := len(s.way) - 1; d >= 0; d-- {
		if f := s.way[d]; f.i > 0 {
			return f.n.items[f.i-1].key, true
		}
	}
	return "", false
}

// last reports whether the node is the last of its level.
func (s *spot) last() bool {
	for _, f := range s.way {
		if f.i < len(f.n.items)-1 {
			return false
		}
	}
	return true
}

// move goes to the next node (step 1) or the one before (step -1), which there
// must be.
func (s *spot) move(ctx context.Context, step int) error {
	d := len(s.way) - 1
	for i := s.way[d].i + step; i < 0 || i >= len(s.way[d].n.items); i = s.way[d].i + step {
		d--
	}
	s.way = s.way[:d+1]
	target := s.way[d].i + step
	return s.descend(ctx, func(n *node) int {
		switch {
		case n == s.way[d].n:
			return target
		case step > 0:
			return 0
		default:
			return len(n.items) - 1
		}
	})
}
