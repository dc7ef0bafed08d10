package pack

import (
	"encoding/binary"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// filter says of most chunks that a segment does not have that it does not:
// a Bloom filter of one word for each chunk that is asked for (Putze, Sanders
// and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007). A
// session that writes many segments would otherwise search each of them for
// every chunk. It takes a byte for each chunk, and errs once in some 20 times.
type filter []uint64

// filterLeast is the number of chunks from which on a segment gets a filter:
// a smaller one is in the processor's cache when it is searched.
const filterLeast = 1 << 15

// newFilter returns the filter of the packs' chunks, nil if they are few.
func newFilter(footers []Footer) filter {
	n := 0
	for i := range footers {
		n += len(footers[i].Entries)
	}
	if n < filterLeast {
		return nil
	}
	f := make(filter, n/8+1)
	for i := range footers {
		for j := range footers[i].Entries {
			word, bits := f.place(&footers[i].Entries[j].ID)
			f[word] |= bits
		}
	}
	return f
}

// place returns the word of an ID and its four bits in it. The ID's first bytes
// choose the bucket and are left aside.
func (f filter) place(id *chunk.ID) (word int, bits uint64) {
	h := binary.BigEndian.Uint64(id[8:])
	bits = 1<<(h&63) | 1<<(h>>6&63) | 1<<(h>>12&63) | 1<<(h>>18&63)
	return int(h >> 32 * uint64(len(f)) >> 32), bits
}

// mayHave reports whether the segment may have a chunk of that ID.
func (f filter) mayHave(id *chunk.ID) bool {
	word, bits := f.place(id)
	return f[word]&bits == bits
}
