package pack

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sort"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
)

const (
	segmentVersion     = 1
	segmentMagic       = "dvx-indx"
	segmentEnd         = "xdni-xvd"
	segmentHeaderSize  = 64
	segmentTrailerSize = sumSize + len(segmentEnd)
	packRecordSize     = 48
	indexEntrySize     = entrySize + 4

	// SegmentPacksMax is the most packs that one segment can name.
	SegmentPacksMax = 1 << 22
	// SegmentEntriesMax is the most chunks that one segment can name.
	SegmentEntriesMax = math.MaxInt32

	fanoutBitsMax = 16
	bucketTarget  = 64 // entries: 3 KiB, less than one ranged read costs anyway
)

// fanoutBits returns how many leading bits of the ID select a bucket in a
// segment of n entries: the fewest that leave a bucket bucketTarget entries on
// average.
func fanoutBits(n int) int {
	bits := 0
	for bits < fanoutBitsMax && n>>bits > bucketTarget {
		bits++
	}
	return bits
}

// bucketOf returns the bucket of id under bits.
func bucketOf(id *chunk.ID, bits int) int {
	return int(binary.BigEndian.Uint16(id[:]) >> (16 - bits))
}

// PackInfo is what a segment knows of a pack.
type PackInfo struct {
	Key    string
	Size   int64         // bytes of the object
	Meta   bool          // it holds metadata
	Chunks int           // how many it holds
	Sum    [sumSize]byte // BLAKE3 of the pack up to the checksum itself
}

// segmentHead is what the first bytes of a segment say of it.
type segmentHead struct {
	key      string
	bits     int
	packs    int
	count    int
	keyBytes int
}

// parseSegmentHead reads the first segmentHeaderSize bytes of a segment.
func parseSegmentHead(key string, b []byte) (h segmentHead, err error) {
	switch {
	case len(b) < segmentHeaderSize:
		return h, corrupt("%d bytes are too few", len(b))
	case string(b[:8]) != segmentMagic:
		return h, corrupt("the magic is missing")
	case b[8] > segmentVersion:
		return h, fmt.Errorf("version %d was written by a newer dvx: %w", b[8], errors.ErrUnsupported)
	case b[8] != segmentVersion || b[10] != 0 || b[11] != 0 || binary.BigEndian.Uint64(b[24:]) != 0:
		return h, corrupt("header has %x", b[8:32])
	}
	packs, keyBytes, count := binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint32(b[16:]), binary.BigEndian.Uint32(b[20:])
	if packs == 0 || packs > SegmentPacksMax || count == 0 || count > SegmentEntriesMax || int(b[9]) != fanoutBits(int(count)) {
		return h, corrupt("%d entries, %d packs and %d fan-out bits", count, packs, b[9])
	}
	return segmentHead{key, int(b[9]), int(packs), int(count), int(keyBytes)}, nil
}

// The offsets of a segment's parts.
func (h *segmentHead) recordsAt() int64 { return segmentHeaderSize + 4<<h.bits }
func (h *segmentHead) keysAt() int64    { return h.recordsAt() + int64(h.packs)*packRecordSize }
func (h *segmentHead) entriesAt() int64 { return h.keysAt() + int64(h.keyBytes) }
func (h *segmentHead) size() int64 {
	return h.entriesAt() + int64(h.count)*indexEntrySize + int64(segmentTrailerSize)
}

func (h *segmentHead) describe() SegmentInfo {
	return SegmentInfo{Key: h.key, Size: h.size(), Chunks: h.count, Packs: h.packs}
}

// segment is an index segment over its encoded bytes, which never change.
type segment struct {
	segmentHead
	data    []byte
	fanout  []byte
	records []byte
	keys    []byte
	entries []byte
	mapped  bool   // data is a mapped file, not memory of ours
	filter  filter // nil if there is none

	verify   sync.Once // of the whole
	verified error
}

// headEagerMax is the size up to which the head of a segment is verified when
// it is opened: a fraction of a millisecond. Of a larger one, whatever is used
// is held to the rules for itself, as entries are.
const headEagerMax = 256 << 10

