package memo

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
)

func segmentOf(t testing.TB, records ...Record) []byte {
	t.Helper()
	b, err := EncodeSegment(records)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func open(t testing.TB, b []byte) *Segment {
	t.Helper()
	s, err := OpenSegment(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSegmentGolden(t *testing.T) {
	golden(t, "testdata/segment.hex", []byte(hex.Dump(segmentOf(t, Record{Key: Key{2}}, Record{Key: Key{1}, Scope: "b"}, Record{Key: Key{1}, Scope: "a"}))))
	golden(t, "testdata/segment_empty.hex", []byte(hex.Dump(segmentOf(t))))
}

// TestSegmentFind: every record is found under its key, and nothing else.
func TestSegmentFind(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		byID := map[scoped]Record{}
		for _, r := range rapid.SliceOfN(rapid.Custom(drawRecord), 0, 100).Draw(rt, "records") {
			byID[scoped{r.Key, r.Scope}] = r
		}
		var records []Record
		want := map[Key][]Record{}
		for _, r := range byID {
			records = append(records, r)
			want[r.Key] = append(want[r.Key], r)
		}
		s := open(t, segmentOf(t, records...))
		if err := s.Verify(); err != nil || s.Len() != len(records) {
			rt.Fatalf("%d records of %d: %v", s.Len(), len(records), err)
		}
		for key, list := range want {
			slices.SortFunc(list, func(a, b Record) int { return blob{scope: a.Scope}.compare(blob{scope: b.Scope}) })
			got, err := s.Find(key)
			if err != nil {
				rt.Fatal(err)
			}
			if diff := cmp.Diff(list, got); diff != "" {
				rt.Fatalf("key %v (-want +got):\n%s", key, diff)
			}
			key[15]++
			if got, err := s.Find(key); err != nil || len(got) > 0 {
				rt.Fatalf("a key that is not there: %v, %v", got, err)
			}
		}
		n := 0
		for r, err := range s.All() {
			if err != nil || !cmp.Equal(byID[scoped{r.Key, r.Scope}], r) {
				rt.Fatalf("listed %+v, %v", r, err)
			}
			n++
		}
		if n != len(records) {
			rt.Fatalf("listed %d of %d", n, len(records))
		}
	})
}

// countReader counts reads and the bytes of them.
type countReader struct {
	io.ReaderAt
	reads, bytes int
}

func (c *countReader) ReadAt(b []byte, off int64) (int, error) {
	c.reads++
	c.bytes += len(b)
	return c.ReaderAt.ReadAt(b, off)
}

// TestSegmentFindCost: a look-up among 20,000 records takes some ten small
// reads.
func TestSegmentFindCost(t *testing.T) {
	records := make([]Record, 20_000)
	for i := range records {
		binary.BigEndian.PutUint32(records[i].Key[:], uint32(i+1)<<8)
	}
	b := segmentOf(t, records...)
	c := &countReader{ReaderAt: bytes.NewReader(b)}
	s, err := OpenSegment(c, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{0, 1, 9_999, 19_999} {
		c.reads, c.bytes = 0, 0
		got, err := s.Find(records[i].Key)
		if err != nil || len(got) != 1 {
			t.Fatalf("record %d: %v, %v", i, got, err)
		}
		if c.reads > 16 || c.bytes > 8<<10 {
			t.Errorf("record %d: %d reads of %d bytes", i, c.reads, c.bytes)
		}
	}
}

// TestManyFinds: a segment that is asked often finds the same with two reads a
// hit, and none for what it lacks; keys of one prefix are told apart.
func TestManyFinds(t *testing.T) {
	records := make([]Record, 3000)
	for i := range records {
		binary.BigEndian.PutUint32(records[i].Key[:], uint32(i/3+1)<<8)
		records[i].Key[20] = byte(i % 3)
	}
	b := segmentOf(t, records...)
	c := &countReader{ReaderAt: bytes.NewReader(b)}
	s, err := OpenSegment(c, int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		got, err := s.Find(r.Key)
		if err != nil || len(got) != 1 || got[0].Key != r.Key {
			t.Fatalf("record %d: %v, %v", i, got, err)
		}
	}
	for _, change := range []func(*Key){func(k *Key) { k[20] = 9 }, func(k *Key) { k[3]++ }, func(k *Key) { k[0] = 0xff }} {
		key := records[7].Key
		change(&key)
		c.reads = 0
		if got, err := s.Find(key); err != nil || len(got) != 0 || c.reads > 2 {
			t.Errorf("a key that is not there: %v, %v, %d reads", got, err, c.reads)
		}
	}
	c.reads = 0
	if _, err := s.Find(records[1500].Key); err != nil || c.reads > 4 {
		t.Errorf("%d reads (%v)", c.reads, err)
	}
}

func TestEncodeSegmentRefuses(t *testing.T) {
	for name, records := range map[string][]Record{
		"one key twice": {record(1, "s"), record(2, "s"), record(1, "s")},
		"bad record":    {{}},
		"too many":      make([]Record, 0),
	} {
		_, err := EncodeSegment(records)
		if name == "too many" {
			_, err = encodeBlobs(make([]blob, SegmentRecordsMax+1))
		}
		if !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: error %v, want fs.ErrInvalid", name, err)
		}
	}
}

// TestSegmentDamage flips a bit of every byte of a segment: Verify always sees it, and no
// look-up ever returns a wrong record.
func TestSegmentDamage(t *testing.T) {
	records := []Record{record(1, "a"), record(1, "b"), {Key: Key{3}}}
	records[0].Parts, records[1].Parts = nil, nil
	whole := segmentOf(t, records...)
	for i := range whole {
		b := bytes.Clone(whole)
		b[i] ^= 1 << (i % 8)
		s, err := OpenSegment(bytes.NewReader(b), int64(len(b)))
		if err == nil {
			for _, r := range records {
				found, ferr := s.Find(r.Key)
				if ferr != nil && !errors.Is(ferr, chunk.ErrCorrupt) {
					t.Fatalf("byte %d: error %v is of no kind", i, ferr)
				}
				for _, f := range found {
					if !slices.ContainsFunc(records, func(r Record) bool { return cmp.Equal(r, f) }) {
						t.Fatalf("byte %d: found %+v", i, f)
					}
				}
			}
			err = s.Verify()
		}
		if !errors.Is(err, chunk.ErrCorrupt) {
			t.Fatalf("byte %d changed: error %v, want chunk.ErrCorrupt", i, err)
		}
	}
	for n := range whole {
		s, err := OpenSegment(bytes.NewReader(whole[:n]), int64(n))
		if err == nil {
			err = s.Verify()
		}
		if !errors.Is(err, chunk.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: error %v, want chunk.ErrCorrupt", n, err)
		}
	}
	s, err := OpenSegment(bytes.NewReader(whole[:100]), int64(len(whole)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Find(Key{3}); !errors.Is(err, chunk.ErrCorrupt) {
		t.Errorf("bytes that are missing: error %v, want chunk.ErrCorrupt", err)
	}
}

func FuzzOpenSegment(f *testing.F) {
	f.Add(segmentOf(f))
	f.Add(segmentOf(f, record(1, "a"), record(1, "b"), record(2, "")))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := OpenSegment(bytes.NewReader(b), int64(len(b)))
		if err == nil {
			err = s.Verify()
		}
		if err != nil {
			if !errors.Is(err, chunk.ErrCorrupt) {
				t.Fatalf("error %v is of no kind", err)
			}
			return
		}
		var records []Record
		for r, err := range s.All() {
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, r)
		}
		if !bytes.Equal(segmentOf(t, records...), b) {
			t.Fatal("another spelling of one segment")
		}
	})
}
