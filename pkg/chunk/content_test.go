package chunk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// listParams make a chunk of about 80 bytes, so that a few hundred KiB need
// lists of lists.
func listParams() Params {
	p := small()
	p.Bits, p.MaxSize = 4, 128
	return p
}

func mustWrite(t testing.TB, s Store, p Params, data []byte) Content {
	t.Helper()
	c, err := WriteContent(t.Context(), s, p, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestWriteContentSizes(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 65, 127, 128, 129, 10_000, 400_000} {
		data := randomBytes(n)
		var m Mem
		c := mustWrite(t, &m, listParams(), data)
		if c.Size != int64(n) || CheckContent(c) != nil {
			t.Errorf("%d bytes: %+v, %v", n, c, CheckContent(c))
		}
		if n > 128 && c.Depth == 0 || n == 400_000 && c.Depth < 2 || n <= 64 && c.Depth != 0 {
			t.Errorf("%d bytes: depth %d", n, c.Depth)
		}
		r, err := OpenContent(t.Context(), &m, c)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes: read back %d, %v", n, len(got), err)
		}
	}
}

// TestContentIsAFunctionOfBytes: neither slicing, nor the Writer's past, nor
// what the store already holds plays a part.
func TestContentIsAFunctionOfBytes(t *testing.T) {
	var shared Mem
	w, err := NewWriter(&shared, listParams())
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		data := drawBytes(t)
		var m Mem
		want, err := WriteContent(context.Background(), &m, listParams(), bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "slices"), 0))
		got, err := w.WriteContent(context.Background(), &slicer{bytes.NewReader(data), rng})
		if err != nil || got != want {
			t.Fatalf("got %+v, %v, want %+v", got, err, want)
		}
	})
}

// drawBytes draws data that repeats itself, has runs, or neither.
func drawBytes(t *rapid.T) []byte {
	data := randomSeed(rapid.IntRange(0, 60_000).Draw(t, "size"), rapid.StringN(1, 8, 32).Draw(t, "seed"))
	if n := len(data); n > 0 && rapid.Bool().Draw(t, "runs") {
		from, to := rapid.IntRange(0, n).Draw(t, "from"), rapid.IntRange(0, n).Draw(t, "to")
		if from < to {
			clear(data[from:to])
		}
		data = append(data, data...)
	}
	return data
}

func TestContentReadsAnyRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := drawBytes(t)
		var m Mem
		c, err := WriteContent(context.Background(), &m, listParams(), bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		r, err := OpenContent(context.Background(), &m, c)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			off := rapid.IntRange(0, len(data)+10).Draw(t, "offset")
			buf := make([]byte, rapid.IntRange(0, 2000).Draw(t, "length"))
			got, gotErr := r.ReadAt(buf, int64(off))
			want := make([]byte, len(buf))
			n, wantErr := bytes.NewReader(data).ReadAt(want, int64(off))
			if len(buf) == 0 {
				wantErr = nil // both may choose
			}
			if got != n || !errors.Is(gotErr, wantErr) || !bytes.Equal(buf[:got], want[:n]) {
				t.Fatalf("ReadAt(%d, %d): %d, %v, want %d, %v", len(buf), off, got, gotErr, n, wantErr)
			}
		}
		for off := rapid.IntRange(0, len(data)).Draw(t, "once"); off < len(data); {
			buf := make([]byte, 3000)
			n, err := r.ReadOnce(buf, int64(off))
			if err != nil || n == 0 || !bytes.Equal(buf[:n], data[off:off+n]) {
				t.Fatalf("ReadOnce at %d: %d, %v", off, n, err)
			}
			off += n
			r.Drop()
		}
		start := rapid.IntRange(0, len(data)).Draw(t, "start")
		if _, err := r.Seek(int64(start), io.SeekStart); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if n, err := r.WriteTo(&out); err != nil || n != int64(len(data)-start) || !bytes.Equal(out.Bytes(), data[start:]) {
			t.Fatalf("WriteTo from %d: %d, %v", start, n, err)
		}
	})
}

func TestContentReaderObeysIO(t *testing.T) {
	data := randomBytes(20_000)
	var m Mem
	c := mustWrite(t, &m, listParams(), data)
	r, err := OpenContent(t.Context(), &m, c)
	if err != nil {
		t.Fatal(err)
	}
	if err := iotest.TestReader(r, data); err != nil {
		t.Error(err)
	}
	for _, bad := range []func() error{
		func() error { _, err := r.Seek(-1, io.SeekStart); return err },
		func() error { _, err := r.Seek(0, 9); return err },
		func() error { _, err := r.ReadAt(nil, -1); return err },
	} {
		if err := bad(); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for off := i * 100; off < len(data); off += 777 {
				buf := make([]byte, 500)
				n, err := r.ReadAt(buf, int64(off))
				if err != nil && !errors.Is(err, io.EOF) || !bytes.Equal(buf[:n], data[off:off+n]) {
					t.Errorf("at %d: %v", off, err)
				}
			}
		})
	}
	wg.Wait()
}