// openSegment opens an encoded segment. Beyond headEagerMax only verifyAll
// verifies it.
func openSegment(key string, data []byte) (*segment, error) {
	s := &segment{data: data}
	if err := s.open(key); err != nil {
		return nil, fmt.Errorf("index segment %s: %w", key, err)
	}
	return s, nil
}

func (s *segment) open(key string) (err error) {
	b := s.data
	if s.segmentHead, err = parseSegmentHead(key, b); err != nil {
		return err
	}
	if s.size() != int64(len(b)) {
		return corrupt("%d bytes instead of %d", len(b), s.size())
	}
	if string(b[len(b)-len(segmentEnd):]) != segmentEnd {
		return corrupt("it does not end in its magic")
	}
	s.fanout = b[segmentHeaderSize:s.recordsAt()]
	s.records, s.keys = b[s.recordsAt():s.keysAt()], b[s.keysAt():s.entriesAt()]
	s.entries = b[s.entriesAt() : len(b)-segmentTrailerSize]
	if s.entriesAt() > headEagerMax {
		return nil
	}
	return s.checkHead()
}

// checkHead verifies what comes before the entries.
func (s *segment) checkHead() error {
	if got := headHash.sum(s.data[:32], s.data[segmentHeaderSize:s.entriesAt()]); !bytes.Equal(got[:], s.data[32:segmentHeaderSize]) {
		return corrupt("the head does not match its checksum")
	}
	if err := s.checkFanout(); err != nil {
		return err
	}
	return s.checkPacks()
}

func (s *segment) checkFanout() error {
	last := uint32(0)
	for i := 0; i < len(s.fanout); i += 4 {
		n := binary.BigEndian.Uint32(s.fanout[i:])
		if n < last || int(n) > s.count {
			return corrupt("the fan-out is not sorted")
		}
		last = n
	}
	if int(last) != s.count {
		return corrupt("the fan-out ends at %d of %d", last, s.count)
	}
	return nil
}

func (s *segment) checkPacks() error {
	var last []byte
	offset, chunks := 0, 0
	for i := range s.packs {
		r := s.records[i*packRecordSize:][:packRecordSize]
		size := binary.BigEndian.Uint32(r[8:])
		n := binary.BigEndian.Uint32(r[12:])
		length := int(binary.BigEndian.Uint16(r[4:]))
		switch {
		case int(binary.BigEndian.Uint32(r)) != offset || length > len(s.keys)-offset:
			return corrupt("the key of pack %d is out of place", i)
		case r[6] != classData && r[6] != classMeta || r[7] != 0:
			return corrupt("pack %d has class %x", i, r[6:8])
		case n == 0 || n > PackEntriesMax || size > PackSizeMax || packLength(headerSize, int(n)) > int(size):
			return corrupt("pack %d has %d bytes for %d chunks", i, size, n)
		}
		key := s.keys[offset:][:length]
		if bytes.Compare(key, last) <= 0 || objstore.CheckKey(string(key)) != nil {
			return corrupt("the key of pack %d is %.100q", i, key)
		}
		last = key
		offset += length
		chunks += int(n)
	}
	if offset != len(s.keys) || chunks != s.count {
		return corrupt("packs have %d bytes of keys and %d chunks instead of %d and %d", offset, chunks, len(s.keys), s.count)
	}
	return nil
}

// pack returns pack i of the segment, whose head was checked.
func (s *segment) pack(i int) PackInfo {
	info := packRecord(s.records[i*packRecordSize:])
	info.Key = string(s.packKey(i))
	runtime.KeepAlive(s)
	return info
}

// packRecord returns what a pack's record says, all but the key.
func packRecord(r []byte) PackInfo {
	info := PackInfo{
		Size:   int64(binary.BigEndian.Uint32(r[8:])),
		Meta:   r[6] == classMeta,
		Chunks: int(binary.BigEndian.Uint32(r[12:])),
	}
	copy(info.Sum[:], r[16:packRecordSize])
	return info
}

