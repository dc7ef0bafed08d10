package memo

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// The major types of CBOR (RFC 8949, section 3.1) in an item's first byte.
const (
	cborUint   = 0 << 5
	cborNegint = 1 << 5
	cborBytes  = 2 << 5
	cborText   = 3 << 5
	cborArray  = 4 << 5
)

// The simple values.
const (
	cborFalse = 0xf4
	cborTrue  = 0xf5
)

// appendHead appends the shortest head of an item with the argument n.
func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	default:
		return binary.BigEndian.AppendUint64(append(b, major|27), n)
	}
}

// appendInt appends a whole number.
func appendInt(b []byte, n int64) []byte {
	if n < 0 {
		return appendHead(b, cborNegint, uint64(-1-n)) //nolint:gosec // not negative
	}
	return appendHead(b, cborUint, uint64(n)) //nolint:gosec // not negative
}

// appendText appends a text string, which must be UTF-8.
func appendText(b []byte, s string) []byte {
	return append(appendHead(b, cborText, uint64(len(s))), s...)
}

// appendBytes appends a byte string: paths need not be UTF-8.
func appendBytes[T string | []byte](b []byte, s T) []byte {
	return append(appendHead(b, cborBytes, uint64(len(s))), s...)
}

// cursor reads deterministic CBOR. After the first error it reads zeros.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
	c.b = nil
}

// take takes n bytes.
func (c *cursor) take(n uint64) []byte {
	if c.err != nil || n > uint64(len(c.b)) {
		c.fail("%w", io.ErrUnexpectedEOF)
		return nil
	}
	b := c.b[:n:n]
	c.b = c.b[n:]
	return b
}

// head reads the head of an item of one kind and returns its argument. Only
// the shortest form is taken.
func (c *cursor) head(major byte) uint64 {
	first := c.take(1)
	if c.err != nil {
		return 0
	}
	if first[0]&^0x1f != major {
		c.fail("an item of kind %d, want %d", first[0]>>5, major>>5)
		return 0
	}
	var n, least uint64
	switch short := first[0] & 0x1f; {
	case short < 24:
		return uint64(short)
	case short == 24:
		if b := c.take(1); c.err == nil {
			n, least = uint64(b[0]), 24
		}
	case short == 25:
		if b := c.take(2); c.err == nil {
			n, least = uint64(binary.BigEndian.Uint16(b)), 1<<8
		}
	case short == 26:
		if b := c.take(4); c.err == nil {
			n, least = uint64(binary.BigEndian.Uint32(b)), 1<<16
		}
	case short == 27:
		if b := c.take(8); c.err == nil {
			n, least = binary.BigEndian.Uint64(b), 1<<32
		}
	default:
		c.fail("an item of no definite length")
	}
	if c.err == nil && n < least {
		c.fail("a number that is not in its shortest form")
	}
	return n
}

// int reads a whole number.
func (c *cursor) int() int64 {
	major := byte(cborUint)
	if len(c.b) > 0 && c.b[0]&^0x1f == cborNegint {
		major = cborNegint
	}
	n := c.head(major)
	if n > math.MaxInt64 {
		c.fail("a number that exceeds 64 bits")
		return 0
	}
	if major == cborNegint {
		return -1 - int64(n)
	}
	return int64(n)
}

// list reads the head of an array of n items.
func (c *cursor) list(n uint64) {
	if got := c.head(cborArray); c.err == nil && got != n {
		c.fail("a list of %d items, want %d", got, n)
	}
}

// bytes reads a string of one kind. It is part of what is read.
func (c *cursor) bytes(major byte) []byte { return c.take(c.head(major)) }

// id reads the bytes of an ID.
func (c *cursor) id(to []byte) {
	b := c.bytes(cborBytes)
	if c.err == nil && len(b) != chunk.IDSize {
		c.fail("id of %d bytes, want %d", len(b), chunk.IDSize)
	}
	copy(to, b)
}
