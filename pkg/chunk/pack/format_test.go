package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// examplePack builds the pack in testdata. The zstd frame is a fixed one, so
// that another version of the compressor does not change the file.
func examplePack(t testing.TB) ([]byte, []Entry) {
	t.Helper()
	frame := []byte{ // 100 times 'a' as an RLE block
		0x28, 0xb5, 0x2f, 0xfd, // magic
		0x20, 100, // single segment, content size 100
		0x23, 0x03, 0x00, 'a', // last block, RLE, 100 bytes
	}
	b := startPack(nil, classData)
	var entries []Entry
	for _, c := range []struct {
		plain, stored []byte
		enc           Encoding
	}{
		{[]byte("hello"), []byte("hello"), Raw},
		{bytes.Repeat([]byte("a"), 100), frame, Zstd},
		{nil, nil, Raw},
	} {
		entries = append(entries, Entry{
			ID: chunk.Data.Sum(c.plain), Kind: chunk.Data, Encoding: c.enc,
			Offset: uint32(len(b)), Stored: uint32(len(c.stored)), Plain: uint32(len(c.plain)),
		})
		b = append(b, c.stored...)
	}
	b, _ = finishPack(b, classData, entries)
	return b, entries
}

func testCodec(t testing.TB) *codec {
	t.Helper()
	c, err := newCodec()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func TestPackGolden(t *testing.T) {
	b, entries := examplePack(t)
	golden(t, "data.pack", b)
	f, err := decodePack(b, testCodec(t))
	if err != nil || !slices.Equal(f.Entries, entries) || f.Meta || f.Size != int64(len(b)) {
		t.Errorf("decoded %+v, %v", f, err)
	}
}

// TestPackRejects: what no writer makes is refused even with good checksums.
func TestPackRejects(t *testing.T) {
	c := testCodec(t)
	body := []byte("hello")
	good := Entry{ID: chunk.Data.Sum(body), Kind: chunk.Data, Offset: headerSize, Stored: 5, Plain: 5}
	make1 := func(class byte, entries ...Entry) []byte {
		b, _ := finishPack(append(startPack(nil, class), body...), class, entries)
		return b
	}
	if _, err := decodePack(make1(classData, good), c); err != nil {
		t.Fatal(err)
	}
	change := func(fn func(*Entry)) []byte {
		e := good
		fn(&e)
		return make1(classData, e)
	}
	empty := Entry{ID: chunk.Data.Sum(nil), Kind: chunk.Data, Offset: headerSize + 5}
	for name, b := range map[string][]byte{
		"no entries":      make1(classData),
		"class":           make1(classMeta, good),
		"unknown class":   make1(3, good),
		"twice":           make1(classData, good, empty, empty),
		"kind":            change(func(e *Entry) { e.Kind = 9 }),
		"zero id":         change(func(e *Entry) { e.ID = chunk.ID{} }),
		"other id":        change(func(e *Entry) { e.ID[0]++ }),
		"encoding":        change(func(e *Entry) { e.Encoding = 2 }),
		"raw length":      change(func(e *Entry) { e.Plain = 6 }),
		"not zstd":        change(func(e *Entry) { e.Encoding, e.Plain = Zstd, 9 }),
		"zstd that grows": change(func(e *Entry) { e.Encoding = Zstd }),
		"plain limit":     change(func(e *Entry) { e.Encoding, e.Plain = Zstd, chunk.SizeMax+1 }),
		"offset":          change(func(e *Entry) { e.Offset++ }),
		"offset 0":        change(func(e *Entry) { e.Offset = 0 }),
		"stored short":    change(func(e *Entry) { e.Stored, e.Plain = 4, 4 }),
		"offset overflow": change(func(e *Entry) { e.Offset, e.Stored, e.Plain = 1<<32-1, 5, 5 }),
	} {
		if _, err := decodePack(b, c); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	newer := make1(classData, good)
	newer[len(newer)-trailerSize+4] = 2
	if _, err := decodePack(newer, c); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("newer version: %v", err)
	}
}

// TestZstdIsBounded: a frame that says or gives more than the entry allows is
// refused without the memory being spent.
func TestZstdIsBounded(t *testing.T) {
	c := testCodec(t)
	bomb := c.fast.EncodeAll(make([]byte, chunk.MetaSizeMax), nil)
	e := Entry{ID: chunk.Data.Sum(nil), Kind: chunk.Data, Encoding: Zstd, Offset: headerSize, Stored: uint32(len(bomb)), Plain: uint32(len(bomb)) + 1}
	allocs := testing.AllocsPerRun(1, func() {
		if _, err := c.decode(&e, bomb, nil); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("got %v", err)
		}
	})
	if allocs > 100 {
		t.Errorf("%v allocations", allocs)
	}
	hugeWindow := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xf8, 0x03, 0x03, 0x00, 'a'} // 2^41 bytes
	e.Stored, e.Plain = uint32(len(hugeWindow)), 100
	if _, err := c.decode(&e, hugeWindow, nil); !errors.Is(err, chunk.ErrCorrupt) {
		t.Errorf("huge window: %v", err)
	}
}

