package memo

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"slices"
	"sort"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Limits of a segment; writer and reader hold them.
const (
	SegmentRecordsMax = 1 << 20 // records of one segment
	SegmentSizeMax    = 1 << 30 // bytes of one segment
)

// The layout of a segment, described in FORMAT.md. Numbers are little-endian.
const (
	segmentMagic   = "DVXMEMO1"
	segmentHead    = 32           // magic, count, zero, size, zero
	segmentEntry   = 64           // key, offset, length, zero, sum
	segmentFoot    = chunk.IDSize // hash of all before
	entrySum       = 48           // where the record's sum is in an entry
	entrySumSize   = 16           // bytes of it
	scanEntries    = 32           // entries that one read of a search takes in
	segmentSizeMin = segmentHead + segmentFoot
)

// Segment is an immutable table of records, sorted by key and scope, that is
// read where it lies: a look-up costs a binary search, not memory. It may be
// used concurrently if its reader may.
type Segment struct {
	r     io.ReaderAt
	size  int64
	count int

	mu       sync.Mutex
	asked    int      // how many keys were looked up
	prefixes []uint32 // of the keys, in order, once many were looked up
}

// EncodeSegment returns the segment that holds the records, in whatever order
// they are given. No two may have the same key and scope. It fails with
// fs.ErrInvalid beyond the limits.
func EncodeSegment(records []Record) ([]byte, error) {
	blobs := make([]blob, len(records))
	for i, r := range records {
		b, err := EncodeRecord(r)
		if err != nil {
			return nil, err
		}
		blobs[i] = blob{r.Key, r.Scope, b}
	}
	return encodeBlobs(blobs)
}

// blob is an encoded record and what it is sorted by.
type blob struct {
	key   Key
	scope string
	bytes []byte
}

func (a blob) compare(b blob) int {
	return cmp.Or(bytes.Compare(a.key[:], b.key[:]), cmp.Compare(a.scope, b.scope))
}

// encodeBlobs sorts the blobs in place and writes them as a segment.
func encodeBlobs(blobs []blob) ([]byte, error) {
	if len(blobs) > SegmentRecordsMax {
		return nil, fmt.Errorf("encode memo segment: %d records exceed the limit of %d: %w", len(blobs), SegmentRecordsMax, fs.ErrInvalid)
	}
	slices.SortFunc(blobs, blob.compare)
	at := int64(segmentHead + segmentEntry*len(blobs))
	size := at + segmentFoot
	for i, b := range blobs {
		if i > 0 && blobs[i-1].compare(b) == 0 {
			return nil, fmt.Errorf("encode memo segment: two records of key %v in scope %q: %w", b.key.Short(), b.scope, fs.ErrInvalid)
		}
		size += int64(len(b.bytes))
	}
	if size > SegmentSizeMax {
		return nil, fmt.Errorf("encode memo segment: %d bytes exceed the limit of %d: %w", size, SegmentSizeMax, fs.ErrInvalid)
	}
	out := make([]byte, segmentHead, size)
	copy(out, segmentMagic)
	binary.LittleEndian.PutUint32(out[8:], uint32(len(blobs))) //nolint:gosec // at most SegmentRecordsMax
	binary.LittleEndian.PutUint64(out[16:], uint64(size))      //nolint:gosec // positive
	for _, b := range blobs {
		out = append(out, b.key[:]...)
		out = binary.LittleEndian.AppendUint64(out, uint64(at)) //nolint:gosec // positive
		out = binary.LittleEndian.AppendUint32(out, uint32(len(b.bytes)))
		out = binary.LittleEndian.AppendUint32(out, 0)
		s := sum(recordHasher, b.bytes)
		out = append(out, s[:entrySumSize]...)
		at += int64(len(b.bytes))
	}
	for _, b := range blobs {
		out = append(out, b.bytes...)
	}
	foot := sum(segmentHasher, out)
	return append(out, foot[:]...), nil
}