// packKey returns the key of pack i, nil if its record is damaged.
func (s *segment) packKey(i int) []byte {
	r := s.records[i*packRecordSize:]
	offset, length := int(binary.BigEndian.Uint32(r)), int(binary.BigEndian.Uint16(r[4:]))
	if offset+length > len(s.keys) {
		return nil
	}
	return s.keys[offset:][:length]
}

// hasPack implements table.
func (s *segment) hasPack(_ context.Context, key string) (bool, error) {
	i := sort.Search(s.packs, func(i int) bool { return string(s.packKey(i)) >= key })
	found := i < s.packs && string(s.packKey(i)) == key
	runtime.KeepAlive(s)
	return found, nil
}

// indexEntry is an entry of a segment.
type indexEntry struct {
	Entry
	pack uint32 // number in the segment
}

// less orders entries by chunk, then place.
func (e *indexEntry) less(f *indexEntry) bool {
	if c := compareKeys(&e.Entry, &f.Entry); c != 0 {
		return c < 0
	}
	return e.pack < f.pack || e.pack == f.pack && e.Offset < f.Offset
}

func (e *indexEntry) appendTo(b []byte) []byte {
	return binary.BigEndian.AppendUint32(e.Entry.appendTo(b), e.pack)
}

func (s *segment) entry(i int) (e indexEntry, reserved uint16) {
	return decodeIndexEntry(s.entries[i*indexEntrySize:][:indexEntrySize])
}

// decodeIndexEntry reads indexEntrySize bytes. Its fields may be anything.
func decodeIndexEntry(b []byte) (e indexEntry, reserved uint16) {
	e.Entry, reserved = decodeEntry(b)
	e.pack = binary.BigEndian.Uint32(b[entrySize:])
	return e, reserved
}

// find returns the number of the first entry of a chunk, and whether there is
// one.
func (s *segment) find(kind chunk.Kind, id *chunk.ID) (int, bool) {
	if s.filter != nil && !s.filter.mayHave(id) {
		return 0, false
	}
	bucket := bucketOf(id, s.bits)
	low := 0
	if bucket > 0 {
		low = int(binary.BigEndian.Uint32(s.fanout[4*(bucket-1):]))
	}
	high := int(binary.BigEndian.Uint32(s.fanout[4*bucket:]))
	if low > high || high > s.count { // damaged; verifyAll says so
		return 0, false
	}
	i := low + searchEntries(s.entries[low*indexEntrySize:high*indexEntrySize], s.bits, kind, id)
	found := i < high && s.holds(i, kind, id)
	runtime.KeepAlive(s)
	return i, found
}

// searchEntries returns the number of the first entry of a bucket that is not
// before the chunk. IDs are hashes, so it looks first where among the bucket's
// the ID's next bits put it, and from there in steps that double: most of what
// a search costs is memory that is not in the processor's cache.
func searchEntries(entries []byte, bits int, kind chunk.Kind, id *chunk.ID) int {
	n := len(entries) / indexEntrySize
	notBefore := func(i int) bool {
		b := entries[i*indexEntrySize:]
		c := bytes.Compare(b[:chunk.IDSize], id[:])
		return c > 0 || c == 0 && chunk.Kind(b[chunk.IDSize]) >= kind
	}
	next := binary.BigEndian.Uint64(id[:]) << bits >> 32
	guess := int(next * uint64(n) >> 32)
	low, high := guess, guess // the result is in low to high
	if guess < n && !notBefore(guess) {
		low = guess + 1
		for step := 1; ; step *= 2 {
			if high = min(low+step, n); high == n || notBefore(high) {
				break
			}
			low = high + 1
		}
	} else {
		for step := 1; low > 0; step *= 2 {
			if low = max(high-step, 0); !notBefore(low) {
				low++
				break
			}
			high = low
		}
	}
	return low + sort.Search(high-low, func(i int) bool { return notBefore(low + i) })
}

