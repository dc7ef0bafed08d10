package memo

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// segments is a Source in memory that counts what is open.
type segments struct {
	mu    sync.Mutex
	files map[string][]byte
	open  map[string]int
}

func newSegments() *segments { return &segments{files: map[string][]byte{}, open: map[string]int{}} }

type openFile struct {
	*bytes.Reader
	name string
	of   *segments
}

func (o openFile) Close() error {
	o.of.mu.Lock()
	defer o.of.mu.Unlock()
	o.of.open[o.name]--
	return nil
}

func (s *segments) Open(_ context.Context, name string) (io.ReaderAt, int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.files[name]
	if !ok {
		return nil, 0, fmt.Errorf("segment %s: %w", name, fs.ErrNotExist)
	}
	s.open[name]++
	return openFile{bytes.NewReader(b), name, s}, int64(len(b)), nil
}

func must1[T any](v T, err error) func(t testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestCacheScopes(t *testing.T) {
	ctx := t.Context()
	for _, published := range []bool{false, true} {
		src := newSegments()
		c := NewCache(src)
		own, anybody := record(1, "host/alice"), record(2, "")
		for _, r := range []Record{own, anybody} {
			must1(c.Add(ctx, r))(t)
		}
		if published {
			src.files["s"] = must1(c.EncodePending())(t)
			if err := c.Sync(ctx, []string{"s"}); err != nil {
				t.Fatal(err)
			}
			if n := len(c.Pending()); n != 0 {
				t.Errorf("%d records still pending after they were published", n)
			}
		}
		for _, test := range []struct {
			key    byte
			scopes []string
			want   bool
		}{
			{1, []string{"host/alice"}, true},
			{1, []string{"host/bob", "host/alice"}, true},
			{1, []string{"host/bob"}, false},
			{1, nil, false},
			{1, []string{""}, false},
			{2, nil, true},
			{2, []string{"host/bob"}, true},
			{3, []string{"host/alice"}, false},
		} {
			r, ok, err := c.Lookup(ctx, Key{test.key}, test.scopes...)
			if err != nil || ok != test.want || ok && r.Key != (Key{test.key}) {
				t.Errorf("published %v: key %d for %q: %v, %v, want %v", published, test.key, test.scopes, ok, err, test.want)
			}
		}
	}
}

func TestCacheFirstWins(t *testing.T) {
	ctx := t.Context()
	src := newSegments()
	c := NewCache(src)
	first := record(1, "s")
	must1(c.Add(ctx, first))(t)
	for _, published := range []bool{false, true} {
		same := record(1, "s")
		same.By = "other"
		if kept, err := c.Add(ctx, same); err != nil || kept.By != "owner" {
			t.Errorf("published %v: an equal output: kept %q, %v", published, kept.By, err)
		}
		other := record(1, "s")
		other.Output.Content = tree.ContentID{99}
		kept, err := c.Add(ctx, other)
		if !errors.Is(err, ErrMismatch) || !cmp.Equal(kept, first) {
			t.Errorf("published %v: another output: kept %+v, %v", published, kept.Output, err)
		}
		if r, _, _ := c.Lookup(ctx, Key{1}, "s"); !cmp.Equal(r, first) {
			t.Errorf("published %v: found %+v", published, r)
		}
		other.Scope = "t"
		if _, err := c.Add(ctx, other); err != nil {
			t.Errorf("published %v: another output in another scope: %v", published, err)
		}
		src.files["s"] = must1(c.EncodePending())(t)
		if err := c.Sync(ctx, []string{"s"}); err != nil {
			t.Fatal(err)
		}
	}
	if b, err := c.EncodePending(); b != nil || err != nil {
		t.Errorf("nothing pending: %d bytes, %v", len(b), err)
	}
	if _, err := c.Add(ctx, Record{}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("a record without key: %v", err)
	}
}

func TestCacheSync(t *testing.T) {
	ctx := t.Context()
	src := newSegments()
	src.files["a"] = segmentOf(t, record(1, ""))
	src.files["b"] = segmentOf(t, record(2, ""))
	src.files["bad"] = []byte("not a segment, though it is quite long enough to be one, as far as that goes")
	c := NewCache(src)
	has := func(want ...byte) {
		t.Helper()
		for b := byte(1); b < 4; b++ {
			if _, ok, err := c.Lookup(ctx, Key{b}); err != nil || ok != slices.Contains(want, b) {
				t.Errorf("key %d found: %v, %v; want %v", b, ok, err, want)
			}
		}
	}
	sync := func(kind error, names ...string) {
		t.Helper()
		if err := c.Sync(ctx, names); !errors.Is(err, kind) {
			t.Errorf("sync %q: %v, want %v", names, err, kind)
		}
	}
	sync(nil, "a", "b")
	has(1, 2)
	sync(fs.ErrNotExist, "b", "missing")
	sync(chunk.ErrCorrupt, "b", "bad")
	sync(fs.ErrInvalid, "a", "a")
	has(1, 2)
	sync(nil, "b")
	has(2)
	if want := map[string]int{"a": 0, "b": 1, "bad": 0}; !cmp.Equal(src.open, want) {
		t.Errorf("open segments %v, want %v", src.open, want)
	}
	sync(nil)
	has()
	if err := NewCache(nil).Sync(ctx, []string{"a"}); err == nil {
		t.Error("a cache without source opens segments")
	}
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	if _, _, err := c.Lookup(stopped, Key{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("look-up after the end: %v", err)
	}
}

// TestCacheLookupReportsDamage: a damaged segment is an error, not a miss.
func TestCacheLookupReportsDamage(t *testing.T) {
	src := newSegments()
	b := segmentOf(t, record(1, ""))
	b[len(b)-segmentFoot-1] ^= 1
	src.files["s"] = b
	c := NewCache(src)
	if err := c.Sync(t.Context(), []string{"s"}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Lookup(t.Context(), Key{1}); !errors.Is(err, chunk.ErrCorrupt) || !strings.Contains(err.Error(), "segment s") {
		t.Errorf("error %v", err)
	}
}

func TestCacheFull(t *testing.T) {
	c := NewCache(nil)
	r := record(1, "")
	for i := range 300 {
		r.Parts = append(r.Parts, Part{Name: strings.Repeat("x", 500) + fmt.Sprint(i), Digest: "0123456789abcdef"})
	}
	var err error
	n := uint32(0)
	for ; err == nil && n < 10_000; n++ {
		binary.BigEndian.PutUint32(r.Key[:], n+1)
		_, err = c.Add(t.Context(), r)
	}
	if size := int(n) * len(encoded(t, r)); !errors.Is(err, ErrFull) || size < PendingSizeMax || size > PendingSizeMax*11/10 {
		t.Errorf("after %d records of %d bytes: %v", n, size, err)
	}
}

func TestCacheMerge(t *testing.T) {
	ctx := t.Context()
	src := newSegments()
	c := NewCache(src)
	var names []string
	want := map[Key]Record{}
	for i := range 60 {
		name := fmt.Sprint("s", i)
		r := record(byte(i/2), "x") // every key twice
		r.Key[1] = 1
		r.By = name
		if _, ok := want[r.Key]; !ok {
			want[r.Key] = r
		}
		src.files[name] = segmentOf(t, r)
		names = append(names, name)
		if err := c.Sync(ctx, names); err != nil {
			t.Fatal(err)
		}
		m, ok, err := c.Merge(ctx)
		if err != nil || ok != (len(names) > SegmentsMax) {
			t.Fatalf("%d segments: merge %v, %v", len(names), ok, err)
		}
		if !ok {
			continue
		}
		at := slices.Index(names, m.Names[0])
		if !slices.Equal(names[at:at+len(m.Names)], m.Names) {
			t.Fatalf("%q are no run of %q", m.Names, names)
		}
		merged := fmt.Sprint("m", i)
		src.files[merged] = m.Data
		names = slices.Replace(names, at, at+len(m.Names), merged)
		if err := c.Sync(ctx, names); err != nil {
			t.Fatal(err)
		}
	}
	for key, r := range want {
		if got, ok, err := c.Lookup(ctx, key, "x"); !ok || err != nil || !cmp.Equal(got, r) {
			t.Errorf("key %v: found %q, want %q: %v", key.Short(), got.By, r.By, err)
		}
	}
}

// TestMergeRun: merging until it is done leaves few segments and rewrites each
// byte few times.
func TestMergeRun(t *testing.T) {
	var sizes []int64
	var written int64
	const n = 5000
	for range n {
		sizes = append(sizes, 1000)
		if i, j := mergeRun(sizes); i < j {
			var total int64
			for _, s := range sizes[i:j] {
				total += s
			}
			written += total
			sizes = slices.Replace(sizes, i, j, total)
		}
		if len(sizes) > SegmentsMax {
			t.Fatalf("%d segments", len(sizes))
		}
	}
	if times := float64(written) / (n * 1000); times > 12 {
		t.Errorf("each byte was rewritten %.1f times", times)
	}
	big := slices.Repeat([]int64{mergeSizeMax}, 20)
	if i, j := mergeRun(big); i != j {
		t.Errorf("segments %d to %d are too large to merge", i, j)
	}
	if i, j := mergeRun(append([]int64{1, 2, 3}, big...)); i != 0 || j != 3 {
		t.Errorf("merge %d to %d, want the small ones, 0 to 3", i, j)
	}
}

// TestCacheModel compares a cache through adding, publishing and merging with
// a map.
func TestCacheModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx := context.Background()
		src := newSegments()
		c := NewCache(src)
		model := map[scoped]Record{}
		var names []string
		rt.Repeat(map[string]func(*rapid.T){
			"add": func(rt *rapid.T) {
				r := record(byte(rapid.IntRange(1, 6).Draw(rt, "key")), rapid.SampledFrom([]string{"", "a", "b"}).Draw(rt, "scope"))
				r.Output.Content[0] = rapid.SampledFrom([]byte{1, 1, 1, 2}).Draw(rt, "output")
				r.Parts = nil
				kept, err := c.Add(ctx, r)
				first, had := model[scoped{r.Key, r.Scope}]
				if !had {
					model[scoped{r.Key, r.Scope}], first = r, r
				}
				if !cmp.Equal(kept, first) || errors.Is(err, ErrMismatch) != (first.Output.Content != r.Output.Content) {
					rt.Fatalf("kept %+v, %v", kept, err)
				}
			},
			"publish": func(rt *rapid.T) {
				b, err := c.EncodePending()
				if err != nil {
					rt.Fatal(err)
				}
				if b != nil {
					name := fmt.Sprint(len(src.files))
					src.files[name] = b
					names = append(names, name)
				}
				if err := c.Sync(ctx, names); err != nil || len(c.Pending()) > 0 {
					rt.Fatalf("%d pending, %v", len(c.Pending()), err)
				}
			},
			"restart": func(rt *rapid.T) {
				lost := c.Pending()
				c = NewCache(src)
				if err := c.Sync(ctx, names); err != nil {
					rt.Fatal(err)
				}
				for _, r := range lost {
					delete(model, scoped{r.Key, r.Scope})
				}
			},
			"": func(rt *rapid.T) {
				for id := range maps.Keys(model) {
					r, ok, err := c.Lookup(ctx, id.key, id.scope)
					if err != nil || !ok || r.Scope != "" && !cmp.Equal(r, model[id]) {
						rt.Fatalf("%v: %+v, %v, %v", id, r, ok, err)
					}
				}
			},
		})
	})
}

func TestCacheConcurrently(t *testing.T) {
	ctx := t.Context()
	src := newSegments()
	c := NewCache(src)
	var work sync.WaitGroup
	for g := range 4 {
		work.Go(func() {
			for i := range 50 {
				r := record(byte(i+1), "s")
				if _, err := c.Add(ctx, r); err != nil {
					t.Error(err)
				}
				if _, ok, err := c.Lookup(ctx, r.Key, "s"); !ok || err != nil {
					t.Errorf("worker %d: record %d is gone: %v", g, i, err)
				}
			}
		})
	}
	work.Go(func() {
		var names []string
		for i := range 20 {
			b, err := c.EncodePending()
			if err != nil {
				t.Error(err)
			}
			if b != nil {
				name := fmt.Sprint(i)
				src.mu.Lock()
				src.files[name] = b
				src.mu.Unlock()
				names = append(names, name)
			}
			if err := c.Sync(ctx, names); err != nil {
				t.Error(err)
			}
		}
	})
	work.Wait()
}
