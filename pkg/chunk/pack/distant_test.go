package pack

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

// remote is a store whose objects are no local files, and which counts what is
// read.
type remote struct {
	objstore.Store
	requests, bytes atomic.Int64
}

func (r *remote) Get(ctx context.Context, key string, rg objstore.Range) (io.ReadCloser, objstore.Info, error) {
	r.requests.Add(1)
	rc, info, err := r.Store.Get(ctx, key, rg)
	if err != nil {
		return nil, info, err
	}
	return &countedReader{rc, &r.bytes}, info, nil
}

type countedReader struct {
	io.ReadCloser
	n *atomic.Int64
}

func (c *countedReader) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	c.n.Add(int64(n))
	return n, err
}

// cost returns what fn asks of the store.
func (r *remote) cost(fn func()) (requests, read int64) {
	requests, read = r.requests.Load(), r.bytes.Load()
	fn()
	return r.requests.Load() - requests, r.bytes.Load() - read
}

// madeUpID is the ID of chunk i of n that are nowhere but in an index. They are
// in order.
func madeUpID(i, n int) (id chunk.ID) {
	step := ^uint64(0)/uint64(n) - 1
	rng := rand.New(rand.NewPCG(uint64(n), uint64(i)))
	binary.BigEndian.PutUint64(id[:], uint64(i)*step+rng.Uint64N(step)+1)
	binary.BigEndian.PutUint64(id[8:], rng.Uint64())
	return id
}