// exampleSegment names the pack in testdata and a made-up one.
func exampleSegment(t testing.TB) []byte {
	t.Helper()
	p, entries := examplePack(t)
	f := Footer{Key: packKey(name1, 0), Size: int64(len(p)), Entries: entries}
	copy(f.Sum[:], p[len(p)-len(packEnd)-sumSize:])
	g := Footer{Key: packKey(name1, 1), Size: 20_000, Meta: true}
	for i := range 200 {
		b := binary.BigEndian.AppendUint32(nil, uint32(i))
		g.Entries = append(g.Entries, Entry{chunk.Node.Sum(b), chunk.Node, Raw, uint32(headerSize + 4*i), 4, 4})
	}
	b, err := encodeSegment([]Footer{g, f})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestSegmentGolden(t *testing.T) {
	b := exampleSegment(t)
	golden(t, "two-packs.idx", b)
	s, err := openSegment("x", b)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	if got := reencode(t, s); !bytes.Equal(got, b) {
		t.Error("encodes to other bytes")
	}
}

// reencode encodes what a segment says.
func reencode(t testing.TB, s *segment) []byte {
	t.Helper()
	footers := make([]Footer, s.packs)
	for i := range footers {
		p := s.pack(i)
		footers[i] = Footer{Key: p.Key, Size: p.Size, Meta: p.Meta, Sum: p.Sum}
	}
	for i := range s.count {
		e, _ := s.entry(i)
		footers[e.pack].Entries = append(footers[e.pack].Entries, e.Entry)
	}
	b, err := encodeSegment(footers)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSegmentNoticesEveryFlip: a damaged segment never opens, or its damage is
// known before it says that a chunk is absent.
func TestSegmentNoticesEveryFlip(t *testing.T) {
	good := exampleSegment(t)
	_, entries := examplePack(t)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x10
		s, err := openSegment("x", bad)
		if err != nil {
			if !errors.Is(err, chunk.ErrCorrupt) && !errors.Is(err, errors.ErrUnsupported) {
				t.Fatalf("byte %d: %v", i, err)
			}
			continue
		}
		if err := s.verifyAll(); !errors.Is(err, chunk.ErrCorrupt) {
			t.Fatalf("byte %d was not noticed", i)
		}
		snap := &Snapshot{segs: []table{s}}
		for _, e := range entries {
			if _, err := snap.Location(t.Context(), e.Kind, e.ID); errors.Is(err, chunk.ErrNotFound) {
				t.Fatalf("byte %d: a chunk was said to be absent", i)
			}
		}
	}
	for n := range good {
		if _, err := openSegment("x", good[:n]); !errors.Is(err, chunk.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// TestSegmentFindsEverything against a map, over the sizes at which the
// fan-out changes.
func TestSegmentFindsEverything(t *testing.T) {
	for _, n := range []int{1, 2, 64, 65, 129, 130, 1000, 20_000} {
		f := Footer{Key: packKey(name1, 0), Size: PackSizeMax}
		for i := range n {
			b := binary.BigEndian.AppendUint32(nil, uint32(i))
			f.Entries = append(f.Entries, Entry{chunk.Data.Sum(b), chunk.Data, Raw, headerSize, 4, 4})
		}
		b, err := encodeSegment([]Footer{f})
		if err != nil {
			t.Fatal(err)
		}
		s, err := openSegment("x", b)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range f.Entries {
			if l, err := s.locations(t.Context(), e.Kind, &e.ID); err != nil || len(l) != 1 || l[0].Entry != e {
				t.Fatalf("%d entries: %v, %v", n, l, err)
			}
			other := chunk.Node.Sum(e.ID[:])
			if _, ok := s.find(chunk.Data, &other); ok {
				t.Fatal("found what is not there")
			}
			if _, ok := s.find(chunk.Node, &e.ID); ok {
				t.Fatal("found another kind")
			}
		}
	}
}

// TestMergeIsUnion: whatever packs the segments share, the merged one is what
// encoding the union of the packs gives.
func TestMergeIsUnion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var all []Footer
		for i := range rapid.IntRange(1, 6).Draw(t, "packs") {
			f := Footer{Key: packKey(name1, i), Size: 10_000}
			picked := rapid.SliceOfNDistinct(rapid.Uint8Range(0, 40), 1, 20, rapid.ID).Draw(t, "chunks")
			for j, c := range picked {
				f.Entries = append(f.Entries, Entry{chunk.Data.Sum([]byte{c}), chunk.Data, Raw, uint32(headerSize + j), 1, 1})
			}
			all = append(all, f)
		}
		var segs []*segment
		used := map[int]bool{}
		for range rapid.IntRange(1, 4).Draw(t, "segments") {
			var mine []Footer
			for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(all)-1), 1, -1, rapid.ID).Draw(t, "members") {
				mine = append(mine, all[i])
				used[i] = true
			}
			b, err := encodeSegment(mine)
			if err != nil {
				t.Fatal(err)
			}
			s, err := openSegment("x", b)
			if err != nil {
				t.Fatal(err)
			}
			segs = append(segs, s)
		}
		var union []Footer
		for i := range used {
			union = append(union, all[i])
		}
		sort.Slice(union, func(i, j int) bool { return strings.Compare(union[i].Key, union[j].Key) < 0 })
		want, err := encodeSegment(union)
		if err != nil {
			t.Fatal(err)
		}
		m, err := newMerger(segs, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		if err := m.writeTo(&got); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("merged to other bytes, %v", err)
		}
	})
}

