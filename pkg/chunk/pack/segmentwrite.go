package pack

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"strings"

	"github.com/zeebo/blake3"
)

// segmentWriter writes a segment whose packs and fan-out are known.
type segmentWriter struct {
	out     *bufio.Writer
	hash    *blake3.Hasher
	scratch []byte
	err     error
}

// start writes all that comes before the n entries. fanout is encoded. packs,
// which are sorted by key, are gone through three times, so that nobody need
// hold them.
func (w *segmentWriter) start(out io.Writer, packs iter.Seq[PackInfo], fanout []byte, n int) {
	w.out = bufio.NewWriterSize(out, min(64<<10, 4<<10+n*indexEntrySize))
	w.hash = segmentHash.new()
	packCount, keyBytes := 0, 0
	for p := range packs {
		packCount++
		keyBytes += len(p.Key)
	}
	if n > SegmentEntriesMax || packCount > SegmentPacksMax {
		w.err = fmt.Errorf("%d chunks in %d packs are too many for an index segment: %w", n, packCount, fs.ErrInvalid)
		return
	}
	bits := fanoutBits(n)
	head := append([]byte(segmentMagic), segmentVersion, byte(bits), 0, 0)
	head = binary.BigEndian.AppendUint32(head, uint32(packCount))
	head = binary.BigEndian.AppendUint32(head, uint32(keyBytes))
	head = binary.BigEndian.AppendUint32(head, uint32(n))
	head = binary.BigEndian.AppendUint64(head, 0)

	headHash := headHash.new()
	_, _ = headHash.Write(head) // never fails, and so below
	_, _ = headHash.Write(fanout)
	eachPackPart(packs, func(b []byte) { _, _ = headHash.Write(b) })
	w.write(headHash.Sum(head))
	w.write(fanout)
	eachPackPart(packs, w.write)
}

// fanoutCounts counts entries by the first 16 bits of their ID.
type fanoutCounts [1 << fanoutBitsMax]uint32

// fanout encodes the fan-out of that many bits.
func (c *fanoutCounts) fanout(bits int) (b []byte) {
	total := uint32(0)
	for i, n := range c {
		total += n
		if (i+1)%(1<<(fanoutBitsMax-bits)) == 0 {
			b = binary.BigEndian.AppendUint32(b, total)
		}
	}
	return b
}

// fanoutOf encodes the fan-out of sorted entries.
func fanoutOf(entries []indexEntry, bits int) (b []byte) {
	total := 0
	for bucket := range 1 << bits {
		for total < len(entries) && bucketOf(&entries[total].ID, bits) == bucket {
			total++
		}
		b = binary.BigEndian.AppendUint32(b, uint32(total))
	}
	return b
}

// eachPackPart gives the records of packs and then their keys to write.
func eachPackPart(packs iter.Seq[PackInfo], write func([]byte)) {
	var record [packRecordSize]byte
	offset := 0
	for p := range packs {
		class := byte(classData)
		if p.Meta {
			class = classMeta
		}
		b := binary.BigEndian.AppendUint32(record[:0], uint32(offset))
		b = binary.BigEndian.AppendUint16(b, uint16(len(p.Key)))
		b = append(b, class, 0)
		b = binary.BigEndian.AppendUint32(b, uint32(p.Size))
		b = binary.BigEndian.AppendUint32(b, uint32(p.Chunks))
		write(append(b, p.Sum[:]...))
		offset += len(p.Key)
	}
	for p := range packs {
		write([]byte(p.Key))
	}
}

func (w *segmentWriter) write(b []byte) {
	if w.err != nil {
		return
	}
	_, _ = w.hash.Write(b) // never fails
	_, w.err = w.out.Write(b)
}

// add writes one entry; they come sorted.
func (w *segmentWriter) add(e *indexEntry) {
	w.scratch = e.appendTo(w.scratch[:0])
	w.write(w.scratch)
}

// finish writes what comes after the entries.
func (w *segmentWriter) finish() error {
	w.write(w.hash.Sum(nil))
	w.write([]byte(segmentEnd))
	if w.err != nil {
		return w.err
	}
	return w.out.Flush()
}

// encodeSegment returns the segment that names the given packs.
func encodeSegment(footers []Footer) ([]byte, error) {
	footers = slices.Clone(footers)
	slices.SortFunc(footers, func(a, b Footer) int { return strings.Compare(a.Key, b.Key) })
	n := 0
	for i := range footers {
		n += len(footers[i].Entries)
	}
	if n == 0 {
		return nil, fmt.Errorf("an index segment without chunks: %w", fs.ErrInvalid)
	}
	entries := make([]indexEntry, 0, n)
	packs := make([]PackInfo, 0, len(footers))
	for i := range footers {
		f := &footers[i]
		if i > 0 && f.Key == footers[i-1].Key {
			return nil, fmt.Errorf("an index segment with pack %s twice: %w", f.Key, fs.ErrInvalid)
		}
		packs = append(packs, PackInfo{f.Key, f.Size, f.Meta, len(f.Entries), f.Sum})
		for _, e := range f.Entries {
			entries = append(entries, indexEntry{e, uint32(i)})
		}
	}
	slices.SortFunc(entries, func(a, b indexEntry) int {
		if a.less(&b) {
			return -1
		}
		return 1
	})
	h := segmentHead{bits: fanoutBits(n), packs: len(packs), count: n}
	for i := range packs {
		h.keyBytes += len(packs[i].Key)
	}
	var out bytes.Buffer
	out.Grow(int(h.size()))
	var w segmentWriter
	w.start(&out, slices.Values(packs), fanoutOf(entries, h.bits), n)
	for i := range entries {
		w.add(&entries[i])
	}
	if err := w.finish(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
