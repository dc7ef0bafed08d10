package gc

import "sync/atomic"

// bitmap is a set of numbers from 0 on. set and has may be called
// concurrently; grow may not.
type bitmap []uint64

// grow makes room for numbers below n.
func (b *bitmap) grow(n int) {
	if need := (n + 63) / 64; need > len(*b) {
		*b = append(*b, make([]uint64, need-len(*b))...)
	}
}

// set adds a number and reports whether it is new.
func (b bitmap) set(i int) bool {
	bit := uint64(1) << (i % 64)
	return atomic.OrUint64(&b[i/64], bit)&bit == 0
}

// has reports whether a number is in the set.
func (b bitmap) has(i int) bool { return atomic.LoadUint64(&b[i/64])&(1<<(i%64)) != 0 }
