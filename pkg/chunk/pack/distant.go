package pack

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sort"
	"sync"
	"sync/atomic"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
)

// distant is an index segment that is asked by ranged reads: the fan-out once,
// then one bucket and one pack's record for each look-up. If it is asked often
// enough, its bytes are fetched as a whole.
type distant struct {
	segmentHead
	st     *Store
	copied atomic.Pointer[segment] // the whole of it, if it is here

	fetching sync.Mutex // held while the whole is fetched

	mu     sync.Mutex
	fanout []byte
	recent []span // ranges that were read last, the newest last
	held   int    // bytes of recent
}

// span is a range of a segment's bytes.
type span struct {
	at   int64
	data []byte
}

const (
	// headGuess is how much of a segment is read to open it: small ones are then
	// here as a whole, and so are the pack tables of many.
	headGuess = 16 << 10

	// wholeMax is the size up to which a segment is fetched as a whole when it
	// is first asked: no more than what asking it twice costs.
	wholeMax = 128 << 10

	// recentMax bounds the ranges that a segment keeps, in bytes.
	recentMax = 1 << 20

	// recordsStep is how many bytes of a pack table are read around a record.
	recordsStep = 4 << 10
)

// openDistant opens a segment that is no local file.
func (st *Store) openDistant(ctx context.Context, key string) (table, error) {
	rc, info, err := st.objects.Get(ctx, key, objstore.Range{Length: headGuess})
	if err != nil {
		return nil, readError(key, err)
	}
	defer rc.Close()
	b, err := io.ReadAll(io.LimitReader(rc, headGuess))
	if err != nil {
		return nil, readError(key, err)
	}
	head, err := parseSegmentHead(key, b)
	if err == nil && (info.Size != head.size() || int64(len(b)) != min(headGuess, head.size())) {
		err = corrupt("%d bytes instead of %d", info.Size, head.size())
	}
	if err != nil {
		return nil, fmt.Errorf("index segment %s: %w", key, err)
	}
	if head.size() <= headGuess {
		s, err := openSegment(key, b)
		if err == nil {
			err = s.verifyAll()
		}
		if err != nil {
			return nil, err
		}
		st.saveCopy(key, b)
		return s, nil
	}
	d := &distant{segmentHead: head, st: st}
	d.remember(span{0, b})
	return d, nil
}

// near implements table.
func (d *distant) near() *segment { return d.copied.Load() }

// hasPack implements table.
func (d *distant) hasPack(ctx context.Context, key string) (bool, error) {
	if s := d.near(); s != nil {
		return s.hasPack(ctx, key)
	}
	var err error
	i := sort.Search(d.packs, func(i int) bool {
		if err != nil {
			return true
		}
		var p PackInfo
		p, err = d.pack(ctx, i)
		return p.Key >= key
	})
	if err != nil || i == d.packs {
		return false, err
	}
	p, err := d.pack(ctx, i)
	return p.Key == key, err
}

// locations implements table.
func (d *distant) locations(ctx context.Context, kind chunk.Kind, id *chunk.ID) ([]Location, error) {
	if d.near() == nil && d.size() <= wholeMax {
		if _, err := d.whole(ctx); err != nil {
			return nil, err
		}
	}
	if s := d.near(); s != nil {
		return s.locations(ctx, kind, id)
	}
	entries, err := d.bucket(ctx, id)
	if err != nil {
		return nil, err
	}
	var out []Location
	for i := searchEntries(entries, d.bits, kind, id); i < len(entries)/indexEntrySize; i++ {
		e, _ := decodeIndexEntry(entries[i*indexEntrySize:][:indexEntrySize])
		if e.ID != *id || e.Kind != kind {
			break
		}
		p, err := d.pack(ctx, int(e.pack))
		if err != nil {
			return nil, err
		}
		out = append(out, Location{Pack: p.Key, Entry: e.Entry})
	}
	return out, nil
}

// bucket returns the entries among which those of a chunk are.
func (d *distant) bucket(ctx context.Context, id *chunk.ID) ([]byte, error) {
	fanout, err := d.loadFanout(ctx)
	if err != nil {
		return nil, err
	}
	bucket := bucketOf(id, d.bits)
	low := 0
	if bucket > 0 {
		low = int(binary.BigEndian.Uint32(fanout[4*(bucket-1):]))
	}
	high := int(binary.BigEndian.Uint32(fanout[4*bucket:]))
	if low > high || high > d.count {
		return nil, corrupt("index segment %s: the fan-out is not sorted", d.key)
	}
	if low == high {
		return nil, nil
	}
	entries, err := d.read(ctx, d.entriesAt()+int64(low)*indexEntrySize, int64(high-low)*indexEntrySize)
	if err != nil {
		return nil, err
	}
	var last indexEntry
	for i := 0; i < len(entries); i += indexEntrySize {
		e, _ := decodeIndexEntry(entries[i:][:indexEntrySize])
		if bucketOf(&e.ID, d.bits) != bucket || i > 0 && !last.less(&e) {
			return nil, corrupt("index segment %s: bucket %d is not sorted", d.key, bucket)
		}
		last = e
	}
	return entries, nil
}