// OpenSegment reads the head of a segment of size bytes and checks it against
// size; records are checked as they are read, and all else by [Segment.Verify].
// It fails with chunk.ErrCorrupt if this is no segment of a known version. The
// segment keeps r.
func OpenSegment(r io.ReaderAt, size int64) (*Segment, error) {
	if size < segmentSizeMin || size > SegmentSizeMax {
		return nil, corrupt("%d bytes, want %d to %d", size, segmentSizeMin, SegmentSizeMax)
	}
	head := make([]byte, segmentHead)
	if err := readAt(r, head, 0); err != nil {
		return nil, fmt.Errorf("memo segment: read head: %w", err)
	}
	count := int64(binary.LittleEndian.Uint32(head[8:]))
	want := make([]byte, segmentHead)
	copy(want, segmentMagic)
	copy(want[8:12], head[8:])
	binary.LittleEndian.PutUint64(want[16:], uint64(size))
	switch {
	case !bytes.HasPrefix(head, []byte(segmentMagic)):
		return nil, corrupt("magic %q, want %q", head[:8], segmentMagic)
	case !bytes.Equal(head, want):
		return nil, corrupt("head % x does not fit a size of %d bytes", head[8:], size)
	case count > SegmentRecordsMax || segmentSizeMin+count*segmentEntry > size:
		return nil, corrupt("%d records in %d bytes", count, size)
	}
	return &Segment{r: r, size: size, count: int(count)}, nil
}

// Len returns the number of records.
func (s *Segment) Len() int { return s.count }

// Size returns the length of the segment in bytes.
func (s *Segment) Size() int64 { return s.size }

// Find returns the records of a key, sorted by scope; none if there are none.
// It reads O(log n) entries. The error wraps chunk.ErrCorrupt for damage.
func (s *Segment) Find(key Key) ([]Record, error) {
	i, err := s.search(key)
	if err != nil {
		return nil, err
	}
	var found []Record
	for ; i < s.count; i++ {
		e, err := s.entries(i, 1)
		if err != nil {
			return nil, err
		}
		if !bytes.Equal(e[:len(key)], key[:]) {
			break
		}
		b, err := s.read(e)
		if err != nil {
			return nil, err
		}
		r, err := decodeBlob(b)
		if err != nil {
			return nil, err
		}
		found = append(found, r)
	}
	return found, nil
}

