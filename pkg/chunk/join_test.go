package chunk

import (
	"bytes"
	"context"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

// countedGets counts the bytes of data that are read.
type countedGets struct {
	Reader
	bytes int
}

func (c *countedGets) Get(ctx context.Context, kind Kind, id ID) ([]byte, error) {
	b, err := c.Reader.Get(ctx, kind, id)
	if kind == Data {
		c.bytes += len(b)
	}
	return b, err
}

// TestJoinedIsWritten joins parts of any size, and compares with what is
// written whole.
func TestJoinedIsWritten(t *testing.T) {
	p := DefaultParams()
	p.MinSize, p.Bits, p.MaxSize = 512, 9, 8<<10
	ctx := context.Background()
	rapid.Check(t, func(rt *rapid.T) {
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 0))
		s := new(Mem)
		var whole []byte
		var parts []Content
		for range rapid.IntRange(0, 6).Draw(rt, "parts") {
			b := make([]byte, rapid.SampledFrom([]int{0, 1, 100, 511, 512, 513, 3000, 8192, 40_000, 200_000}).Draw(rt, "size"))
			if rapid.Bool().Draw(rt, "random") { // else zeros, which are cut at the limit only
				for i := range b {
					b[i] = byte(rng.Uint32())
				}
			}
			c, err := WriteContent(ctx, s, p, bytes.NewReader(b))
			if err != nil {
				rt.Fatal(err)
			}
			whole, parts = append(whole, b...), append(parts, c)
		}
		want, err := WriteContent(ctx, s, p, bytes.NewReader(whole))
		if err != nil {
			rt.Fatal(err)
		}
		got, err := JoinContents(ctx, s, s, p, parts)
		if err != nil || got != want {
			rt.Fatalf("joined %+v, %v, written %+v", got, err, want)
		}
	})
}

func TestJoinReadsOnlySeams(t *testing.T) {
	p := DefaultParams()
	p.MinSize, p.Bits, p.MaxSize = 512, 9, 8<<10
	ctx, s := context.Background(), new(Mem)
	rng := rand.New(rand.NewPCG(1, 1))
	var parts []Content
	for range 4 {
		b := make([]byte, 8<<20)
		for i := range b {
			b[i] = byte(rng.Uint32())
		}
		c, err := WriteContent(ctx, s, p, bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, c)
	}
	r := &countedGets{Reader: s}
	if _, err := JoinContents(ctx, r, s, p, parts); err != nil {
		t.Fatal(err)
	}
	if r.bytes > 3*(2<<20) { // a read-ahead of the splitter at each seam
		t.Errorf("%d bytes read to join %d MiB", r.bytes, 4*8)
	}
}