// TestReadIsFrugal: a range costs its way down and its chunks.
func TestReadIsFrugal(t *testing.T) {
	data := randomBytes(400_000)
	var m Mem
	c := mustWrite(t, &m, listParams(), data)
	r, err := OpenContent(t.Context(), &m, c)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := m.Counts()
	if _, err := r.ReadAt(make([]byte, 10), 200_000); err != nil {
		t.Fatal(err)
	}
	after, _ := m.Counts()
	if got := after - before; got > int(c.Depth)+2 {
		t.Errorf("ten bytes cost %d reads at depth %d", got, c.Depth)
	}
}

// TestEditIsLocal: an insertion stores a few chunks and, per level, a few
// nodes anew.
func TestEditIsLocal(t *testing.T) {
	data := randomBytes(1 << 20)
	var m Mem
	before := mustWrite(t, &m, listParams(), data)
	_, w0 := m.Counts()
	if before.Depth < 2 || w0 < 10_000 {
		t.Fatalf("depth %d, %d chunks: too small a test", before.Depth, w0)
	}
	for i, at := range []int{0, 1 << 18, 1<<19 + 12345, len(data)} {
		edited := append(append(append([]byte{}, data[:at]...), "inserted"...), data[at:]...)
		_, w0 := m.Counts()
		after := mustWrite(t, &m, listParams(), edited)
		_, w1 := m.Counts()
		if after == before {
			t.Fatal("the edit did not change the content")
		}
		known := map[ID]bool{}
		visit(t, &m, before, func(k Kind, id ID) { known[id] = true })
		lists := 0
		visit(t, &m, after, func(k Kind, id ID) {
			if k == List && !known[id] {
				lists++
			}
		})
		if perLevel := 4; lists > perLevel*int(after.Depth) || w1-w0 > lists+8 {
			t.Errorf("edit %d stored %d chunks of which %d list nodes at depth %d", i, w1-w0, lists, after.Depth)
		}
	}
}

func visit(t testing.TB, r Reader, c Content, fn func(Kind, ID)) {
	t.Helper()
	err := VisitContent(t.Context(), r, c, func(k Kind, id ID, _ int64) error { fn(k, id); return nil })
	if err != nil {
		t.Fatal(err)
	}
}

