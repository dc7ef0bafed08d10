package vfs

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// sectorBytes is the unit in which un-synced data is lost or kept.
const sectorBytes = 512

// CrashClone returns the files as they may be after a power loss now: what was
// synced is there; of what was not, each sector of data and each change of a
// name survives with a chance of percent (0 to 100), independently, so that
// names may outlive the bytes they name and the other way round. A lost sector
// before a kept one reads as zeros. The same state, percent and rng give the
// same clone; o are the options of the clone, in which all is durable.
func (m *Mem) CrashClone(percent int, rng *rand.Rand, o MemOptions) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := crash{percent: percent, rng: rng, nodes: map[*node]*node{}, kept: map[*change]bool{}}
	clone := NewMem(o)
	clone.root = c.clone(m.root)
	return clone
}

// crash makes one clone.
type crash struct {
	percent int
	rng     *rand.Rand
	nodes   map[*node]*node // a file with two names stays one file
	kept    map[*change]bool
}

func (c *crash) survives() bool { return c.rng.IntN(100) < c.percent }

func (c *crash) clone(n *node) *node {
	if done, ok := c.nodes[n]; ok {
		return done
	}
	out := newNode(n.dir, n.perm, n.time)
	c.nodes[n] = out
	if !n.dir {
		out.data = c.bytes(n)
		out.synced = len(out.data)
		return out
	}
	left := maps.Clone(n.durable)
	for _, ch := range n.changes {
		switch {
		case !c.keeps(ch):
		case ch.node == nil:
			delete(left, ch.name)
		default:
			left[ch.name] = ch.node
		}
	}
	for _, name := range slices.Sorted(maps.Keys(left)) {
		out.entries[name] = c.clone(left[name])
	}
	out.durable = maps.Clone(out.entries)
	return out
}

// keeps decides once for each change whether it survives.
func (c *crash) keeps(ch *change) bool {
	if ch.durable {
		return true
	}
	if kept, ok := c.kept[ch]; ok {
		return kept
	}
	kept := (ch.bound == nil || c.keeps(ch.bound)) && c.survives()
	c.kept[ch] = kept
	return kept
}

// bytes returns what is left of a file's data.
func (c *crash) bytes(n *node) []byte {
	data := slices.Clone(n.data[:n.synced])
	for _, e := range n.pending {
		for start := e.start; start < e.end; start += sectorBytes {
			end := min(start+sectorBytes, e.end)
			if !c.survives() {
				continue
			}
			if grow := end - len(data); grow > 0 {
				data = append(data, make([]byte, grow)...)
			}
			copy(data[start:end], n.data[start:end])
		}
	}
	return data
}
