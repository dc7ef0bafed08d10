package pack

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"runtime"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Inventory numbers the packs and entries of a snapshot, for garbage
// collection and for checks, which look at all of them. It never changes.
type Inventory struct {
	Packs []PackInfo // each once, sorted by key; sessions that started later come later

	segs  []*segment
	first []int      // per segment: number of its first entry
	remap [][]uint32 // per segment: its pack numbers in Packs
	total int
}

// Inventory verifies the snapshot's segments in full and numbers what they
// name. Besides the mapped segments it takes some 100 bytes for each pack.
func (s *Snapshot) Inventory() (*Inventory, error) {
	m, err := newMerger(s.segs)
	if err != nil {
		return nil, fmt.Errorf("take inventory: %w", err)
	}
	v := &Inventory{Packs: m.packs, segs: s.segs, remap: m.remap}
	for _, seg := range s.segs {
		v.first = append(v.first, v.total)
		v.total += seg.count
	}
	return v, nil
}

// Len returns the number of entries: a chunk that has several places counts
// once for each.
func (v *Inventory) Len() int { return v.total }

// Find returns the number of a chunk's entry, of the one in the pack with the
// greatest key if it has several: so a copy that was made to replace a damaged
// one takes its place.
func (v *Inventory) Find(kind chunk.Kind, id *chunk.ID) (at int, ok bool) {
	var best uint32
	for n, seg := range v.segs {
		i, found := seg.find(kind, id)
		for ; found; i++ {
			pack := v.remap[n][binary.BigEndian.Uint32(seg.entries[i*indexEntrySize+entrySize:])]
			if !ok || pack > best {
				at, best, ok = v.first[n]+i, pack, true
			}
			found = i+1 < seg.count && seg.holds(i+1, kind, id)
		}
	}
	runtime.KeepAlive(v)
	return at, ok
}

// Each calls fn for every entry with its number and its pack's, until fn fails.
func (v *Inventory) Each(fn func(at, pack int, e *Entry) error) error {
	for n, seg := range v.segs {
		for i := range seg.count {
			e, _ := seg.entry(i)
			if err := fn(v.first[n]+i, int(v.remap[n][e.pack]), &e.Entry); err != nil {
				return err
			}
		}
	}
	runtime.KeepAlive(v)
	return nil
}

// FilterSegments is [Store.MergeSegments] without the packs for which drop
// returns true. key is empty, and nothing is written, if no pack is left.
func (st *Store) FilterSegments(ctx context.Context, session string, n int, in []string, drop func(pack string) bool) (key string, err error) {
	if len(in) == 0 {
		return "", fmt.Errorf("filter no index segments: %w", fs.ErrInvalid)
	}
	key = mergedKey(session, n)
	if _, _, err := ParseKey(key); err != nil {
		return "", err
	}
	snap, err := st.Snapshot(ctx, in)
	if err != nil {
		return "", err
	}
	m, err := newMerger(snap.segs)
	if err != nil {
		return "", fmt.Errorf("filter index segments: %w", err)
	}
	f := newFilter(m, drop)
	if len(f.packs) == 0 {
		return "", nil
	}
	return key, st.putSegment(ctx, key, snap, f.writeTo)
}

// filter writes what a merger walks over, without some packs.
type filter struct {
	m       *merger
	packs   []PackInfo
	numbers []int32 // by number in the merger: the number in packs, -1 if it is left out
}

func newFilter(m *merger, drop func(pack string) bool) *filter {
	f := &filter{m: m, numbers: make([]int32, len(m.packs))}
	for i, p := range m.packs {
		f.numbers[i] = -1
		if !drop(p.Key) {
			f.numbers[i] = int32(len(f.packs)) //nolint:gosec // SegmentPacksMax fits
			f.packs = append(f.packs, p)
		}
	}
	return f
}

func (f *filter) each(fn func(*indexEntry)) error {
	return f.m.each(func(e *indexEntry) {
		if n := f.numbers[e.pack]; n >= 0 {
			kept := indexEntry{e.Entry, uint32(n)}
			fn(&kept)
		}
	})
}

func (f *filter) writeTo(out io.Writer) error { return writeMerged(out, f.packs, f.each) }
