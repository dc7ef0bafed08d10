package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Limits of a pack.
const (
	PackSizeMax    = 64 << 20 // bytes of the whole object
	PackEntriesMax = 1 << 17  // chunks: bounds the memory of an open footer at 6 MiB
)

const (
	packVersion = 1
	packMagic   = "dvx-pack"
	packEnd     = "kcap-xvd"
	headerSize  = 16
	trailerSize = 80
)

// The classes of pack.
const (
	classData = 1
	classMeta = 2
)

func classOf(k chunk.Kind) byte {
	if k.Meta() {
		return classMeta
	}
	return classData
}

// Footer is what a pack says of itself.
type Footer struct {
	Key     string        // of the pack
	Size    int64         // bytes of the object
	Meta    bool          // it holds metadata
	Sum     [sumSize]byte // BLAKE3 of the pack up to the checksum itself
	Entries []Entry       // in the order of their offsets
}

// startPack appends a pack's header to the empty b.
func startPack(b []byte, class byte) []byte {
	b = append(b, packMagic...)
	return append(b, packVersion, class, 0, 0, 0, 0, 0, 0)
}

// packLength returns the length of a pack whose header and bodies have bytes
// and which has n entries.
func packLength(bytes, n int) int { return bytes + n*entrySize + trailerSize }

// finishPack appends the footer to a pack's header and bodies.
func finishPack(b []byte, class byte, entries []Entry) (pack []byte, packSum [sumSize]byte) {
	start := len(b)
	b = slices.Grow(b, packLength(0, len(entries)))
	for i := range entries {
		b = entries[i].appendTo(b)
	}
	b = binary.BigEndian.AppendUint32(b, uint32(len(entries)))
	b = append(b, packVersion, class, 0, 0)
	footerSum := footerHash.sum(b[start:])
	b = append(b, footerSum[:]...)
	packSum = packHash.sum(b)
	b = append(b, packSum[:]...)
	return append(b, packEnd...), packSum
}

// decodeTrailer reads a pack's last trailerSize bytes and returns the number
// of entries.
func decodeTrailer(b []byte, size int64) (count int, err error) {
	switch {
	case size > PackSizeMax:
		return 0, corrupt("pack of %d bytes exceeds %d", size, PackSizeMax)
	case size < int64(packLength(headerSize, 1)) || len(b) != trailerSize:
		return 0, corrupt("pack of %d bytes is too short", size)
	case string(b[trailerSize-len(packEnd):]) != packEnd:
		return 0, corrupt("pack does not end in its magic")
	case b[4] > packVersion:
		return 0, fmt.Errorf("pack of version %d was written by a newer dvx: %w", b[4], errors.ErrUnsupported)
	case b[4] != packVersion || b[5] != classData && b[5] != classMeta || b[6] != 0 || b[7] != 0:
		return 0, corrupt("pack trailer has %x", b[4:8])
	}
	n := binary.BigEndian.Uint32(b)
	if n == 0 || n > PackEntriesMax || int64(packLength(headerSize, int(n))) > size {
		return 0, corrupt("pack of %d bytes says it has %d entries", size, n)
	}
	return int(n), nil
}

// decodeFooter reads the entry table and the trailer of a pack of size bytes,
// whose count decodeTrailer returned. It can't check the bodies.
func decodeFooter(b []byte, size int64) (Footer, error) {
	trailer := b[len(b)-trailerSize:]
	table := b[:len(b)-trailerSize]
	if got := footerHash.sum(table, trailer[:8]); !bytes.Equal(got[:], trailer[8:8+sumSize]) {
		return Footer{}, corrupt("pack footer does not match its checksum")
	}
	class := trailer[5]
	f := Footer{Size: size, Meta: class == classMeta, Entries: make([]Entry, 0, len(table)/entrySize)}
	copy(f.Sum[:], trailer[8+sumSize:])
	next := int64(headerSize)
	for ; len(table) > 0; table = table[entrySize:] {
		e, reserved := decodeEntry(table)
		err := e.check()
		switch {
		case err != nil:
		case reserved != 0:
			err = fmt.Errorf("reserved bytes are %x", reserved)
		case classOf(e.Kind) != class:
			err = fmt.Errorf("%v in a pack of class %d", e.Kind, class)
		case int64(e.Offset) != next:
			err = fmt.Errorf("offset %d instead of %d", e.Offset, next)
		}
		if err != nil {
			return Footer{}, corrupt("pack footer entry %d: %v", len(f.Entries), err)
		}
		next += int64(e.Stored)
		f.Entries = append(f.Entries, e)
	}
	if next != size-int64(len(b)) {
		return Footer{}, corrupt("pack bodies end at %d and the footer starts at %d", next, size-int64(len(b)))
	}
	return f, checkUnique(f.Entries)
}

// checkUnique fails if a chunk is in the pack twice.
func checkUnique(entries []Entry) error {
	sorted := slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b Entry) int { return compareKeys(&a, &b) })
	for i := 1; i < len(sorted); i++ {
		if compareKeys(&sorted[i-1], &sorted[i]) == 0 {
			return corrupt("pack has %v %s twice", sorted[i].Kind, sorted[i].ID.Short())
		}
	}
	return nil
}

// decodePack reads a whole pack and verifies every byte of it: the checksums,
// the footer and each chunk.
func decodePack(b []byte, c *codec) (Footer, error) {
	f, err := decodeBodies(b, c)
	if err != nil {
		return Footer{}, err
	}
	if got := packHash.sum(b[:len(b)-len(packEnd)-sumSize]); got != f.Sum {
		return Footer{}, corrupt("pack does not match its checksum")
	}
	return f, nil
}

// decodeBodies is decodePack but for the checksum of the whole: header, footer
// and chunks.
func decodeBodies(b []byte, c *codec) (Footer, error) {
	size := int64(len(b))
	count, err := decodeTrailer(b[max(0, len(b)-trailerSize):], size)
	if err != nil {
		return Footer{}, err
	}
	f, err := decodeFooter(b[len(b)-packLength(0, count):], size)
	if err != nil {
		return Footer{}, err
	}
	if want := startPack(nil, classOf(f.Entries[0].Kind)); !bytes.Equal(b[:headerSize], want) {
		return Footer{}, corrupt("pack starts with %x", b[:headerSize])
	}
	var scratch []byte
	for i := range f.Entries {
		e := &f.Entries[i]
		if e.Encoding == Zstd && cap(scratch) < int(e.Plain) {
			scratch = make([]byte, 0, e.Plain)
		}
		if _, err := c.decode(e, b[e.Offset:e.Offset+e.Stored], scratch); err != nil {
			return Footer{}, fmt.Errorf("%v %s at offset %d: %w", e.Kind, e.ID.Short(), e.Offset, err)
		}
	}
	return f, nil
}
