package pack

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/zeebo/blake3"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Encoding says how a chunk's bytes are stored. The numbers are in footers and
// segments: they are never reused.
type Encoding uint8

// The encodings of a chunk.
const (
	Raw  Encoding = 0 // as they are
	Zstd Encoding = 1 // one zstd frame
)

// Entry is a chunk's place in a pack.
type Entry struct {
	ID       chunk.ID
	Kind     chunk.Kind
	Encoding Encoding
	Offset   uint32 // of the stored bytes in the pack
	Stored   uint32 // bytes in the pack
	Plain    uint32 // bytes of the chunk
}

const (
	entrySize = 48 // bytes of an encoded Entry
	sumSize   = 32 // bytes of a checksum
)

// appendTo appends the encoded entry to b.
func (e *Entry) appendTo(b []byte) []byte {
	b = append(b, e.ID[:]...)
	b = append(b, byte(e.Kind), byte(e.Encoding), 0, 0)
	b = binary.BigEndian.AppendUint32(b, e.Offset)
	b = binary.BigEndian.AppendUint32(b, e.Stored)
	return binary.BigEndian.AppendUint32(b, e.Plain)
}

// decodeEntry reads entrySize bytes. Its fields may be anything.
func decodeEntry(b []byte) (e Entry, reserved uint16) {
	_ = b[entrySize-1]
	copy(e.ID[:], b)
	e.Kind, e.Encoding = chunk.Kind(b[32]), Encoding(b[33])
	e.Offset = binary.BigEndian.Uint32(b[36:])
	e.Stored = binary.BigEndian.Uint32(b[40:])
	e.Plain = binary.BigEndian.Uint32(b[44:])
	return e, binary.BigEndian.Uint16(b[34:])
}

// check holds an entry to the rules that need no other entry.
func (e *Entry) check() error {
	switch {
	case !e.Kind.Valid():
		return fmt.Errorf("%v is not known", e.Kind)
	case e.ID.IsZero():
		return errors.New("the id is zero")
	case chunk.CheckSize(e.Kind, int(e.Plain)) != nil:
		return fmt.Errorf("%v of %d bytes is too large", e.Kind, e.Plain)
	case e.Encoding == Raw && e.Stored != e.Plain:
		return fmt.Errorf("%d bytes stored raw in %d", e.Plain, e.Stored)
	case e.Encoding == Zstd && (e.Stored >= e.Plain || e.Stored == 0):
		return fmt.Errorf("%d bytes compressed to %d", e.Plain, e.Stored)
	case e.Encoding > Zstd:
		return fmt.Errorf("encoding %d is not known", e.Encoding)
	case e.Offset < headerSize || uint64(e.Offset)+uint64(e.Stored) > PackSizeMax:
		return fmt.Errorf("%d bytes at offset %d are outside a pack", e.Stored, e.Offset)
	}
	return nil
}

// compareKeys orders chunks by ID, then kind.
func compareKeys(a, b *Entry) int {
	return cmp.Or(cmpID(&a.ID, &b.ID), cmp.Compare(a.Kind, b.Kind))
}

func cmpID(a, b *chunk.ID) int {
	for i := 0; i < chunk.IDSize; i += 8 {
		if x, y := binary.BigEndian.Uint64(a[i:]), binary.BigEndian.Uint64(b[i:]); x != y {
			return cmp.Compare(x, y)
		}
	}
	return 0
}

// corrupt returns an error of kind chunk.ErrCorrupt.
func corrupt(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), chunk.ErrCorrupt)
}

// sumContext is the derive-key context of a checksum, apart from those of chunk
// IDs. The state after a context never changes, and to derive it takes longer
// than to hash what is short.
type sumContext func() *blake3.Hasher

var (
	packHash    = newContext("dvx 2026-11 v1 pack")
	footerHash  = newContext("dvx 2026-11 v1 pack footer")
	headHash    = newContext("dvx 2026-11 v1 index head")
	segmentHash = newContext("dvx 2026-11 v1 index")
)

func newContext(text string) sumContext {
	return sync.OnceValue(func() *blake3.Hasher { return blake3.NewDeriveKey(text) })
}

// new returns a hasher within the context.
func (c sumContext) new() *blake3.Hasher { return c().Clone() }

// sum returns the BLAKE3 checksum of the parts within the context.
func (c sumContext) sum(parts ...[]byte) (out [sumSize]byte) {
	h := c().Clone()
	for _, p := range parts {
		_, _ = h.Write(p) // never fails
	}
	h.Sum(out[:0])
	return out
}
