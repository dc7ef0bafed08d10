package tree

import (
	"errors"
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// The part of CBOR (RFC 8949) that nodes use, in its one deterministic form:
// unsigned integers, byte and text strings, arrays, maps, and true.

// The major types, in the place they have in an item's first byte.
const (
	majorUint  = 0 << 5
	majorBytes = 2 << 5
	majorText  = 3 << 5
	majorArray = 4 << 5
	majorMap   = 5 << 5
	itemTrue   = 0xf5
)

// appendHead appends the head of an item: its major type and its value or
// length in the shortest form.
func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n <= math.MaxUint8:
		return append(b, major|24, byte(n))
	case n <= math.MaxUint16:
		return append(b, major|25, byte(n>>8), byte(n))
	case n <= math.MaxUint32:
		return append(b, major|26, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	default:
		return append(b, major|27, byte(n>>56), byte(n>>48), byte(n>>40), byte(n>>32),
			byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
}

// A field is one entry of a map with integer keys; maps list theirs in order
// of key and leave out what has its zero value.

func appendUintField(b []byte, key byte, n uint64) []byte {
	return appendHead(append(b, key), majorUint, n)
}

func appendTextField(b []byte, key byte, s string) []byte {
	return append(appendHead(append(b, key), majorText, uint64(len(s))), s...)
}

func appendBytesField(b []byte, key byte, s []byte) []byte {
	return append(appendHead(append(b, key), majorBytes, uint64(len(s))), s...)
}

// errFormat is wrapped by everything that a decoder refuses.
var errFormat = fmt.Errorf("directory node: %w", chunk.ErrCorrupt)

// parser reads CBOR and refuses whatever is not in the deterministic form.
// After a failure err is set and every read returns a zero value.
type parser struct {
	b   []byte
	off int
	err error
}

func (p *parser) fail(format string, args ...any) {
	if p.err == nil {
		p.err = fmt.Errorf("%w: byte %d: %s", errFormat, p.off, fmt.Sprintf(format, args...))
	}
}

func (p *parser) failErr(err error) {
	if p.err == nil && err != nil {
		p.err = fmt.Errorf("%w: byte %d: %v", errFormat, p.off, err)
	}
}

// head reads the head of an item that must have the given major type.
func (p *parser) head(major byte) uint64 {
	if p.err != nil {
		return 0
	}
	if p.off >= len(p.b) {
		p.fail("truncated")
		return 0
	}
	first := p.b[p.off]
	if first&^31 != major {
		p.fail("item 0x%02x, want major type %d", first, major>>5)
		return 0
	}
	info := first & 31
	if info < 24 {
		p.off++
		return uint64(info)
	}
	if info > 27 {
		p.fail("item 0x%02x has no definite length", first)
		return 0
	}
	size := 1 << (info - 24)
	if len(p.b)-p.off-1 < size {
		p.fail("truncated")
		return 0
	}
	var n uint64
	for _, c := range p.b[p.off+1 : p.off+1+size] {
		n = n<<8 | uint64(c)
	}
	if n < 24 || (size > 1 && n>>(4*size) == 0) {
		p.fail("number %d is not in its shortest form", n)
		return 0
	}
	p.off += 1 + size
	return n
}

// uint reads a number of at most limit.
func (p *parser) uint(limit uint64) uint64 {
	n := p.head(majorUint)
	if n > limit {
		p.fail("number %d exceeds the limit of %d", n, limit)
		return 0
	}
	return n
}

// positive reads a number from 1 to the largest int64; zero is left out.
func (p *parser) positive() int64 {
	n := p.uint(math.MaxInt64)
	if n == 0 {
		p.fail("zero is not left out")
	}
	return int64(n)
}

// raw reads a string's bytes, which alias the input.
func (p *parser) raw(major byte, limit int) []byte {
	n := p.head(major)
	if n > uint64(limit) {
		p.fail("string of %d bytes exceeds the limit of %d", n, limit)
	} else if p.err == nil && n > uint64(len(p.b)-p.off) {
		p.fail("truncated")
	}
	if p.err != nil {
		return nil
	}
	s := p.b[p.off : p.off+int(n)]
	p.off += int(n)
	return s
}

func (p *parser) text(limit int) string {
	s := p.raw(majorText, limit)
	if !utf8.Valid(s) {
		p.fail("text is not UTF-8")
		return ""
	}
	return string(s)
}

// sum reads 32 bytes that are not all zero.
func (p *parser) sum() (id chunk.ID) {
	s := p.raw(majorBytes, len(id))
	if p.err == nil && len(s) != len(id) {
		p.fail("id of %d bytes", len(s))
	}
	if p.err != nil {
		return chunk.ID{}
	}
	copy(id[:], s)
	if id.IsZero() {
		p.fail("zero id is not left out")
	}
	return id
}

func (p *parser) isTrue() bool {
	if p.err == nil && (p.off >= len(p.b) || p.b[p.off] != itemTrue) {
		p.fail("want true")
	}
	p.off++
	return p.err == nil
}

// length reads the head of an array or a map and refuses counts over limit.
func (p *parser) length(major byte, limit int) int {
	n := p.head(major)
	if n > uint64(limit) {
		p.fail("%d items exceed the limit of %d", n, limit)
		return 0
	}
	return int(n)
}

// fields reads a map with keys from 1 to limit in ascending order, calls field
// for each, and returns the set of keys as bits.
func (p *parser) fields(limit uint64, field func(key uint64)) (seen uint32) {
	var last uint64
	for range p.length(majorMap, int(limit)) {
		key := p.uint(limit)
		if key <= last {
			p.fail("field %d after field %d", key, last)
		}
		if p.err != nil {
			return 0
		}
		last = key
		seen |= 1 << key
		field(key)
	}
	return seen
}

// need fails unless the fields seen are some of all and include those of must.
func (p *parser) need(what string, seen, must, all uint32) {
	if p.err != nil {
		return
	}
	if seen&must != must || seen&^all != 0 {
		p.fail("%s has fields %b, must have %b, may have %b", what, seen>>1, must>>1, all>>1)
	}
}

// end fails unless all bytes were read.
func (p *parser) end() error {
	if p.err == nil && p.off != len(p.b) {
		p.fail("%d bytes after the end", len(p.b)-p.off)
	}
	return p.err
}

// errTooMany reports totals that no int64 holds.
var errTooMany = errors.New("totals overflow")