// holds reports whether entry i is of the chunk.
func (s *segment) holds(i int, kind chunk.Kind, id *chunk.ID) bool {
	b := s.entries[i*indexEntrySize:]
	return bytes.Equal(b[:chunk.IDSize], id[:]) && chunk.Kind(b[chunk.IDSize]) == kind
}

// locations implements table.
func (s *segment) locations(_ context.Context, kind chunk.Kind, id *chunk.ID) ([]Location, error) {
	i, found := s.find(kind, id)
	if !found {
		return nil, nil
	}
	var out []Location
	for ; i < s.count && s.holds(i, kind, id); i++ {
		e, _ := s.entry(i)
		if int(e.pack) >= s.packs {
			return nil, corrupt("index segment %s: entry %d is in pack %d of %d", s.key, i, e.pack, s.packs)
		}
		out = append(out, Location{Pack: string(s.packKey(int(e.pack))), Entry: e.Entry})
	}
	runtime.KeepAlive(s)
	return out, nil
}

// near implements table.
func (s *segment) near() *segment { return s }

// whole implements table.
func (s *segment) whole(context.Context) (*segment, error) { return s, nil }

// doubt implements table.
func (s *segment) doubt(context.Context) (again bool, err error) { return false, s.verifyAll() }

// scanStep is how many bytes of a mapped segment a scan of all of it keeps in
// memory.
const scanStep = 1 << 20

// passed says that a scan has passed the first i entries, one more than the
// last time.
func (s *segment) passed(i int) {
	const step = scanStep / indexEntrySize
	if s.mapped && i%step == 0 {
		at := int(s.entriesAt())
		forget(s.data, at+(i-step)*indexEntrySize, at+i*indexEntrySize)
	}
}

// verifyAll verifies the checksum of the whole segment, once.
func (s *segment) verifyAll() error {
	s.verify.Do(func() {
		end := len(s.data) - segmentTrailerSize
		h := segmentHash.new()
		for at := 0; at < end; at += scanStep {
			_, _ = h.Write(s.data[at:min(at+scanStep, end)]) // never fails
			if s.mapped {
				forget(s.data, at, min(at+scanStep, end))
			}
		}
		if !bytes.Equal(h.Sum(nil), s.data[end:end+sumSize]) {
			s.verified = corrupt("index segment %s does not match its checksum", s.key)
		}
		runtime.KeepAlive(s)
	})
	return s.verified
}

// check verifies everything: after it, encoding what the segment says gives
// its bytes again.
func (s *segment) check() error {
	if err := s.verifyAll(); err != nil {
		return err
	}
	if err := s.checkHead(); err != nil {
		return fmt.Errorf("index segment %s: %w", s.key, err)
	}
	chunks := make([]uint32, s.packs)
	var last indexEntry
	for i := range s.count {
		e, reserved := s.entry(i)
		bad := ""
		switch err := e.check(); {
		case err != nil:
			bad = err.Error()
		case reserved != 0:
			bad = "reserved bytes are set"
		case i > 0 && !last.less(&e):
			bad = "it is not sorted"
		case int(e.pack) >= s.packs:
			bad = "its pack is unknown"
		case classOf(e.Kind) != s.records[int(e.pack)*packRecordSize+6]:
			bad = "its pack is of another class"
		case !s.inBucket(i, &e.ID):
			bad = "it is in a wrong bucket"
		}
		if bad != "" {
			return corrupt("index segment %s: entry %d: %s", s.key, i, bad)
		}
		chunks[e.pack]++
		last = e
		s.passed(i + 1)
	}
	for i, n := range chunks {
		if n != binary.BigEndian.Uint32(s.records[i*packRecordSize+12:]) {
			return corrupt("index segment %s: it names %d chunks of pack %s", s.key, n, s.packKey(i))
		}
	}
	runtime.KeepAlive(s)
	return nil
}

func (s *segment) inBucket(i int, id *chunk.ID) bool {
	bucket := bucketOf(id, s.bits)
	return i < int(binary.BigEndian.Uint32(s.fanout[4*bucket:])) &&
		(bucket == 0 || i >= int(binary.BigEndian.Uint32(s.fanout[4*(bucket-1):])))
}
