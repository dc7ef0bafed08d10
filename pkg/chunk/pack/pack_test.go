package pack

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/chunktest"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

// golden compares got with a file under testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *rewrite {
		if err := os.MkdirAll("testdata", 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs; a format that stores hold must not change:\n%x", path, got)
	}
}

func open(t testing.TB, objects objstore.Store, o Options) *Store {
	t.Helper()
	st, err := New(objects, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

func session(t testing.TB, st *Store, base *Snapshot, name string) *Session {
	t.Helper()
	s, err := st.Session(t.Context(), base, name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func snapshot(t testing.TB, st *Store, keys ...string) *Snapshot {
	t.Helper()
	s, err := st.Snapshot(t.Context(), keys)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s chunk.Store, k chunk.Kind, text string) chunk.ID {
	t.Helper()
	id, err := s.Put(t.Context(), k, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func wantText(t testing.TB, r chunk.Reader, k chunk.Kind, text string) {
	t.Helper()
	got, err := r.Get(t.Context(), k, k.Sum([]byte(text)))
	if err != nil || string(got) != text {
		t.Errorf("get %v %.40q: %.40q, %v", k, text, got, err)
	}
}

func flush(t testing.TB, s chunk.Store) {
	t.Helper()
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
}

const (
	name1 = "0000000000000007-aaaa"
	name2 = "0000000000000008-bbbb"
	name3 = "0000000000000009-cccc"
)

func randomText(n int, seed uint64) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(b) // never fails
	return string(b)
}

func TestSessionIsAStore(t *testing.T) {
	for name, o := range map[string]Options{
		"default":      {},
		"tiny packs":   {PackSize: 1000, PendingMax: 5},
		"no cache":     {PackSize: 100_000, NodeCache: -1},
		"cache folder": {CacheDir: t.TempDir(), PendingMax: 7},
	} {
		t.Run(name, func(t *testing.T) {
			chunktest.Run(t, func(t *testing.T) chunk.Store {
				return session(t, open(t, mem.New(mem.Options{}), o), nil, name1)
			})
		})
	}
}

// TestSnapshotReadsWhatSessionsWrote also after everything was closed, and
// exactly the segments asked for.
func TestSnapshotReadsWhatSessionsWrote(t *testing.T) {
	objects := mem.New(mem.Options{})
	st := open(t, objects, Options{})
	s1 := session(t, st, nil, name1)
	put(t, s1, chunk.Data, "one")
	put(t, s1, chunk.Node, "node one")
	flush(t, s1)
	put(t, s1, chunk.Data, "two")
	flush(t, s1)
	keys := s1.Segments()
	if len(keys) != 2 || keys[0] != "idx/"+name1+"/00000000" || keys[1] != "idx/"+name1+"/00000001" {
		t.Fatalf("segments %q", keys)
	}
	flush(t, s1)
	if len(s1.Segments()) != 2 {
		t.Error("a flush of nothing wrote a segment")
	}
	again := open(t, objects, Options{})
	snap := snapshot(t, again, keys...)
	wantText(t, snap, chunk.Data, "one")
	wantText(t, snap, chunk.Data, "two")
	for range 2 { // the second from the cache
		wantText(t, snap, chunk.Node, "node one")
	}
	first := snapshot(t, again, keys[0])
	wantText(t, first, chunk.Data, "one")
	if _, err := first.Get(t.Context(), chunk.Data, chunk.Data.Sum([]byte("two"))); !errors.Is(err, chunk.ErrNotFound) {
		t.Errorf("chunk of another segment: %v", err)
	}
	second := snapshot(t, again, keys[1])
	if _, err := second.Get(t.Context(), chunk.Node, chunk.Node.Sum([]byte("node one"))); !errors.Is(err, chunk.ErrNotFound) {
		t.Errorf("cached node of another segment: %v", err)
	}
	if l, err := snap.Location(t.Context(), chunk.Data, chunk.Data.Sum([]byte("two"))); err != nil || l.Pack != "packs/"+name1+"/00000002" || l.Offset != headerSize {
		t.Errorf("location %+v, %v", l, err)
	}
	packs := 0
	for p, err := range snap.Packs(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		packs++
		if p.Chunks != 1 || p.Meta != (p.Key == "packs/"+name1+"/00000001") {
			t.Errorf("pack %+v", p)
		}
	}
	if packs != 3 {
		t.Errorf("%d packs", packs)
	}
	for n, want := range map[int]bool{1: true, 3: false} {
		if ok, err := snap.HasPack(t.Context(), packKey(name1, n)); ok != want || err != nil {
			t.Errorf("pack %d is named: %v, %v", n, ok, err)
		}
	}
}

func TestSessionLeavesOutWhatTheBaseHas(t *testing.T) {
	objects := mem.New(mem.Options{})
	st := open(t, objects, Options{})
	s1 := session(t, st, nil, name1)
	put(t, s1, chunk.Data, "in the base")
	put(t, s1, chunk.Node, "also in the base")
	flush(t, s1)
	base := snapshot(t, st, s1.Segments()...)

	s2 := session(t, st, base, name2)
	put(t, s2, chunk.Data, "in the base")
	flush(t, s2)
	if got := s2.Segments(); len(got) != 0 {
		t.Errorf("wrote %q", got)
	}
	if got := fmt.Sprint(s2.Reused()); got != "[packs/"+name1+"/00000000]" {
		t.Errorf("reused %s", got)
	}
	put(t, s2, chunk.Node, "new")
	put(t, s2, chunk.Node, "also in the base")
	wantNew := func(want ...chunk.ID) {
		t.Helper()
		for _, id := range []chunk.ID{chunk.Node.Sum([]byte("new")), chunk.Node.Sum([]byte("newer")), chunk.Node.Sum([]byte("also in the base"))} {
			if got := s2.Added(chunk.Node, id); got != slices.Contains(want, id) {
				t.Errorf("%s was added by the session: %v", id.Short(), got)
			}
		}
	}
	a := chunk.Node.Sum([]byte("new"))
	wantNew(a)
	flush(t, s2)
	wantNew(a)
	b := put(t, s2, chunk.Node, "newer")
	wantNew(a, b)

	// The first segment gets published; the session goes on.
	segs := s2.Segments()
	next := snapshot(t, st, append(base.Segments(), segs...)...)
	if err := s2.Rebase(t.Context(), base, segs); err == nil {
		t.Error("rebased on a base that lacks the segment")
	}
	if err := s2.Rebase(t.Context(), next, []string{"idx/" + name2 + "/00000009"}); err == nil {
		t.Error("rebased on a segment that is not the session's")
	}
	if err := s2.Rebase(t.Context(), next, segs); err != nil {
		t.Fatal(err)
	}
	if len(s2.Segments()) != 0 {
		t.Errorf("segments %q after all were published", s2.Segments())
	}
	wantNew(b)
	put(t, s2, chunk.Node, "new")
	wantNew(b)
	wantText(t, s2, chunk.Node, "new")
	wantText(t, s2, chunk.Node, "newer")
	want := "[packs/" + name1 + "/00000000 packs/" + name1 + "/00000001 packs/" + name2 + "/00000000]"
	if got := fmt.Sprint(s2.Reused()); got != want {
		t.Errorf("reused %s, want %s", got, want)
	}
	for id, want := range map[chunk.ID]bool{chunk.Data.Sum([]byte("in the base")): true, b: false} {
		if ok, err := s2.Has(t.Context(), chunk.Data, id); ok != want || err != nil {
			t.Errorf("has %s: %v, %v", id.Short(), ok, err)
		}
	}
	if err := s2.Rebase(t.Context(), base, nil); err == nil {
		t.Error("rebased on a base that lacks a pack relied on")
	}
}

// TestEveryFlippedByteIsDetected: no byte of a pack can change without
// notice, and no chunk is ever returned with wrong bytes.
func TestEveryFlippedByteIsDetected(t *testing.T) {
	objects := mem.New(mem.Options{})
	st := open(t, objects, Options{})
	s := session(t, st, nil, name1)
	texts := []string{"hello", randomText(300, 1), string(bytes.Repeat([]byte("compress me "), 50)), ""}
	for _, text := range texts {
		put(t, s, chunk.Data, text)
	}
	flush(t, s)
	key := packKey(name1, 0)
	good, _, err := objstore.ReadAll(t.Context(), objects, key, objstore.Range{}, PackSizeMax)
	if err != nil {
		t.Fatal(err)
	}
	damaged := 0
	for i := range good {
		for _, mask := range []byte{0x01, 0x80, 0xff} {
			bad := bytes.Clone(good)
			bad[i] ^= mask
			replace(t, objects, key, bad)
			if _, err := st.VerifyPack(t.Context(), key); !errors.Is(err, chunk.ErrCorrupt) && !errors.Is(err, errors.ErrUnsupported) {
				t.Fatalf("byte %d ^ %x: VerifyPack: %v", i, mask, err)
			}
			snap := snapshot(t, st, s.Segments()...)
			for _, text := range texts {
				id := chunk.Data.Sum([]byte(text))
				got, err := snap.Get(t.Context(), chunk.Data, id)
				if err != nil {
					damaged++
					if !errors.Is(err, chunk.ErrCorrupt) || !bytes.Contains([]byte(err.Error()), []byte(key)) || !bytes.Contains([]byte(err.Error()), []byte(id.Short())) {
						t.Fatalf("byte %d: error %v", i, err)
					}
				} else if string(got) != text {
					t.Fatalf("byte %d ^ %x: wrong bytes", i, mask)
				}
			}
		}
	}
	if damaged < 300 {
		t.Errorf("only %d reads noticed", damaged)
	}
	for n := range good {
		replace(t, objects, key, good[:n])
		if _, err := st.VerifyPack(t.Context(), key); !errors.Is(err, chunk.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
		if _, err := st.ReadFooter(t.Context(), key); !errors.Is(err, chunk.ErrCorrupt) {
			t.Fatalf("cut to %d bytes: footer: %v", n, err)
		}
	}
}

func replace(t testing.TB, objects objstore.Store, key string, b []byte) {
	t.Helper()
	if _, err := objects.Put(t.Context(), key, objstore.Bytes(b), objstore.Condition{}); err != nil {
		t.Fatal(err)
	}
}

func TestMissingPackAndSegment(t *testing.T) {
	objects := mem.New(mem.Options{})
	st := open(t, objects, Options{})
	s := session(t, st, nil, name1)
	id := put(t, s, chunk.Data, "gone")
	flush(t, s)
	snap := snapshot(t, st, s.Segments()...)
	if err := objects.Delete(t.Context(), packKey(name1, 0)); err != nil {
		t.Fatal(err)
	}
	_, err := snap.Get(t.Context(), chunk.Data, id)
	if !errors.Is(err, ErrMissing) || !errors.Is(err, chunk.ErrCorrupt) || errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing pack: %v", err)
	}
	if _, err := st.ReadFooter(t.Context(), packKey(name1, 0)); !errors.Is(err, ErrMissing) {
		t.Errorf("footer of a missing pack: %v", err)
	}
	if _, err := st.Snapshot(t.Context(), []string{segmentKey(name1, 5)}); !errors.Is(err, ErrMissing) {
		t.Errorf("missing segment: %v", err)
	}
	if _, err := st.Snapshot(t.Context(), []string{"root"}); err == nil {
		t.Error("a key that is no segment's was opened")
	}
}

// TestSecondCopyServes: a chunk with two places is read from the sound one.
func TestSecondCopyServes(t *testing.T) {
	objects := mem.New(mem.Options{})
	st := open(t, objects, Options{})
	s1, s2 := session(t, st, nil, name1), session(t, st, nil, name2)
	for _, s := range []*Session{s1, s2} {
		put(t, s, chunk.Data, "twice")
		flush(t, s)
	}
	merged, err := st.MergeSegments(t.Context(), name3, 0, append(s1.Segments(), s2.Segments()...))
	if err != nil {
		t.Fatal(err)
	}
	for _, keys := range [][]string{{merged}, append(s1.Segments(), s2.Segments()...)} {
		snap := snapshot(t, st, keys...)
		for i, name := range []string{name1, name2} {
			key := packKey(name, 0)
			good, _, err := objstore.ReadAll(t.Context(), objects, key, objstore.Range{}, PackSizeMax)
			if err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				bad := bytes.Clone(good)
				bad[headerSize] ^= 1
				replace(t, objects, key, bad)
			} else if err := objects.Delete(t.Context(), key); err != nil {
				t.Fatal(err)
			}
			wantText(t, snap, chunk.Data, "twice")
			replace(t, objects, key, good)
		}
	}
}

func TestMergeAndRebuild(t *testing.T) {
	objects := mem.New(mem.Options{})
	st := open(t, objects, Options{PackSize: 2000})
	var segs, texts []string
	for i, name := range []string{name1, name2} {
		s := session(t, st, nil, name)
		for n := range 300 {
			text := fmt.Sprint("chunk ", n*(i+1))
			texts = append(texts, text)
			put(t, s, chunk.Data, text)
			put(t, s, chunk.Node, text)
		}
		flush(t, s)
		segs = append(segs, s.Segments()...)
	}
	merged, err := st.MergeSegments(t.Context(), name3, 0, segs)
	if err != nil {
		t.Fatal(err)
	}
	twice, err := st.MergeSegments(t.Context(), name3, 1, append(segs, merged))
	if err != nil {
		t.Fatal(err)
	}
	var footers []Footer
	for info, err := range objects.List(t.Context(), PackPrefix, "") {
		if err != nil {
			t.Fatal(err)
		}
		f, err := st.ReadFooter(t.Context(), info.Key)
		if err != nil {
			t.Fatal(err)
		}
		footers = append(footers, f)
	}
	rebuilt, err := st.IndexPacks(t.Context(), name3, 2, footers)
	if err != nil {
		t.Fatal(err)
	}
	var bodies [][]byte
	for _, key := range []string{merged, twice, rebuilt} {
		b, _, err := objstore.ReadAll(t.Context(), objects, key, objstore.Range{}, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, b)
		if info, err := st.VerifySegment(t.Context(), key); err != nil || info.Chunks != 1200 {
			t.Errorf("%s: %+v, %v", key, info, err)
		}
	}
	if !bytes.Equal(bodies[0], bodies[1]) || !bytes.Equal(bodies[0], bodies[2]) {
		t.Error("merging twice, or from footers, gives other bytes")
	}
	snap := snapshot(t, st, rebuilt)
	for _, text := range texts {
		wantText(t, snap, chunk.Data, text)
		wantText(t, snap, chunk.Node, text)
	}
	n := 0
	for l, err := range snap.Chunks(t.Context()) {
		if err != nil || l.Kind.Sum(nil) == l.ID {
			t.Fatal(l, err)
		}
		n++
	}
	if n != 1200 {
		t.Errorf("%d chunks", n)
	}
	if _, err := st.MergeSegments(t.Context(), name3, 3, nil); err == nil {
		t.Error("merged nothing")
	}
	if _, err := st.MergeSegments(t.Context(), "x", 3, segs); err == nil {
		t.Error("merged into a session without a proper name")
	}
}

// TestMergeInFile takes the way of large segments.
func TestMergeInFile(t *testing.T) {
	objects := mem.New(mem.Options{})
	dir := t.TempDir()
	st := open(t, objects, Options{TempDir: dir})
	s := session(t, st, nil, name1)
	put(t, s, chunk.Data, "x")
	flush(t, s)
	segs, err := snapshot(t, st, s.Segments()...).whole(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := newMerger(segs, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.putSegmentFile(t.Context(), mergedKey(name2, 0), m.writeTo); err != nil {
		t.Fatal(err)
	}
	wantText(t, snapshot(t, st, mergedKey(name2, 0)), chunk.Data, "x")
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("left %v, %v", left, err)
	}
}

func TestNames(t *testing.T) {
	name, err := SessionName(0xabc, "00ff")
	if err != nil || name != "0000000000000abc-00ff" {
		t.Errorf("%q, %v", name, err)
	}
	for _, key := range []string{packKey(name, 12), segmentKey(name, 0), mergedKey(name, 7)} {
		if s, gen, err := ParseKey(key); err != nil || s != name || gen != 0xabc {
			t.Errorf("%s: %q, %d, %v", key, s, gen, err)
		}
	}
	for _, bad := range []string{
		"", "packs/", "packs/" + name, "packs/" + name + "/", "packs/" + name + "/1", "packs/" + name + "/0000000x", "packs/" + name + "/m00000001",
		"idx/" + name + "/00000001/x", "packs/abc-00ff/00000001", "packs/0000000000000ABC-00ff/00000001", "packs/0000000000000abc-/00000001",
		"packs/0000000000000abc-0_f/00000001", "roots/" + name + "/00000001", "packs/" + name + "/99999999999",
	} {
		if _, _, err := ParseKey(bad); err == nil {
			t.Errorf("%q was parsed", bad)
		}
	}
	if _, err := SessionName(1, "UPPER"); err == nil {
		t.Error("upper case was accepted")
	}
	if _, err := open(t, mem.New(mem.Options{}), Options{}).Session(context.Background(), nil, "name"); err == nil {
		t.Error("a session without a proper name was started")
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{{PackSize: -1}, {PackSize: PackSizeMax + 1}, {SegmentMemory: -1}, {PendingMax: -1}} {
		if _, err := New(mem.New(mem.Options{}), o); err == nil {
			t.Errorf("%+v was accepted", o)
		}
	}
}

// TestCacheFolderIsNotTrusted: a damaged copy of a segment is made again.
func TestCacheFolderIsNotTrusted(t *testing.T) {
	objects := mem.New(mem.Options{})
	s := session(t, open(t, objects, Options{}), nil, name1)
	put(t, s, chunk.Data, "x")
	flush(t, s)
	dir := t.TempDir()
	snapshot(t, open(t, objects, Options{CacheDir: dir}), s.Segments()...)
	path := filepath.Join(dir, filepath.FromSlash(s.Segments()[0]))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 10, 100, 200, len(good) - 1} {
		bad := bytes.Clone(good)
		bad[n] ^= 4
		for _, b := range [][]byte{bad, good[:n]} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			wantText(t, snapshot(t, open(t, objects, Options{CacheDir: dir}), s.Segments()...), chunk.Data, "x")
		}
	}
}
