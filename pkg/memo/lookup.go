package memo

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// LookupAll looks many keys up at once: found[i] is what [Cache.Lookup] says of
// keys[i], without Parts, and its Key is zero if there is no record. A segment is
// read through where it holds many of the keys, so that a job whose datums all
// have results costs little for each.
func (c *Cache) LookupAll(ctx context.Context, keys []Key, scopes ...string) (found []Record, err error) {
	found = make([]Record, len(keys))
	want := func(r *Record) bool { return r.Scope == "" || slices.Contains(scopes, r.Scope) }
	c.mu.RLock()
	defer c.mu.RUnlock()
	wanted := make([]int, 0, len(keys)) // what is not found yet, in order of the keys
	for i, key := range keys {
		if !c.waiting(key, scopes, &found[i]) {
			wanted = append(wanted, i)
		}
	}
	slices.SortFunc(wanted, func(a, b int) int { return bytes.Compare(keys[a][:], keys[b][:]) })
	for _, s := range c.segments {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := s.findAll(keys, wanted, found, want); err != nil {
			return nil, fmt.Errorf("look up %d memo keys in segment %s: %w", len(wanted), s.name, err)
		}
		wanted = slices.DeleteFunc(wanted, func(i int) bool { return found[i].Key != Key{} })
	}
	return found, nil
}

// waiting finds a record among those that wait to be published. The caller
// holds mu.
func (c *Cache) waiting(key Key, scopes []string, to *Record) bool {
	if len(c.pending) == 0 {
		return false
	}
	for i := -1; i < len(scopes); i++ {
		scope := ""
		if i >= 0 {
			scope = scopes[i]
		}
		if h, ok := c.pending[scoped{key, scope}]; ok {
			*to = h.record
			to.Parts = nil
			return true
		}
	}
	return false
}

// A segment is read through if at least one in scanShare of its records may be
// wanted: reading in windows costs less then than asking for each.
const scanShare = 64

// The bytes that are read at once.
const (
	tableWindow  = 1024 * segmentEntry
	recordWindow = 256 << 10
)

// findAll sets found[i] for each i of wanted whose key has a record that is
// wanted. wanted is in order of the keys.
func (s *Segment) findAll(keys []Key, wanted []int, found []Record, want func(*Record) bool) error {
	if len(wanted)*scanShare < s.count {
		return s.findEach(keys, wanted, found, want)
	}
	table, records := window{r: s.r, most: tableWindow}, window{r: s.r, most: recordWindow}
	tableEnd, end := segmentHead+int64(s.count)*segmentEntry, s.size-segmentFoot
	at := 0 // in wanted
	for i := 0; i < s.count && at < len(wanted); i++ {
		e, err := table.read(segmentHead+int64(i)*segmentEntry, segmentEntry, tableEnd)
		if err != nil {
			return fmt.Errorf("memo segment: read table: %w", err)
		}
		for at < len(wanted) && bytes.Compare(keys[wanted[at]][:], e[:chunk.IDSize]) < 0 {
			at++
		}
		if at == len(wanted) || !bytes.Equal(keys[wanted[at]][:], e[:chunk.IDSize]) {
			continue
		}
		n := int64(binary.LittleEndian.Uint32(e[40:]))
		from, err := s.place(e)
		if err != nil {
			return err
		}
		b, err := records.read(from, n, end)
		if err != nil {
			return fmt.Errorf("memo segment: read record: %w", err)
		}
		r, err := checkedHead(e, b)
		if err != nil {
			return err
		}
		// The same key may be wanted more than once.
		for j := at; want(&r) && j < len(wanted) && keys[wanted[j]] == r.Key; j++ {
			if (found[wanted[j]].Key == Key{}) {
				found[wanted[j]] = r
			}
		}
	}
	return nil
}

// findEach looks the keys up one by one.
func (s *Segment) findEach(keys []Key, wanted []int, found []Record, want func(*Record) bool) error {
	for _, i := range wanted {
		records, err := s.Find(keys[i])
		if err != nil {
			return err
		}
		if at := slices.IndexFunc(records, func(r Record) bool { return want(&r) }); at >= 0 {
			found[i] = records[at]
			found[i].Parts = nil
		}
	}
	return nil
}

// checkedHead reads the record of an entry of the table, but for its parts.
func checkedHead(entry, b []byte) (Record, error) {
	if got := sum(recordHasher, b); !bytes.Equal(got[:entrySumSize], entry[entrySum:]) {
		return Record{}, corrupt("hash of record %v differs", Key(entry[:chunk.IDSize]).Short())
	}
	r, err := decodeHead(b)
	if err == nil && r.Key != Key(entry[:chunk.IDSize]) {
		err = corrupt("record of key %v is filed under %v", r.Key.Short(), Key(entry[:chunk.IDSize]).Short())
	}
	return r, err
}

// window reads a file forwards in large pieces.
type window struct {
	r    io.ReaderAt
	most int64 // bytes that are read at once
	buf  []byte
	at   int64 // of buf in the file
}

// read returns n bytes at an offset, of a file that is read to end at most.
// They are the window's until the next call.
func (w *window) read(off, n, end int64) ([]byte, error) {
	if off < w.at || off+n > w.at+int64(len(w.buf)) {
		size := min(max(n, w.most), end-off)
		w.buf = slices.Grow(w.buf[:0], int(size))[:size]
		w.at = off
		if err := readAt(w.r, w.buf, off); err != nil {
			w.buf = w.buf[:0]
			return nil, err
		}
	}
	return w.buf[off-w.at : off-w.at+n], nil
}
