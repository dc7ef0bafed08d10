package pack

import (
	"bytes"
	"container/heap"
	"encoding/binary"
	"errors"
	"io"
	"iter"
	"math"
	"runtime"
	"slices"
)

// merger walks over the packs and entries of several segments in order. A pack
// that several of them name counts once. It holds some 12 bytes for each pack,
// and a scanStep of each segment while it is at work.
type merger struct {
	segs    []*segment
	packs   []packRef     // in order of key
	numbers [][]uint32    // per segment: its packs' numbers in packs, noPack for those left out
	cursors []mergeCursor // a heap
}

// packRef is a pack of a segment.
type packRef struct{ seg, pack uint32 }

const noPack = math.MaxUint32

// mergeCursor is the next entry of one segment.
type mergeCursor struct {
	indexEntry
	seg  int
	next int
}

// newMerger verifies the segments and unites their packs, all but those for
// which drop, if there is one, returns true.
func newMerger(segs []*segment, drop func(pack string) bool) (*merger, error) {
	m := &merger{segs: segs, numbers: make([][]uint32, len(segs))}
	var all []packRef
	for i, s := range segs {
		if err := s.check(); err != nil {
			return nil, err
		}
		m.numbers[i] = make([]uint32, s.packs)
		for p := range s.packs {
			all = append(all, packRef{uint32(i), uint32(p)})
		}
	}
	slices.SortFunc(all, func(a, b packRef) int { return bytes.Compare(m.key(a), m.key(b)) })
	for i, r := range all {
		switch {
		case i > 0 && bytes.Equal(m.key(r), m.key(all[i-1])):
			if m.pack(r) != m.pack(all[i-1]) {
				return nil, corrupt("index segments disagree on pack %s", m.key(r))
			}
			m.numbers[r.seg][r.pack] = m.numbers[all[i-1].seg][all[i-1].pack]
		case drop != nil && drop(string(m.key(r))):
			m.numbers[r.seg][r.pack] = noPack
		default:
			m.numbers[r.seg][r.pack] = uint32(len(m.packs))
			m.packs = append(m.packs, r)
		}
	}
	runtime.KeepAlive(segs)
	return m, nil
}

func (m *merger) key(r packRef) []byte    { return m.segs[r.seg].packKey(int(r.pack)) }
func (m *merger) pack(r packRef) PackInfo { return m.segs[r.seg].pack(int(r.pack)) }

// eachPack yields the packs in order of key.
func (m *merger) eachPack() iter.Seq[PackInfo] {
	return func(yield func(PackInfo) bool) {
		const step = 1 << 16
		for i, r := range m.packs {
			if !yield(m.pack(r)) {
				return
			}
			if i%step == step-1 {
				m.forgetHeads()
			}
		}
		m.forgetHeads()
	}
}

// forgetHeads gives back the memory of the pack tables that were read.
func (m *merger) forgetHeads() {
	for _, s := range m.segs {
		if s.mapped {
			forget(s.data, 0, int(s.entriesAt()))
		}
	}
}

// each calls fn with every entry of the union, in order.
func (m *merger) each(fn func(*indexEntry)) error {
	m.cursors = m.cursors[:0]
	for i := range m.segs {
		c := mergeCursor{seg: i}
		if m.advance(&c) {
			m.cursors = append(m.cursors, c)
		}
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
		if m.advance(&m.cursors[0]) {
			heap.Fix(m, 0)
		} else {
			heap.Pop(m)
		}
	}
	return nil
}

// advance moves a cursor on and reports whether there was an entry.
func (m *merger) advance(c *mergeCursor) bool {
	s := m.segs[c.seg]
	for c.next < s.count {
		c.indexEntry, _ = s.entry(c.next)
		c.pack = m.numbers[c.seg][c.pack]
		c.next++
		s.passed(c.next)
		if c.pack != noPack {
			return true
		}
	}
	return false
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

// writeTo writes the union as a segment. It walks over the entries twice.
func (m *merger) writeTo(out io.Writer) error { return writeMerged(out, m.eachPack(), m.each) }

// writeMerged writes the segment of the packs, whose entries each yields in
// order; it is called twice.
func writeMerged(out io.Writer, packs iter.Seq[PackInfo], each func(func(*indexEntry)) error) error {
	var counts fanoutCounts
	n := 0
	if err := each(func(e *indexEntry) {
		counts[binary.BigEndian.Uint16(e.ID[:])]++
		n++
	}); err != nil {
		return err
	}
	var w segmentWriter
	w.start(out, packs, counts.fanout(fanoutBits(n)), n)
	return errors.Join(each(w.add), w.finish())
}