// loadFanout returns the fan-out, which stays here once it was read.
func (d *distant) loadFanout(ctx context.Context) ([]byte, error) {
	d.mu.Lock()
	fanout := d.fanout
	d.mu.Unlock()
	if fanout != nil {
		return fanout, nil
	}
	fanout, err := d.read(ctx, segmentHeaderSize, d.recordsAt()-segmentHeaderSize)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	d.fanout = fanout
	d.mu.Unlock()
	return fanout, nil
}

// pack returns pack i.
func (d *distant) pack(ctx context.Context, i int) (PackInfo, error) {
	if i >= d.packs {
		return PackInfo{}, corrupt("index segment %s: there is no pack %d of %d", d.key, i, d.packs)
	}
	r, err := d.readAround(ctx, d.recordsAt()+int64(i)*packRecordSize, packRecordSize, d.recordsAt(), d.keysAt())
	if err != nil {
		return PackInfo{}, err
	}
	offset, length := int64(binary.BigEndian.Uint32(r)), int64(binary.BigEndian.Uint16(r[4:]))
	if offset+length > int64(d.keyBytes) {
		return PackInfo{}, corrupt("index segment %s: the key of pack %d is out of place", d.key, i)
	}
	info := packRecord(r)
	key, err := d.readAround(ctx, d.keysAt()+offset, length, d.keysAt(), d.entriesAt())
	if err != nil {
		return PackInfo{}, err
	}
	info.Key = string(key)
	if _, _, err := ParseKey(info.Key); err != nil {
		return PackInfo{}, corrupt("index segment %s: the key of pack %d is %.100q", d.key, i, key)
	}
	return info, nil
}

// readAround reads a range of a part of the segment, and what lies around it:
// packs of one session are neighbours.
func (d *distant) readAround(ctx context.Context, at, n, partStart, partEnd int64) ([]byte, error) {
	start := max(partStart, (at-partStart)/recordsStep*recordsStep+partStart)
	end := min(partEnd, max(start+recordsStep, at+n))
	b, err := d.read(ctx, start, end-start)
	if err != nil {
		return nil, err
	}
	return b[at-start:][:n], nil
}

// read returns n bytes of the segment, which nobody changes.
func (d *distant) read(ctx context.Context, at, n int64) ([]byte, error) {
	d.mu.Lock()
	for i := range d.recent {
		if r := &d.recent[i]; r.at <= at && at+n <= r.at+int64(len(r.data)) {
			b := r.data[at-r.at:][:n]
			d.mu.Unlock()
			return b, nil
		}
	}
	d.mu.Unlock()
	if d.st.worthCopying(d.size()) {
		if s, err := d.whole(ctx); err == nil { // else it is asked as before
			b := bytes.Clone(s.data[at:][:n])
			runtime.KeepAlive(s)
			return b, nil
		}
	}
	b, err := d.st.readRange(ctx, d.key, at, n)
	if err == nil {
		d.remember(span{at, b})
	}
	return b, err
}

func (d *distant) remember(r span) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.recent = append(d.recent, r)
	d.held += len(r.data)
	for d.held > recentMax {
		d.held -= len(d.recent[0].data)
		d.recent = d.recent[1:]
	}
}

// whole implements table.
func (d *distant) whole(ctx context.Context) (*segment, error) {
	d.fetching.Lock()
	defer d.fetching.Unlock()
	if s := d.near(); s != nil {
		return s, nil
	}
	s, err := d.st.fetch(ctx, &d.segmentHead)
	if err == nil {
		d.copied.Store(s)
	}
	return s, err
}

// doubt implements table. A damaged copy is given up: it is the store's own
// segment that counts. What is read of that by ranges is held to its order and
// to its place, and is not verified otherwise.
func (d *distant) doubt(context.Context) (again bool, err error) {
	s := d.near()
	if s == nil {
		return false, nil
	}
	err = s.verifyAll()
	if !errors.Is(err, chunk.ErrCorrupt) {
		return false, err
	}
	d.st.dropCopy(d.key)
	return d.copied.CompareAndSwap(s, nil), nil
}
