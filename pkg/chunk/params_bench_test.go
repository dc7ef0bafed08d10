package chunk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sort"
	"testing"
	"time"
)

// BenchmarkParams is the measurement behind DefaultParams; run it with
// -benchtime=1x -cpu 1. docs/BENCHMARKS.md holds the result.
func BenchmarkParams(b *testing.B) {
	const size = 256 << 20
	inputs := []struct {
		name string
		make func(n int) []byte
	}{{"random", randomBytes}, {"text", textBytes}}
	for _, in := range inputs {
		data := in.make(size)
		for _, v := range []struct{ min, bits int }{{512 << 10, 20}, {512 << 10, 19}, {1 << 20, 19}, {2 << 20, 19}} {
			p := DefaultParams()
			p.MinSize, p.Bits = v.min, v.bits
			b.Run(fmt.Sprintf("%s/%dK-%d", in.name, v.min>>10, v.bits), func(b *testing.B) {
				for b.Loop() {
					measureParams(b, p, data)
				}
			})
		}
	}
}

// measureParams reports one row of the table.
func measureParams(b *testing.B, p Params, data []byte) {
	best := time.Hour
	var ends []int
	for range 3 {
		start := time.Now()
		ends = cuts(b, p, data, 0)
		best = min(best, time.Since(start))
	}
	b.ReportMetric(float64(len(data))/1e6/best.Seconds(), "MB/s")
	b.ReportMetric(float64(len(data))/float64(len(ends))/1024, "meanKiB")

	known := map[ID]bool{}
	eachChunk(data, ends, func(c []byte) { known[Data.Sum(c)] = true })
	edited := insertions(data, 64)
	stored := 0
	eachChunk(edited, cuts(b, p, edited, 0), func(c []byte) {
		if !known[Data.Sum(c)] {
			stored += len(c)
		}
	})
	b.ReportMetric(float64(stored)/64/1024, "restoredKiB/edit")
	b.ReportMetric(100*recut(b, p, data, ends, 8<<20), "recut%/part")
}

// recut returns the share of a part of an upload that must be cut again when
// the part was cut on its own, before its predecessor had arrived: from the
// part's start to the first cut that the whole stream has too.
func recut(b *testing.B, p Params, data []byte, ends []int, part int) float64 {
	whole := map[int]bool{}
	for _, e := range ends {
		whole[e] = true
	}
	total, parts := 0, 0
	for start := part; start+part <= len(data); start += part {
		met := part
		own := cuts(b, p, data[start:start+part], start)
		for _, e := range own[:len(own)-1] { // the last is the part's end, not a cut
			if whole[e] {
				met = e - start
				break
			}
		}
		total += met
		parts++
	}
	return float64(total) / float64(parts) / float64(part)
}

// cuts returns the ends of the chunks of data, plus base.
func cuts(t testing.TB, p Params, data []byte, base int) []int {
	s, err := p.New(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	var ends []int
	buf := make([]byte, p.MaxSize)
	for end := base; ; {
		c, err := s.Next(buf)
		if errors.Is(err, io.EOF) {
			return ends
		}
		if err != nil {
			t.Fatal(err)
		}
		end += len(c)
		ends = append(ends, end)
	}
}

func eachChunk(data []byte, ends []int, fn func([]byte)) {
	start := 0
	for _, e := range ends {
		fn(data[start:e])
		start = e
	}
}

// insertions returns data with n insertions of 1 to 100 bytes at scattered
// places.
func insertions(data []byte, n int) []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	at := make([]int, n)
	for i := range at {
		at[i] = rng.IntN(len(data))
	}
	sort.Ints(at)
	out := make([]byte, 0, len(data)+100*n)
	last := 0
	for _, a := range at {
		out = append(out, data[last:a]...)
		for range 1 + rng.IntN(100) {
			out = append(out, byte(rng.Uint32()))
		}
		last = a
	}
	return append(out, data[last:]...)
}

func randomBytes(n int) []byte { return randomSeed(n, "dvx test data") }

func randomSeed(n int, seed string) []byte {
	var key [32]byte
	copy(key[:], seed)
	b := make([]byte, n)
	_, _ = rand.NewChaCha8(key).Read(b) // never fails
	return b
}

// textBytes returns lines of JSON over a vocabulary with few frequent words.
func textBytes(n int) []byte {
	rng := rand.New(rand.NewPCG(3, 4))
	zipf := rand.NewZipf(rng, 1.2, 4, 20000)
	out := make([]byte, 0, n+1024)
	for line := 0; len(out) < n; line++ {
		out = fmt.Appendf(out, `{"id":%d,"text":"`, line)
		for range 5 + rng.IntN(20) {
			out = fmt.Appendf(out, "w%x ", zipf.Uint64()*2654435761%1048576)
		}
		out = append(out, "\"}\n"...)
	}
	return out[:n]
}
