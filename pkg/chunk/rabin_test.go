package chunk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/restic/chunker"
	"pgregory.net/rapid"
)

// oracleCuts returns where restic/chunker cuts data.
func oracleCuts(t testing.TB, p Params, data []byte) []int {
	pol, err := p.check()
	if err != nil {
		t.Fatal(err)
	}
	c := chunker.NewWithBoundaries(bytes.NewReader(data), pol, uint(p.MinSize), uint(p.MaxSize))
	c.SetAverageBits(p.Bits)
	var ends []int
	for end := 0; ; {
		got, err := c.Next(nil)
		if errors.Is(err, io.EOF) {
			return ends
		}
		if err != nil {
			t.Fatal(err)
		}
		end += int(got.Length)
		ends = append(ends, end)
	}
}

// pieces draws data in which random, constant and repeated stretches follow
// each other.
func pieces(t *rapid.T) []byte {
	rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	var data []byte
	for range rapid.IntRange(0, 6).Draw(t, "pieces") {
		n := rapid.IntRange(1, 12_000).Draw(t, "size")
		piece := make([]byte, n)
		switch rapid.IntRange(0, 3).Draw(t, "kind") {
		case 0: // zeros: every window is a candidate
		case 1: // no candidate at all: chunks of the largest size
			for i := range piece {
				piece[i] = 1
			}
		case 2:
			for i := range piece {
				piece[i] = byte(rng.Uint32())
			}
		case 3:
			piece = piece[:min(n, len(data))]
			copy(piece, data)
		}
		data = append(data, piece...)
	}
	return data
}

// drawParams draws parameters under which little data has many chunks.
func drawParams(t *rapid.T) Params {
	p := DefaultParams()
	p.MinSize = rapid.IntRange(windowSize, 3000).Draw(t, "min")
	p.Bits = rapid.IntRange(1, 12).Draw(t, "bits")
	p.MaxSize = p.MinSize + rapid.IntRange(1, 20_000).Draw(t, "above min")
	return p
}

func TestSplitterCutsAsRestic(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p, data := drawParams(rt), pieces(rt)
		if got, want := cuts(t, p, data, 0), oracleCuts(t, p, data); !slices.Equal(got, want) {
			rt.Fatalf("cut at %v, restic/chunker at %v", got, want)
		}
	})
}

// TestFindLanes: the lanes side by side find what one byte after the other
// does, wherever the first candidate is.
func TestFindLanes(t *testing.T) {
	p := DefaultParams()
	p.Bits = 12
	pol, err := p.check()
	if err != nil {
		t.Fatal(err)
	}
	r := p.newRabin(pol)
	data := randomBytes(1 << 20)
	rng := rand.New(rand.NewPCG(7, 8))
	for range 300 {
		from := windowSize + rng.IntN(len(data)-windowSize)
		limit := from + rng.IntN(40_000)
		if got, want := r.find(data, from, limit), r.findSlowly(data, from, min(limit, len(data))); got != want {
			t.Fatalf("find from %d to %d: %d, want %d", from, limit, got, want)
		}
	}
}

// TestStreamCutsAsSplitter: blocks that are cut side by side have together the
// cuts, and so the Content, of a splitter that reads from the start.
func TestStreamCutsAsSplitter(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		p, data := drawParams(rt), pieces(rt)
		var want, got Mem
		list := listBuilder{store: &want}
		eachChunk(data, oracleCuts(t, p, data), func(c []byte) {
			id, err := want.Put(t.Context(), Data, c)
			if err == nil {
				err = list.add(t.Context(), listEntry{ID: id, Size: int64(len(c))})
			}
			if err != nil {
				rt.Fatal(err)
			}
		})
		content, err := list.finish(t.Context())
		if err != nil {
			rt.Fatal(err)
		}
		w, err := NewWriter(&got, p)
		if err != nil {
			rt.Fatal(err)
		}
		w.block = rapid.IntRange(windowSize, 30_000).Draw(rt, "block")
		c, err := w.WriteContent(t.Context(), iotest.HalfReader(bytes.NewReader(data)))
		if err != nil || c != content {
			rt.Fatalf("content %+v (%v), want %+v", c, err, content)
		}
		for k := range got.chunks {
			if _, ok := want.chunks[k]; !ok {
				rt.Fatalf("%v %v is no chunk of the stream", k.kind, k.id.Short())
			}
		}
	})
}

// faltering is a store that fails after some puts.
type faltering struct {
	Mem
	left int
}

var errStore = errors.New("store failed")

func (f *faltering) Put(ctx context.Context, k Kind, b []byte) (ID, error) {
	f.mu.Lock()
	f.left--
	failed := f.left < 0
	f.mu.Unlock()
	if failed {
		return ID{}, errStore
	}
	return f.Mem.Put(ctx, k, b)
}

// TestStreamGivesBack: whatever ends a stream, the next one has all of the
// Writer's memory.
func TestStreamGivesBack(t *testing.T) {
	data, broken := randomBytes(100_000), errors.New("broken")
	s := &faltering{}
	w, err := NewWriter(s, small())
	if err != nil {
		t.Fatal(err)
	}
	w.block = 1000
	for i, tt := range []struct {
		left int
		r    io.Reader
		want error
	}{
		{1 << 30, bytes.NewReader(data), nil},
		{3, bytes.NewReader(data), errStore},
		{1 << 30, io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)), broken},
		{1 << 30, io.MultiReader(bytes.NewReader(data), iotest.ErrReader(io.ErrUnexpectedEOF)), io.ErrUnexpectedEOF},
		{1 << 30, io.MultiReader(bytes.NewReader(data), iotest.ErrReader(fmt.Errorf("far: %w", io.EOF))), io.ErrUnexpectedEOF},
	} {
		s.left = tt.left
		if _, err := w.WriteContent(t.Context(), tt.r); !errors.Is(err, tt.want) {
			t.Errorf("%d: %v, want %v", i, err, tt.want)
		}
		if !w.budget.TryAcquire(int64(w.blocks)) {
			t.Fatalf("%d: some memory is not given back", i)
		}
		w.budget.Release(int64(w.blocks))
	}
}

// TestStreamsShareMemory: many long streams at once end, and are right.
func TestStreamsShareMemory(t *testing.T) {
	var s Mem
	w, err := NewWriter(&s, small())
	if err != nil {
		t.Fatal(err)
	}
	w.block = 2000
	data := randomBytes(200_000)
	want, err := w.WriteContent(t.Context(), bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	results := make(chan error)
	for range 20 {
		go func() {
			got, err := w.WriteContent(t.Context(), bytes.NewReader(data))
			if err == nil && got != want {
				err = fmt.Errorf("content %+v, want %+v", got, want)
			}
			results <- err
		}()
	}
	for range 20 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	data := randomBytes(64 << 20)
	p := DefaultParams()
	pol, err := p.check()
	if err != nil {
		b.Fatal(err)
	}
	r := p.newRabin(pol)
	r.mask = 1<<40 - 1 // there is no candidate
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		r.find(data, windowSize, len(data))
	}
}
