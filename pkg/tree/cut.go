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
	hash  func(key string) keyHash

	// emit takes the items of a node, and says whether it keeps the slice.
	emit func(items []item) (kept bool, err error)

	items []item
	ranks []uint32 // of the first items; the others' were not asked for
	floor string   // the key of the end before items
	split bool     // that end was a forced one
}

// empty reports whether all items added are in nodes already emitted, the
// last of which ended naturally.
func (c *cutter) empty() bool { return len(c.items) == 0 && !c.split }

// add adds the next item. Of an inner one it is known that no node ends
// naturally after it, since it was in a node of this level and not its last.
func (c *cutter) add(it *item, inner bool) error {
	c.items = append(c.items, *it)
	if !inner {
		if h := c.hash(it.key); h.ends(c.level) {
			return c.flush()
		}
	}
	if len(c.items) <= c.max {
		return nil
	}
	return c.cut(c.end(len(c.items)))
}

// reserve makes room for n more items than were added.
func (c *cutter) reserve(n int) { c.items = slices.Grow(c.items, n) }

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

// rank returns the rank of item i, which is asked for only where a run is long.
func (c *cutter) rank(i int) uint32 {
	for len(c.ranks) <= i {
		h := c.hash(c.items[len(c.ranks)].key)
		c.ranks = append(c.ranks, h.rank(c.level))
	}
	return c.ranks[i]
}

// end returns the index of the item after which the next node ends, given
// that the run can't end before index last.
func (c *cutter) end(last int) int {
	if c.split {
		h := c.hash(c.floor)
		floor := h.rank(c.level)
		for i := range min(last, len(c.items)) {
			if c.rank(i) < floor {
				last = i
				break
			}
		}
	}
	if last < c.max {
		return last
	}
	lowest := 0
	for i := range c.max {
		if c.rank(i) < c.rank(lowest) {
			lowest = i
		}
	}
	return lowest
}

// cut emits the items up to index i as a node.
func (c *cutter) cut(i int) error {
	c.floor, c.split = c.items[i].key, true
	rest := c.items[i+1:]
	kept, err := c.emit(c.items[: i+1 : i+1])
	if err != nil {
		return err
	}
	if kept {
		c.items = slices.Clone(rest)
	} else {
		c.items = c.items[:copy(c.items, rest)]
	}
	c.ranks = c.ranks[:copy(c.ranks, c.ranks[min(i+1, len(c.ranks)):])]
	return nil
}
