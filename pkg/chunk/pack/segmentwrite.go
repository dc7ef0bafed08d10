package pack

import (
	"bufio"
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
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

// fanoutCounts counts entries by the first 16 bits of their ID.
type fanoutCounts [1 << fanoutBitsMax]uint32

// start writes all that comes before the entries. packs are sorted by key.
func (w *segmentWriter) start(out io.Writer, packs []PackInfo, counts *fanoutCounts, n int) {
	w.out = bufio.NewWriterSize(out, 64<<10)
	w.hash = blake3.NewDeriveKey(segmentContext)
	if n > SegmentEntriesMax || len(packs) > SegmentPacksMax {
		w.err = fmt.Errorf("%d chunks in %d packs are too many for an index segment: %w", n, len(packs), fs.ErrInvalid)
		return
	}
	bits := fanoutBits(n)
	var tables, keys []byte
	total := uint32(0)
	for i, c := range counts {
		total += c
		if (i+1)%(1<<(fanoutBitsMax-bits)) == 0 {
			tables = binary.BigEndian.AppendUint32(tables, total)
		}
	}
	for i := range packs {
		p := &packs[i]
		class := byte(classData)
		if p.Meta {
			class = classMeta
		}
		tables = binary.BigEndian.AppendUint32(tables, uint32(len(keys)))
		tables = binary.BigEndian.AppendUint16(tables, uint16(len(p.Key)))
		tables = append(tables, class, 0)
		tables = binary.BigEndian.AppendUint32(tables, uint32(p.Size))
		tables = binary.BigEndian.AppendUint32(tables, uint32(p.Chunks))
		tables = append(tables, p.Sum[:]...)
		keys = append(keys, p.Key...)
	}
	head := append([]byte(segmentMagic), segmentVersion, byte(bits), 0, 0)
	head = binary.BigEndian.AppendUint32(head, uint32(len(packs)))
	head = binary.BigEndian.AppendUint32(head, uint32(len(keys)))
	head = binary.BigEndian.AppendUint32(head, uint32(n))
	head = binary.BigEndian.AppendUint64(head, 0)
	headSum := sum(headContext, head, tables, keys)
	w.write(head)
	w.write(headSum[:])
	w.write(tables)
	w.write(keys)
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
	var counts fanoutCounts
	entries := make([]indexEntry, 0, n)
	packs := make([]PackInfo, 0, len(footers))
	for i := range footers {
		f := &footers[i]
		if i > 0 && f.Key == footers[i-1].Key {
			return nil, fmt.Errorf("an index segment with pack %s twice: %w", f.Key, fs.ErrInvalid)
		}
		packs = append(packs, PackInfo{f.Key, f.Size, f.Meta, len(f.Entries), f.Sum})
		for _, e := range f.Entries {
			counts[binary.BigEndian.Uint16(e.ID[:])]++
			entries = append(entries, indexEntry{e, uint32(i)})
		}
	}
	slices.SortFunc(entries, func(a, b indexEntry) int {
		if a.less(&b) {
			return -1
		}
		return 1
	})
	var out bytes.Buffer
	var w segmentWriter
	w.start(&out, packs, &counts, n)
	for i := range entries {
		w.add(&entries[i])
	}
	if err := w.finish(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// merger walks over the entries of several segments in order. A pack that
// several of them name counts once.
type merger struct {
	packs   []PackInfo
	remap   [][]uint32 // per segment: its pack numbers in packs
	segs    []*segment
	cursors []mergeCursor // a heap
}

// mergeCursor is the next entry of one segment.
type mergeCursor struct {
	indexEntry
	seg  int
	next int
}

// newMerger verifies the segments and unites their packs.
func newMerger(segs []*segment) (*merger, error) {
	m := &merger{segs: segs}
	for _, s := range segs {
		if err := s.check(); err != nil {
			return nil, err
		}
		for i := range s.packs {
			m.packs = append(m.packs, s.pack(i))
		}
	}
	slices.SortStableFunc(m.packs, func(a, b PackInfo) int { return strings.Compare(a.Key, b.Key) })
	for i := 1; i < len(m.packs); i++ {
		if a, b := m.packs[i-1], m.packs[i]; a.Key == b.Key && a != b {
			return nil, corrupt("index segments disagree on pack %s", a.Key)
		}
	}
	m.packs = slices.Compact(m.packs)
	for _, s := range segs {
		numbers := make([]uint32, s.packs)
		for i := range numbers {
			n, _ := slices.BinarySearchFunc(m.packs, string(s.packKey(i)), func(p PackInfo, key string) int { return strings.Compare(p.Key, key) })
			numbers[i] = uint32(n)
		}
		m.remap = append(m.remap, numbers)
	}
	return m, nil
}

// each calls fn with every entry of the union, in order.
func (m *merger) each(fn func(*indexEntry)) error {
	m.cursors = m.cursors[:0]
	for i := range m.segs {
		m.cursors = append(m.cursors, mergeCursor{seg: i})
		m.advance(len(m.cursors) - 1)
	}
	heap.Init(m)
	var last indexEntry
	for first := true; len(m.cursors) > 0; {
		e := m.cursors[0].indexEntry
		switch {
		case first || last.less(&e):
			fn(&e)
		case e != last:
			return corrupt("index segments disagree on %v %s", e.Kind, e.ID.Short())
		}
		first, last = false, e
		if m.advance(0) {
			heap.Fix(m, 0)
		} else {
			heap.Pop(m)
		}
	}
	return nil
}

// advance moves a cursor on and reports whether there was an entry.
func (m *merger) advance(i int) bool {
	c := &m.cursors[i]
	s := m.segs[c.seg]
	if c.next == s.count {
		return false
	}
	c.indexEntry, _ = s.entry(c.next)
	c.pack = m.remap[c.seg][c.pack]
	c.next++
	s.passed(c.next)
	return true
}

// Len implements heap.Interface.
func (m *merger) Len() int { return len(m.cursors) }

// Less implements heap.Interface.
func (m *merger) Less(i, j int) bool { return m.cursors[i].less(&m.cursors[j].indexEntry) }

// Swap implements heap.Interface.
func (m *merger) Swap(i, j int) { m.cursors[i], m.cursors[j] = m.cursors[j], m.cursors[i] }

// Push implements heap.Interface; nothing is pushed.
func (m *merger) Push(any) { panic("dvx: bug: push into a merge of segments") }

// Pop implements heap.Interface.
func (m *merger) Pop() any {
	last := m.cursors[len(m.cursors)-1]
	m.cursors = m.cursors[:len(m.cursors)-1]
	return last
}

// writeTo writes the union as a segment.
func (m *merger) writeTo(out io.Writer) error { return writeMerged(out, m.packs, m.each) }

// writeMerged writes the segment of the packs, whose entries each yields in
// order; it is called twice.
func writeMerged(out io.Writer, packs []PackInfo, each func(func(*indexEntry)) error) error {
	var counts fanoutCounts
	n := 0
	if err := each(func(e *indexEntry) {
		counts[binary.BigEndian.Uint16(e.ID[:])]++
		n++
	}); err != nil {
		return err
	}
	var w segmentWriter
	w.start(out, packs, &counts, n)
	return errors.Join(each(w.add), w.finish())
}
