package pack

import (
	"context"
	"encoding/binary"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
)

// Inventory numbers the packs and entries of a snapshot, for garbage
// collection and for checks, which look at all of them. It never changes.
type Inventory struct {
	Packs []PackInfo // each once, in no order; of a later inventory the first ones are the same

	segs  []numbered
	byKey []uint32 // numbers of packs, sorted by their keys
	total int
}

// numbered is a segment with its numbers.
type numbered struct {
	*segment
	first int      // number of its first entry
	packs []uint32 // numbers of its packs
}

// Inventory verifies the snapshot's segments in full and numbers what they
// name. What before has numbered (nil: nothing) keeps its number and is not
// verified again, so that a look at a slightly newer snapshot costs little.
// Besides the mapped segments it takes some 200 bytes for each pack.
func (s *Snapshot) Inventory(ctx context.Context, before *Inventory) (*Inventory, error) {
	if before == nil {
		before = &Inventory{}
	}
	v := &Inventory{Packs: slices.Clip(before.Packs), byKey: before.byKey, total: before.total}
	segs, err := s.whole(ctx)
	if err != nil {
		return nil, fmt.Errorf("take inventory: %w", err)
	}
	var fresh []*segment
	for _, seg := range segs {
		if i := slices.IndexFunc(before.segs, func(n numbered) bool { return n.key == seg.key }); i >= 0 {
			v.segs = append(v.segs, before.segs[i])
		} else {
			fresh = append(fresh, seg)
		}
	}
	for _, seg := range fresh {
		if err := seg.check(); err != nil {
			return nil, fmt.Errorf("take inventory: %w", err)
		}
		v.addPacks(seg)
	}
	for _, seg := range fresh {
		n := numbered{segment: seg, first: v.total, packs: make([]uint32, seg.packs)}
		for i := range seg.packs {
			info := seg.pack(i)
			at, _ := v.findPack(info.Key)
			if n.packs[i] = v.byKey[at]; v.Packs[n.packs[i]] != info {
				return nil, corrupt("index segments disagree on pack %s", info.Key)
			}
		}
		v.segs = append(v.segs, n)
		v.total += seg.count
	}
	return v, nil
}

// addPacks numbers the packs of a segment that have no number.
func (v *Inventory) addPacks(seg *segment) {
	var fresh []uint32 // sorted by key, as the segment's packs are
	for i := range seg.packs {
		info := seg.pack(i)
		if _, ok := v.findPack(info.Key); !ok {
			fresh = append(fresh, uint32(len(v.Packs)))
			v.Packs = append(v.Packs, info)
		}
	}
	merged := make([]uint32, 0, len(v.byKey)+len(fresh))
	for _, old := range v.byKey {
		for len(fresh) > 0 && v.Packs[fresh[0]].Key < v.Packs[old].Key {
			merged, fresh = append(merged, fresh[0]), fresh[1:]
		}
		merged = append(merged, old)
	}
	v.byKey = append(merged, fresh...)
}

func (v *Inventory) findPack(key string) (at int, ok bool) {
	return slices.BinarySearchFunc(v.byKey, key, func(n uint32, key string) int { return strings.Compare(v.Packs[n].Key, key) })
}

// Len returns how many numbers of entries were given so far, by this inventory
// and those before it: all numbers are below.
func (v *Inventory) Len() int { return v.total }

// Find returns the number of a chunk's entry and of its pack: of the entry in
// the pack with the greatest key if it has several, so that a copy which was
// made to replace a damaged one takes its place.
func (v *Inventory) Find(kind chunk.Kind, id *chunk.ID) (at, pack int, ok bool) {
	for _, seg := range v.segs {
		i, found := seg.find(kind, id)
		for ; found; i++ {
			p := int(seg.packs[binary.BigEndian.Uint32(seg.entries[i*indexEntrySize+entrySize:])])
			if !ok || p != pack && v.Packs[p].Key > v.Packs[pack].Key {
				at, pack, ok = seg.first+i, p, true
			}
			found = i+1 < seg.count && seg.holds(i+1, kind, id)
		}
	}
	runtime.KeepAlive(v)
	return at, pack, ok
}

// Each calls fn for every entry whose number is at least from, with its number
// and its pack's, until fn fails.
func (v *Inventory) Each(from int, fn func(at, pack int, e *Entry) error) error {
	for _, seg := range v.segs {
		if seg.first < from {
			continue // a segment's numbers were given together
		}
		for i := range seg.count {
			e, _ := seg.entry(i)
			if err := fn(seg.first+i, int(seg.packs[e.pack]), &e.Entry); err != nil {
				return err
			}
			seg.passed(i + 1)
		}
	}
	runtime.KeepAlive(v)
	return nil
}

// SegmentsOf returns the keys of the segments that name one of the packs for
// which want returns true.
func (v *Inventory) SegmentsOf(want func(pack int) bool) []string {
	var keys []string
	for _, seg := range v.segs {
		if slices.ContainsFunc(seg.packs, func(p uint32) bool { return want(int(p)) }) {
			keys = append(keys, seg.key)
		}
	}
	return keys
}

// IsMerged reports whether key is of an index segment that MergeSegments,
// FilterSegments or IndexPacks wrote: it may name packs of any session.
func IsMerged(key string) bool {
	_, _, err := ParseKey(key)
	return err == nil && strings.HasPrefix(key, SegmentPrefix) && strings.Contains(key, "/m")
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
	segs, err := snap.whole(ctx)
	if err != nil {
		return "", err
	}
	m, err := newMerger(segs, drop)
	if err != nil {
		return "", fmt.Errorf("filter index segments: %w", err)
	}
	if len(m.packs) == 0 {
		return "", nil
	}
	return key, st.putSegment(ctx, key, segs, m.writeTo)
}

// ReadChunks reads a whole pack, verifies its footer, and calls fn for the
// chunks that want asks for, verified and in the order of their offsets. plain
// is valid during the call only.
func (st *Store) ReadChunks(ctx context.Context, key string, want func(*Entry) (bool, error), fn func(e *Entry, plain []byte) error) error {
	b, _, err := objstore.ReadAll(ctx, st.objects, key, objstore.Range{}, PackSizeMax)
	if err != nil {
		return readError(key, err)
	}
	count, err := decodeTrailer(b[max(0, len(b)-trailerSize):], int64(len(b)))
	if err != nil {
		return fmt.Errorf("pack %s: %w", key, err)
	}
	f, err := decodeFooter(b[len(b)-packLength(0, count):], int64(len(b)))
	if err != nil {
		return fmt.Errorf("pack %s: %w", key, err)
	}
	var scratch []byte
	for i := range f.Entries {
		e := &f.Entries[i]
		wanted, err := want(e)
		if err != nil {
			return err
		}
		if !wanted {
			continue
		}
		if e.Encoding == Zstd && cap(scratch) < int(e.Plain) {
			scratch = make([]byte, 0, e.Plain)
		}
		plain, err := st.codec.decode(e, b[e.Offset:e.Offset+e.Stored], scratch)
		if err != nil {
			return fmt.Errorf("pack %s, offset %d, %v %s: %w", key, e.Offset, e.Kind, e.ID.Short(), err)
		}
		if err := fn(e, plain); err != nil {
			return err
		}
	}
	return ctx.Err()
}