func TestVisitContent(t *testing.T) {
	data := randomBytes(400_000)
	var m Mem
	c := mustWrite(t, &m, listParams(), data)
	var joined []byte
	visit(t, &m, c, func(k Kind, id ID) {
		if k == Data {
			b, err := m.Get(t.Context(), k, id)
			if err != nil {
				t.Fatal(err)
			}
			joined = append(joined, b...)
		}
	})
	if !bytes.Equal(joined, data) {
		t.Error("the chunks in order are not the file")
	}
	reads, _ := m.Counts()
	seen := 0
	err := VisitContent(t.Context(), &m, c, func(k Kind, id ID, size int64) error {
		seen++
		if id != c.ID {
			return fmt.Errorf("known: %w", SkipList)
		}
		return nil
	})
	after, _ := m.Counts()
	if err != nil || after-reads != 1 || seen < 2 {
		t.Errorf("%d seen with %d reads, %v", seen, after-reads, err)
	}
	stop := errors.New("stop")
	if err := VisitContent(t.Context(), &m, c, func(Kind, ID, int64) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	if err := VisitContent(t.Context(), &m, Content{}, func(Kind, ID, int64) error { return stop }); err != nil {
		t.Errorf("empty file: %v", err)
	}
}

// TestOpenContentRejectsLies: lengths that do not add up are corruption.
func TestOpenContentRejectsLies(t *testing.T) {
	ctx := t.Context()
	var m Mem
	put := func(k Kind, b []byte) ID {
		id, err := m.Put(ctx, k, b)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	list := func(level uint8, e ...listEntry) ID {
		raw, err := encodeList(level, e)
		if err != nil {
			t.Fatal(err)
		}
		return put(List, raw)
	}
	a, b := put(Data, []byte("aaaa")), put(Data, []byte("bb"))
	good := list(1, listEntry{ID: a, Size: 4}, listEntry{ID: b, Size: 2})
	for name, c := range map[string]Content{
		"size":                 {good, 7, 1},
		"chunk of other size":  {list(1, listEntry{ID: a, Size: 3}, listEntry{ID: b, Size: 3}), 6, 1},
		"depth":                {good, 6, 2},
		"one entry at the top": {list(2, listEntry{ID: good, Size: 6}), 6, 2},
		"level below":          {list(2, listEntry{ID: good, Size: 6}, listEntry{ID: list(2, listEntry{ID: good, Size: 6}), Size: 6}), 12, 2},
		"overflow":             {list(2, listEntry{ID: good, Size: math.MaxInt64}, listEntry{ID: good, Size: 6}), 5, 2},
		"lone chunk":           {a, 5, 0},
		"not a list":           {put(List, []byte("bb")), 5, 1},
	} {
		r, err := OpenContent(ctx, &m, c)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := io.Copy(io.Discard, r); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, err := OpenContent(ctx, &m, Content{Data.Sum([]byte("absent")), 6, 0})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(make([]byte, 1)); !errors.Is(err, ErrNotFound) {
		t.Errorf("absent chunk: %v", err)
	}
}

func TestCheckContent(t *testing.T) {
	id := Data.Sum(nil)
	for _, c := range []Content{{}, {id, 1, 0}, {id, SizeMax, 0}, {id, math.MaxInt64, DepthMax}, {id, 1, DepthReference}} {
		if err := CheckContent(c); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []Content{
		{id, 0, 0}, {ID{}, 0, 1}, {ID{}, 1, 0}, {id, -1, 0}, {id, SizeMax + 1, 0}, {id, 1, 1}, {id, 1 << 40, DepthReference + 1}, {ID{}, 1, DepthReference}, {id, 0, DepthReference},
	} {
		if err := CheckContent(c); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%+v: %v", c, err)
		}
		if _, err := OpenContent(t.Context(), &Mem{}, c); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("open %+v: %v", c, err)
		}
	}
}

// failing is a store whose n-th Put fails.
type failing struct {
	Mem
	mu sync.Mutex
	n  int
}

var errPut = errors.New("put failed")

func (f *failing) Put(ctx context.Context, k Kind, b []byte) (ID, error) {
	f.mu.Lock()
	f.n--
	fail := f.n == 0
	f.mu.Unlock()
	if fail {
		return ID{}, errPut
	}
	return f.Mem.Put(ctx, k, b)
}

func TestWriteContentReportsEveryFailure(t *testing.T) {
	data := randomBytes(30_000)
	var all Mem
	want := mustWrite(t, &all, listParams(), data)
	_, puts := all.Counts()
	for n := 1; n <= puts; n += 1 + n/8 {
		f := &failing{n: n}
		if _, err := WriteContent(t.Context(), f, listParams(), bytes.NewReader(data)); !errors.Is(err, errPut) {
			t.Fatalf("put %d of %d failed: %v", n, puts, err)
		}
		c, err := WriteContent(t.Context(), f, listParams(), bytes.NewReader(data))
		if err != nil || c != want {
			t.Fatalf("tried again after put %d: %+v, %v", n, c, err)
		}
	}
	for _, n := range []int{0, 10, 65, 5000} {
		r := io.MultiReader(bytes.NewReader(data[:n]), iotest.ErrReader(io.ErrUnexpectedEOF))
		if _, err := WriteContent(t.Context(), &Mem{}, listParams(), r); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("stream broken after %d bytes: %v", n, err)
		}
	}
}

func TestReadEndsWithContext(t *testing.T) {
	var m Mem
	c := mustWrite(t, &m, listParams(), randomBytes(10_000))
	ctx, cancel := context.WithCancel(t.Context())
	r, err := OpenContent(ctx, &m, c)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.Copy(io.Discard, r); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

// TestWriteToReadsNothingTwice follows a short Read with WriteTo, as servers do
// that look at the first bytes before they answer.
func TestWriteToReadsNothingTwice(t *testing.T) {
	var m Mem
	data := randomBytes(2_000)
	c := mustWrite(t, &m, listParams(), data)
	chunks := 0
	visit(t, &m, c, func(Kind, ID) { chunks++ })
	r, err := OpenContent(t.Context(), &m, c)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := m.Counts()
	first := make([]byte, 10)
	if _, err := io.ReadFull(r, first); err != nil {
		t.Fatal(err)
	}
	var rest bytes.Buffer
	if n, err := r.WriteTo(&rest); err != nil || n != int64(len(data)-len(first)) {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if !bytes.Equal(append(first, rest.Bytes()...), data) {
		t.Error("other bytes")
	}
	if after, _ := m.Counts(); after-before > chunks {
		t.Errorf("%d reads of %d chunks and lists", after-before, chunks)
	}
}
