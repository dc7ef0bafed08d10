package tree

import "slices"

// cutter divides the items of one level into nodes. Items are added in order
// of key; each node's items are given to emit as soon as later items can't
// change where it ends.
//
// Nodes end naturally where the hash of a key says so. Between natural ends
// lies a run; one of more than max items is split after its item of lowest
// rank, its last item left aside, and so on in both parts until none is longer
// than max. The cutter does this in one pass: within a run, the first node
// ends after the lowest of the first max items, and a node that follows ends
// no later than after the first item that ranks below the end before it.
type cutter struct {
	level int
	max   int // items of a node, NodeEntriesMax except in tests
	emit  func(items []item) error

	items []item
	ranks []uint32
	floor uint32 // rank of the end before items
	split bool   // that end was a forced one
}

// empty reports whether all items added are in nodes already emitted, the
// last of which ended naturally.
func (c *cutter) empty() bool { return len(c.items) == 0 && !c.split }

// add adds the next item; h is the hash of its key.
func (c *cutter) add(it item, h keyHash) error {
	c.items = append(c.items, it)
	c.ranks = append(c.ranks, h.rank(c.level))
	if h.ends(c.level) {
		return c.flush()
	}
	if len(c.items) <= c.max {
		return nil
	}
	return c.cut(c.end(len(c.items)))
}

// reserve makes room for n more items than were added.
func (c *cutter) reserve(n int) {
	c.items, c.ranks = slices.Grow(c.items, n), slices.Grow(c.ranks, n)
}

// flush ends the run: at a natural end, or at the end of the level.
func (c *cutter) flush() error {
	for len(c.items) > 0 {
		if err := c.cut(c.end(len(c.items) - 1)); err != nil {
			return err
		}
	}
	c.split = false
	return nil
}

// end returns the index of the item after which the next node ends, given
// that the run can't end before index last.
func (c *cutter) end(last int) int {
	if c.split {
		for i, r := range c.ranks[:min(last, len(c.ranks))] {
			if r < c.floor {
				last = i
				break
			}
		}
	}
	if last < c.max {
		return last
	}
	lowest := 0
	for i, r := range c.ranks[:c.max] {
		if r < c.ranks[lowest] {
			lowest = i
		}
	}
	return lowest
}

// cut emits the items up to index i as a node.
func (c *cutter) cut(i int) error {
	if err := c.emit(c.items[:i+1]); err != nil {
		return err
	}
	c.floor, c.split = c.ranks[i], true
	c.items = c.items[:copy(c.items, c.items[i+1:])]
	c.ranks = c.ranks[:copy(c.ranks, c.ranks[i+1:])]
	return nil
}
