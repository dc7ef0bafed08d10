package chunk

import (
	"sync"

	"github.com/restic/chunker"
)

// rabin finds boundaries in bytes that are in memory. It never changes, so any
// number of goroutines may use it.
//
// An end e (a number of bytes from the start of some data) is a candidate if
// the low bits of the fingerprint of the 64 bytes before it are 0. That
// depends on nothing else, so candidates can be looked for anywhere, in any
// order; FORMAT.md says which of them are cuts.
type rabin struct {
	*rabinTables
	mask     uint64
	min, max int // of a chunk
}

// rabinTables hold what a byte does to the fingerprint, for one polynomial.
type rabinTables struct {
	mod [256]uint64 // takes the 8 bits above the degree, and puts what they leave modulo the polynomial
	out [256]uint64 // takes out the byte that leaves the window, after the shift by the one that enters
}

// carryShift leaves the bits of a fingerprint that one more byte shifts beyond
// the degree.
const carryShift = degree - 8

// append adds a byte to a fingerprint.
func (t *rabinTables) append(fp uint64, b byte) uint64 {
	return fp<<8 ^ t.mod[byte(fp>>carryShift)] ^ uint64(b)
}

func newRabinTables(pol chunker.Pol) *rabinTables {
	t := &rabinTables{}
	for b := range uint64(256) {
		high := chunker.Pol(b << degree)
		t.mod[b] = uint64(high.Mod(pol) | high)
	}
	for b := range 256 {
		fp := t.append(0, byte(b))
		for range windowSize {
			fp = t.append(fp, 0)
		}
		t.out[b] = fp
	}
	return t
}

// tables1 are the tables of polynomial1: to make them takes longer than to cut
// a small file.
var tables1 = sync.OnceValue(func() *rabinTables {
	pol, err := DefaultParams().check()
	if err != nil {
		panic("dvx: bug: " + err.Error())
	}
	return newRabinTables(pol)
})

// newRabin returns the boundaries that p finds, which check has passed with
// pol.
func (p Params) newRabin(pol chunker.Pol) *rabin {
	tables := tables1
	if p.Polynomial != polynomial1 {
		tables = func() *rabinTables { return newRabinTables(pol) }
	}
	return &rabin{rabinTables: tables(), mask: 1<<p.Bits - 1, min: p.MinSize, max: p.MaxSize}
}

// The fingerprint of a byte depends on the one before, and a processor can do
// more than one such step at a time. So find works on lanes beside each other.
const (
	lanes    = 4
	laneSize = 2048 // bytes: 64 to warm a lane up are 3 %
)

// find returns the first candidate that is at least from, which must be at
// least windowSize, and at most limit, or -1 if there is none.
func (r *rabin) find(data []byte, from, limit int) int {
	limit = min(limit, len(data))
	for ; from+lanes*laneSize <= limit; from += lanes * laneSize {
		w := (*[windowSize + lanes*laneSize]byte)(data[from-windowSize:])
		if r.any(w) {
			return r.findSlowly(data, from, from+lanes*laneSize)
		}
	}
	return r.findSlowly(data, from, limit)
}

// any reports whether there is a candidate among the lanes*laneSize ends that
// follow the first window of w, that window's own end included and the end of
// w excluded.
func (r *rabin) any(w *[windowSize + lanes*laneSize]byte) bool {
	var a, b, c, d uint64
	for i := range windowSize {
		a, b = r.append(a, w[i]), r.append(b, w[laneSize+i])
		c, d = r.append(c, w[2*laneSize+i]), r.append(d, w[3*laneSize+i])
	}
	mod, out, mask := &r.mod, &r.out, r.mask
	for i := range laneSize {
		if a&mask == 0 || b&mask == 0 || c&mask == 0 || d&mask == 0 {
			return true
		}
		a = a<<8 ^ (uint64(w[windowSize+i]) ^ out[w[i]]) ^ mod[byte(a>>carryShift)]
		b = b<<8 ^ (uint64(w[windowSize+laneSize+i]) ^ out[w[laneSize+i]]) ^ mod[byte(b>>carryShift)]
		c = c<<8 ^ (uint64(w[windowSize+2*laneSize+i]) ^ out[w[2*laneSize+i]]) ^ mod[byte(c>>carryShift)]
		d = d<<8 ^ (uint64(w[windowSize+3*laneSize+i]) ^ out[w[3*laneSize+i]]) ^ mod[byte(d>>carryShift)]
	}
	return false
}

// findSlowly is find, a byte at a time.
func (r *rabin) findSlowly(data []byte, from, limit int) int {
	if from > limit {
		return -1
	}
	var fp uint64
	for _, b := range data[from-windowSize : from] {
		fp = r.append(fp, b)
	}
	for end := from; ; end++ {
		if fp&r.mask == 0 {
			return end
		}
		if end == limit {
			return -1
		}
		fp = r.append(fp, data[end]) ^ r.out[data[end-windowSize]]
	}
}