// madeUpSegment writes a segment of n chunks, each chunks of them in a pack.
func madeUpSegment(t testing.TB, objects objstore.Store, session string, number, n, each int) string {
	t.Helper()
	var packs []PackInfo
	for left := n; left > 0; left -= each {
		packs = append(packs, PackInfo{Key: packKey(session, len(packs)), Size: PackSizeMax, Chunks: min(each, left)})
	}
	var b bytes.Buffer
	err := writeMerged(&b, slices.Values(packs), func(fn func(*indexEntry)) error {
		for i := range n {
			e := indexEntry{Entry{madeUpID(i, n), chunk.Data, Raw, headerSize, 10, 10}, uint32(i / each)}
			fn(&e)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	key := mergedKey(session, number)
	if _, err := objects.Put(t.Context(), key, objstore.Bytes(b.Bytes()), objstore.Condition{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
	return key
}

// TestDistantTwins: a chunk that lies in two packs, further back in the first of
// them, is found in a segment that is asked by ranges.
func TestDistantTwins(t *testing.T) {
	const n = 20_000 // too many for the segment to be fetched whole
	objects := &remote{Store: mem.New(mem.Options{})}
	packs := []PackInfo{{Key: packKey(name1, 0), Size: PackSizeMax, Chunks: n}, {Key: packKey(name1, 1), Size: PackSizeMax, Chunks: n}}
	var b bytes.Buffer
	err := writeMerged(&b, slices.Values(packs), func(fn func(*indexEntry)) error {
		for i := range n {
			for p := range uint32(len(packs)) {
				offset := uint32(headerSize + 10*(n-i)*(2-int(p))) // less in the second pack
				fn(&indexEntry{Entry{madeUpID(i, n), chunk.Data, Raw, offset, 10, 10}, p})
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	key := mergedKey(name1, 0)
	if _, err := objects.Put(t.Context(), key, objstore.Bytes(b.Bytes()), objstore.Condition{IfAbsent: true}); err != nil {
		t.Fatal(err)
	}
	snap := snapshot(t, open(t, objects, Options{}), key)
	for i := 0; i < n; i += n / 50 {
		if ok, err := snap.Has(t.Context(), chunk.Data, madeUpID(i, n)); err != nil || !ok {
			t.Fatalf("chunk %d: %v, %v", i, ok, err)
		}
	}
}

// TestColdLookups: a store of a million chunks is asked for a few of them, by
// a client that has nothing.
func TestColdLookups(t *testing.T) {
	const n = 1_000_000
	objects := &remote{Store: mem.New(mem.Options{})}
	s := session(t, open(t, objects, Options{}), nil, name1)
	put(t, s, chunk.Data, "here")
	put(t, s, chunk.Node, "a node")
	flush(t, s)
	keys := append(s.Segments(), madeUpSegment(t, objects, name2, 0, n, 16), madeUpSegment(t, objects, name3, 0, n/100, 16))

	st := open(t, objects, Options{})
	var snap *Snapshot
	requests, read := objects.cost(func() { snap = snapshot(t, st, keys...) })
	if requests > 3 || read > 3*headGuess {
		t.Errorf("opening took %d requests and %d bytes", requests, read)
	}
	requests, read = objects.cost(func() {
		wantText(t, snap, chunk.Data, "here")
		wantText(t, snap, chunk.Node, "a node")
	})
	if requests > 2 || read > 1000 {
		t.Errorf("reading chunks of a segment at hand took %d requests and %d bytes", requests, read)
	}
	const lookups = 50
	requests, read = objects.cost(func() {
		for i := range lookups {
			id := madeUpID(i*(n/lookups), n)
			l, err := snap.Location(t.Context(), chunk.Data, id)
			if want := packKey(name2, i*(n/lookups)/16); err != nil || l.Pack != want || l.ID != id {
				t.Fatalf("chunk %d is at %+v, %v; want %s", i, l, err, want)
			}
			id[31]++
			if _, err := snap.Location(t.Context(), chunk.Data, id); !errors.Is(err, chunk.ErrNotFound) {
				t.Fatalf("a chunk that is not there: %v", err)
			}
		}
	})
	// One look-up in the small segment and one in the large one for each, the
	// pack's record and its key; the fan-outs once.
	if requests > 4*lookups+2 || read > 15_000*lookups+128<<10 {
		t.Errorf("%d look-ups took %d requests and %d bytes", 2*lookups, requests, read)
	}
	for i, want := range map[int]bool{0: true, 62_499: true, 62_500: false} {
		requests, _ := objects.cost(func() {
			if ok, err := snap.HasPack(t.Context(), packKey(name2, i)); ok != want || err != nil {
				t.Errorf("pack %d: %v, %v", i, ok, err)
			}
		})
		if requests > 40 {
			t.Errorf("looking for a pack took %d requests", requests)
		}
	}
}

// TestDedupeAsksLittle: what a session asks distant segments is bounded, and
// what it finds it does not store again.
func TestDedupeAsksLittle(t *testing.T) {
	objects := &remote{Store: mem.New(mem.Options{})}
	first := session(t, open(t, objects, Options{}), nil, name1)
	for i := range 5000 {
		put(t, first, chunk.Data, fmt.Sprint("chunk ", i))
	}
	flush(t, first)
	st := open(t, objects, Options{})
	s := session(t, st, snapshot(t, st, first.Segments()...), name2)
	if seg := s.base.segs[0]; seg.near() != nil {
		t.Fatal("the segment is at hand from the start")
	}
	put(t, s, chunk.Data, "chunk 77")
	if got := s.Reused(); len(got) != 1 {
		t.Errorf("reused %v", got)
	}
	requests, _ := objects.cost(func() { put(t, s, chunk.Node, "metadata is not looked for") })
	if requests > 0 {
		t.Errorf("%d requests for a node", requests)
	}
	requests, _ = objects.cost(func() {
		for i := range 2 * dedupeAsksMax {
			put(t, s, chunk.Data, fmt.Sprint("new ", i))
		}
	})
	if requests > 2*dedupeAsksMax {
		t.Errorf("%d requests", requests)
	}
	flush(t, s)
	if lacks, err := s.Lacks(t.Context(), snapshot(t, st, first.Segments()...)); lacks != "" || err != nil {
		t.Errorf("the base lacks %s, %v", lacks, err)
	}
	if lacks, err := s.Lacks(t.Context(), snapshot(t, st)); lacks == "" || err != nil {
		t.Errorf("an empty base lacks %q, %v", lacks, err)
	}
}

// TestCopiesAreMade of segments that are asked often, within the limit of the
// folder, and used by the next client.
func TestCopiesAreMade(t *testing.T) {
	const n = 20_000 // 1 MB
	objects := &remote{Store: mem.New(mem.Options{})}
	var keys []string
	for i, name := range []string{name1, name2, name3} {
		keys = append(keys, madeUpSegment(t, objects, name, i, n, 100))
	}
	dir := t.TempDir()
	st := open(t, objects, Options{CacheDir: dir, CacheSize: 3 << 20})
	snap := snapshot(t, st, keys...)
	ask := func(snap *Snapshot, times int) {
		for i := range times {
			if _, err := snap.Location(t.Context(), chunk.Data, madeUpID(i*17%n, n)); err != nil {
				t.Fatal(err)
			}
		}
	}
	near := func(snap *Snapshot) (n int) {
		for _, info := range snap.Describe() {
			if info.Near {
				n++
			}
		}
		return n
	}
	if ask(snap, 2); near(snap) != 0 {
		t.Fatal("a copy was made at once")
	}
	if ask(snap, 50); near(snap) == 0 {
		t.Fatal("no copy was made")
	}
	again := snapshot(t, open(t, objects, Options{CacheDir: dir, CacheSize: 3 << 20}), keys...)
	if near(again) == 0 {
		t.Error("the next client does not use the copy")
	}
	if _, err := again.whole(t.Context()); err != nil {
		t.Fatal(err)
	}
	var size int64
	_ = filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if info, err := d.Info(); err == nil && !d.IsDir() {
			size += info.Size()
		}
		return err
	})
	if size > 3<<20 || size < 2<<20 {
		t.Errorf("the folder holds %d bytes", size)
	}
	if ask(again, 50); near(again) != 3 {
		t.Error("a copy that was removed is not used any more by those who have it")
	}
}

// TestDamagedCopyIsGivenUp: whatever happens to a large copy, the segment in
// the store counts.
func TestDamagedCopyIsGivenUp(t *testing.T) {
	const n = 20_000
	objects := &remote{Store: mem.New(mem.Options{})}
	key := madeUpSegment(t, objects, name1, 0, n, 100)
	dir := t.TempDir()
	st := open(t, objects, Options{CacheDir: dir})
	segs, err := snapshot(t, st, key).whole(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	good, head := bytes.Clone(segs[0].data), segs[0].segmentHead
	path := st.copies.path(key)
	for name, at := range map[string]int64{
		"header":  9,
		"fan-out": segmentHeaderSize + 3,
		"record":  head.recordsAt() + 100*packRecordSize + 1,
		"key":     head.keysAt() + 5000,
		"entry":   head.entriesAt() + 10_000*indexEntrySize,
		"sum":     head.size() - 10,
	} {
		t.Run(name, func(t *testing.T) {
			bad := bytes.Clone(good)
			bad[at] ^= 0x81
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			snap := snapshot(t, open(t, objects, Options{CacheDir: dir}), key)
			for i := 0; i < n; i += 100 {
				if _, err := snap.Location(t.Context(), chunk.Data, madeUpID(i, n)); err != nil {
					t.Fatalf("chunk %d: %v", i, err)
				}
			}
		})
	}
}

// TestVerifySegmentReadsTheStore damages the store's own segment, of which there
// is a sound copy: verification finds it.
func TestVerifySegmentReadsTheStore(t *testing.T) {
	for _, n := range []int{10, 20_000} {
		objects := &remote{Store: mem.New(mem.Options{})}
		key := madeUpSegment(t, objects, name1, 0, n, 100)
		dir := t.TempDir()
		st := open(t, objects, Options{CacheDir: dir})
		for range 2 { // the first makes the copy
			if info, err := st.VerifySegment(t.Context(), key); err != nil || info.Chunks != n {
				t.Fatalf("%d chunks, %v", info.Chunks, err)
			}
		}
		if _, err := os.Stat(st.copies.path(key)); err != nil {
			t.Fatalf("no copy was made: %v", err)
		}
		b, _, err := objstore.ReadAll(t.Context(), objects, key, objstore.Range{}, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 1
		if _, err := objects.Put(t.Context(), key, objstore.Bytes(b), objstore.Condition{}); err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, objects, Options{CacheDir: dir}).VerifySegment(t.Context(), key); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%d chunks: %v", n, err)
		}
	}
}