// TestMergeRefusesContradictions between segments about one pack.
func TestMergeRefusesContradictions(t *testing.T) {
	mk := func(stored uint32, size int64) *segment {
		f := Footer{Key: packKey(name1, 0), Size: size}
		f.Entries = []Entry{{chunk.Data.Sum([]byte{1}), chunk.Data, Raw, headerSize, stored, stored}}
		b, err := encodeSegment([]Footer{f})
		if err != nil {
			t.Fatal(err)
		}
		s, err := openSegment("x", b)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if _, err := newMerger([]*segment{mk(1, 1000), mk(1, 1001)}, nil); !errors.Is(err, chunk.ErrCorrupt) {
		t.Errorf("sizes: %v", err)
	}
	m, err := newMerger([]*segment{mk(1, 1000), mk(2, 1000)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.writeTo(&bytes.Buffer{}); !errors.Is(err, chunk.ErrCorrupt) {
		t.Errorf("entries: %v", err)
	}
}

func readGolden(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// FuzzDecodePack: what decodes is made of chunks that hash to their IDs, and
// its header, bodies and footer encode to the same bytes.
func FuzzDecodePack(f *testing.F) {
	f.Add(readGolden(f, "data.pack"))
	c := testCodec(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		footer, err := decodePack(b, c)
		if err != nil {
			wantDecodeError(t, err)
			return
		}
		class := classOf(footer.Entries[0].Kind)
		bodies := b[:len(b)-packLength(0, len(footer.Entries))]
		again, _ := finishPack(bytes.Clone(bodies), class, footer.Entries)
		if !bytes.Equal(again, b) {
			t.Fatal("encodes to other bytes")
		}
	})
}

// FuzzDecodeFooter goes past the checksums, which a random change would break.
func FuzzDecodeFooter(f *testing.F) {
	b := readGolden(f, "data.pack")
	tail := b[len(b)-packLength(0, 3):]
	f.Add(tail[:3*entrySize], byte(classData), int64(len(b)))
	f.Fuzz(func(t *testing.T, table []byte, class byte, size int64) {
		if len(table)%entrySize != 0 || len(table) > 100*entrySize {
			return
		}
		tail := bytes.Clone(table)
		tail = binary.BigEndian.AppendUint32(tail, uint32(len(table)/entrySize))
		tail = append(tail, packVersion, class, 0, 0)
		footerSum := footerHash.sum(tail)
		tail = append(append(append(tail, footerSum[:]...), make([]byte, sumSize)...), packEnd...)
		if _, err := decodeTrailer(tail[len(tail)-trailerSize:], size); err != nil {
			wantDecodeError(t, err)
			return
		}
		footer, err := decodeFooter(tail, size)
		if err != nil {
			wantDecodeError(t, err)
			return
		}
		var again []byte
		for i := range footer.Entries {
			again = footer.Entries[i].appendTo(again)
		}
		if !bytes.Equal(again, table) {
			t.Fatal("encodes to other bytes")
		}
	})
}

// FuzzDecodeChunk: stored bytes decode to what hashes to the ID, or not at
// all.
func FuzzDecodeChunk(f *testing.F) {
	b, entries := examplePack(f)
	for _, e := range entries {
		f.Add(b[e.Offset:e.Offset+e.Stored], e.Plain, byte(e.Encoding))
	}
	c := testCodec(f)
	f.Fuzz(func(t *testing.T, stored []byte, plain uint32, enc byte) {
		e := Entry{ID: chunk.Data.Sum([]byte("hello")), Kind: chunk.Data, Encoding: Encoding(enc), Offset: headerSize, Stored: uint32(len(stored)), Plain: plain}
		got, err := c.decode(&e, stored, nil)
		if err != nil {
			wantDecodeError(t, err)
		} else if string(got) != "hello" {
			t.Fatalf("wrong bytes %q", got)
		}
	})
}

// FuzzDecodeSegment: the checksums are made right, so that the rest is
// reached; what passes check encodes to the same bytes.
func FuzzDecodeSegment(f *testing.F) {
	good := readGolden(f, "two-packs.idx")
	f.Add(good)
	_, entries := examplePack(f)
	small, err := encodeSegment([]Footer{{Key: packKey(name1, 0), Size: 1000, Entries: entries}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small)
	f.Fuzz(func(t *testing.T, b []byte) {
		b = bytes.Clone(b)
		fixSums(b)
		s, err := openSegment("x", b)
		if err == nil {
			id := entries[0].ID
			if _, err := s.locations(t.Context(), chunk.Data, &id); err != nil {
				wantDecodeError(t, err)
			}
			err = s.check()
		}
		if err != nil {
			wantDecodeError(t, err)
			return
		}
		if got := reencode(t, s); !bytes.Equal(got, b) {
			t.Fatal("encodes to other bytes")
		}
	})
}

func wantDecodeError(t *testing.T, err error) {
	t.Helper()
	if !errors.Is(err, chunk.ErrCorrupt) && !errors.Is(err, errors.ErrUnsupported) {
		t.Fatalf("kind of error: %v", err)
	}
}

// fixSums makes the checksums of a segment right, where it has any.
func fixSums(b []byte) {
	if len(b) < segmentHeaderSize+segmentTrailerSize {
		return
	}
	bits, packs, keys := int(b[9]), binary.BigEndian.Uint32(b[12:]), binary.BigEndian.Uint32(b[16:])
	head := uint64(segmentHeaderSize) + 4<<min(bits, 30) + uint64(packs)*packRecordSize + uint64(keys)
	if head <= uint64(len(b)) {
		headSum := headHash.sum(b[:32], b[segmentHeaderSize:head])
		copy(b[32:], headSum[:])
	}
	end := len(b) - segmentTrailerSize
	all := segmentHash.sum(b[:end])
	copy(b[end:], all[:])
}

// TestSearchEntries holds the search in a bucket against a linear one, also
// where the IDs are not spread as hashes are.
func TestSearchEntries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		byteOf := rapid.Uint8Range(0, 255)
		if rapid.Bool().Draw(t, "close together") {
			byteOf = rapid.Uint8Range(100, 103)
		}
		key := rapid.Custom(func(t *rapid.T) Entry {
			e := Entry{Kind: chunk.Kind(rapid.Uint8Range(1, 3).Draw(t, "kind"))}
			e.ID[0], e.ID[1], e.ID[31] = byteOf.Draw(t, "first"), byteOf.Draw(t, "second"), byteOf.Draw(t, "last")
			return e
		})
		all := rapid.SliceOfN(key, 0, 200).Draw(t, "entries")
		slices.SortFunc(all, func(a, b Entry) int { return compareKeys(&a, &b) })
		var b []byte
		for i := range all {
			e := indexEntry{all[i], 0}
			b = e.appendTo(b)
		}
		want := key.Draw(t, "wanted")
		at := slices.IndexFunc(all, func(e Entry) bool { return compareKeys(&e, &want) >= 0 })
		if at < 0 {
			at = len(all)
		}
		if got := searchEntries(b, rapid.IntRange(0, 8).Draw(t, "bits"), want.Kind, &want.ID); got != at {
			t.Fatalf("found at %d, want %d of %d", got, at, len(all))
		}
	})
}
