package chunk

// cutter finds the cuts of a stream whose bytes come in blocks. Each block is
// first cut by itself, as if a chunk began with it: speculate, which any number
// of goroutines may do at once. Then, in order of the blocks, join walks from
// the last true cut and looks for candidates only where speculate did not; from
// the first boundary that both have, the block's own cuts are the true ones. So
// the cuts are those of a splitter that reads the stream from its start.
type cutter struct{ *rabin }

// span is a block of a stream in memory with the bytes since the last cut
// before it.
type span struct {
	data []byte // from the last cut to the end of the block
	head int    // bytes of data that come before the block
	own  []int  // the cuts that speculate found, as ends in data
}

// speculate returns the ends at which a block would be cut that began with a
// chunk.
func (c cutter) speculate(block []byte) []int {
	var own []int
	for start := 0; ; {
		end := c.next(block, start, start+c.min)
		if end < 0 {
			return own
		}
		own = append(own, end)
		start = end
	}
}

// next returns where the chunk ends that begins at start, if that is in data,
// else -1. There must be no candidate in it that is less than from.
func (c cutter) next(data []byte, start, from int) int {
	if end := c.find(data, max(from, start+c.min), start+c.max); end >= 0 {
		return end
	}
	if start+c.max <= len(data) {
		return start + c.max
	}
	return -1
}

// join returns the ends of the chunks in s.data, of which the first begins with
// it. What is after the last of them belongs to the next block. Candidates
// before the block must have been looked for: there is none that would end the
// first chunk.
func (c cutter) join(s *span) []int {
	var ends []int
	for start := 0; ; {
		from := start + c.min
		if start == 0 {
			from = max(from, s.head+1)
		}
		end := c.joinOne(s, start, from)
		if end < 0 {
			return ends
		}
		ends = append(ends, end)
		start = end
	}
}

// joinOne is next, but does not look again where speculate has found nothing.
func (c cutter) joinOne(s *span, start, from int) int {
	limit := min(start+c.max, len(s.data))
	last := s.head // the own cut before from, or the block's start
	for i := 0; from <= limit; {
		for i < len(s.own) && s.own[i] < from {
			last = s.own[i]
			i++
		}
		// Speculation looked at what is from last+min to the cut after last.
		if look := min(last+c.min-1, limit); from <= look {
			if end := c.find(s.data, from, look); end >= 0 {
				return end
			}
			from = look + 1
			continue
		}
		if i == len(s.own) {
			break
		}
		if from = s.own[i]; from > limit {
			break
		}
		if end := c.find(s.data, from, from); end >= 0 { // else it was cut for its length
			return end
		}
		from++
	}
	if start+c.max <= len(s.data) {
		return start + c.max
	}
	return -1
}