// All yields every record, sorted by key and scope, and ends at the first
// error.
func (s *Segment) All() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		for b, err := range s.blobs() {
			var r Record
			if err == nil {
				r, err = decodeBlob(b)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// Verify reads the whole segment once, in bounded memory, and fails with
// chunk.ErrCorrupt unless it is exactly what [EncodeSegment] writes for its
// records.
func (s *Segment) Verify() error {
	h := segmentHasher.Clone()
	body := s.size - segmentFoot
	if n, err := io.Copy(h, io.NewSectionReader(s.r, 0, body)); err != nil || n != body {
		return fmt.Errorf("memo segment: read %d of %d bytes: %w", n, body, cmp.Or(err, chunk.ErrCorrupt))
	}
	foot := make([]byte, segmentFoot)
	if err := readAt(s.r, foot, body); err != nil {
		return fmt.Errorf("memo segment: %w", err)
	}
	if !bytes.Equal(h.Sum(nil), foot) {
		return corrupt("hash differs")
	}
	return s.verifyOrder()
}

// verifyOrder checks that the table ascends and that the records lie one after
// the other without gaps.
func (s *Segment) verifyOrder() error {
	at := uint64(segmentHead) + uint64(s.count)*segmentEntry //nolint:gosec // count is not negative
	var last blob
	for i := range s.count {
		e, err := s.entries(i, 1)
		if err != nil {
			return err
		}
		b, err := s.read(e)
		if err != nil {
			return err
		}
		r, err := decodeBlob(b)
		if err != nil {
			return err
		}
		b.scope = r.Scope
		switch {
		case i > 0 && last.compare(b) >= 0:
			return corrupt("record %v is out of order", b.key.Short())
		case binary.LittleEndian.Uint64(e[32:]) != at || binary.LittleEndian.Uint32(e[44:]) != 0:
			return corrupt("record %v does not follow its predecessor", b.key.Short())
		}
		at += uint64(len(b.bytes))
		last = b
	}
	if at != uint64(s.size-segmentFoot) { //nolint:gosec // not negative
		return corrupt("%d bytes after the last record", s.size-segmentFoot-int64(at)) //nolint:gosec // within the size
	}
	return nil
}

// blobs yields the records as they are stored, with their scopes left empty.
func (s *Segment) blobs() iter.Seq2[blob, error] {
	return func(yield func(blob, error) bool) {
		for i := 0; i < s.count; i += scanEntries {
			n := min(scanEntries, s.count-i)
			table, err := s.entries(i, n)
			for j := 0; err == nil && j < n; j++ {
				var b blob
				if b, err = s.read(table[j*segmentEntry : (j+1)*segmentEntry]); err == nil && !yield(b, nil) {
					return
				}
			}
			if err != nil {
				yield(blob{}, err)
				return
			}
		}
	}
}

// prefixedMax is how many entries a segment may have for the prefixes of its
// keys to be held in memory: 16 MiB.
const prefixedMax = 4 << 20

// prefixedFrom is how many look-ups make it worth while to read the whole table
// for them.
const prefixedFrom = 256

// load returns the prefixes of the segment's keys, nil if they are too many.
// They tell where in the table a key is, and nearly always that it is not there:
// of a hundred thousand keys looked up in a dozen segments, only the hits are
// read.
func (s *Segment) load() ([]uint32, error) {
	if s.count > prefixedMax {
		return nil, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked++; s.prefixes != nil || s.asked < prefixedFrom {
		return s.prefixes, nil
	}
	const block = 4096 // entries
	all := make([]uint32, 0, s.count)
	for i := 0; i < s.count; i += block {
		table, err := s.entries(i, min(block, s.count-i))
		if err != nil {
			return nil, err
		}
		for ; len(table) > 0; table = table[segmentEntry:] {
			all = append(all, binary.BigEndian.Uint32(table))
		}
	}
	s.prefixes = all
	return all, nil
}

// search returns the index of the first entry whose key is at least key, or any
// index beyond it if no entry has that key.
func (s *Segment) search(key Key) (int, error) {
	lo, hi := 0, s.count
	prefixes, err := s.load()
	if err != nil {
		return 0, err
	}
	if prefixes != nil {
		want, found := binary.BigEndian.Uint32(key[:]), false
		if lo, found = slices.BinarySearch(prefixes, want); !found {
			return s.count, nil
		}
		for hi = lo + 1; hi < s.count && prefixes[hi] == want; hi++ {
		}
	}
	for hi-lo > scanEntries {
		mid := int(uint(lo+hi) >> 1)
		e, err := s.entries(mid, 1)
		if err != nil {
			return 0, err
		}
		if bytes.Compare(e[:len(key)], key[:]) < 0 {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	table, err := s.entries(lo, hi-lo)
	if err != nil {
		return 0, err
	}
	return lo + sort.Search(hi-lo, func(i int) bool {
		return bytes.Compare(table[i*segmentEntry:i*segmentEntry+len(key)], key[:]) >= 0
	}), nil
}

// entries reads n entries of the table from index i on.
func (s *Segment) entries(i, n int) ([]byte, error) {
	b := make([]byte, n*segmentEntry)
	if err := readAt(s.r, b, segmentHead+int64(i)*segmentEntry); err != nil {
		return nil, fmt.Errorf("memo segment: read table: %w", err)
	}
	return b, nil
}

// read returns the record that an entry of the table points at, checked
// against the entry's sum.
func (s *Segment) read(entry []byte) (blob, error) {
	b := blob{key: Key(entry[:chunk.IDSize])}
	at, err := s.place(entry)
	if err != nil {
		return blob{}, err
	}
	b.bytes = make([]byte, binary.LittleEndian.Uint32(entry[40:]))
	if err := readAt(s.r, b.bytes, at); err != nil {
		return blob{}, fmt.Errorf("memo segment: read record %v: %w", b.key.Short(), err)
	}
	if got := sum(recordHasher, b.bytes); !bytes.Equal(got[:entrySumSize], entry[entrySum:]) {
		return blob{}, corrupt("hash of record %v differs", b.key.Short())
	}
	return b, nil
}

// place returns where the record lies that an entry of the table points at.
func (s *Segment) place(entry []byte) (int64, error) {
	at := binary.LittleEndian.Uint64(entry[32:])
	n := int64(binary.LittleEndian.Uint32(entry[40:]))
	first, end := int64(segmentHead)+int64(s.count)*segmentEntry, s.size-segmentFoot
	if at < uint64(first) || at > uint64(end) || n > end-int64(at) || n > RecordSizeMax { //nolint:gosec // both positive, at in range
		return 0, corrupt("record %v lies at %d with %d bytes, outside of the segment", Key(entry[:chunk.IDSize]).Short(), at, n)
	}
	return int64(at), nil //nolint:gosec // in range
}

func decodeBlob(b blob) (Record, error) {
	r, err := DecodeRecord(b.bytes)
	if err != nil {
		return Record{}, fmt.Errorf("memo segment: record %v: %w", b.key.Short(), err)
	}
	if r.Key != b.key {
		return Record{}, corrupt("record of key %v is filed under %v", r.Key.Short(), b.key.Short())
	}
	return r, nil
}

// readAt fills b from r. What is missing at the end is damage: the size was
// given.
func readAt(r io.ReaderAt, b []byte, off int64) error {
	n, err := r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == nil || errors.Is(err, io.EOF):
		return fmt.Errorf("truncated at byte %d: %w", off+int64(n), chunk.ErrCorrupt)
	}
	return err
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf("memo segment: "+format+": %w", append(args, chunk.ErrCorrupt)...)
}
