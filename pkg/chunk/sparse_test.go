package chunk

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// holey reads data and knows of its zeros, as far as they come in runs of at
// least grain.
type holey struct {
	data    []byte
	at      int
	grain   int
	skipped int64
}

func (h *holey) Read(p []byte) (int, error) {
	if h.at == len(h.data) {
		return 0, io.EOF
	}
	n := copy(p, h.data[h.at:])
	h.at += n
	return n, nil
}

func (h *holey) Hole() int64 {
	n := 0
	for h.at+n < len(h.data) && h.data[h.at+n] == 0 {
		n++
	}
	if n < h.grain {
		return 0
	}
	return int64(n)
}

func (h *holey) Skip(n int64) error {
	h.at += int(n)
	h.skipped += n
	return nil
}

// TestHolesChangeNothing: whatever lies between and around holes, passing over
// them gives the content that reading them gives.
func TestHolesChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var data []byte
		for range rapid.IntRange(1, 5).Draw(t, "parts") {
			size := rapid.IntRange(0, 200_000).Draw(t, "bytes")
			part := make([]byte, size)
			if rapid.Bool().Draw(t, "random") {
				part = randomBytes(size)
			}
			data = append(data, part...)
		}
		sameWithHoles(t, &holey{data: data, grain: rapid.IntRange(1, 100_000).Draw(t, "grain")})
	})
}

// TestHolesAreSkipped: one between two runs of bytes, and all of a content, are
// not read.
func TestHolesAreSkipped(t *testing.T) {
	hole := make([]byte, 1<<20)
	for name, data := range map[string][]byte{
		"between": slices.Concat(randomBytes(10_000), hole, randomBytes(10_000)),
		"all":     hole,
	} {
		t.Run(name, func(t *testing.T) {
			h := &holey{data: data, grain: 1}
			sameWithHoles(t, h)
			if h.skipped < int64(len(hole))/2 {
				t.Errorf("%d bytes of a hole of %d were passed over", h.skipped, len(hole))
			}
		})
	}
}

// sameWithHoles fails unless what h gives with its holes is the content of its bytes.
func sameWithHoles(t rapid.TB, h *holey) {
	t.Helper()
	var m Mem
	want, err := WriteContent(context.Background(), &m, listParams(), bytes.NewReader(h.data))
	if err != nil {
		t.Fatal(err)
	}
	got, err := WriteContent(context.Background(), &m, listParams(), h)
	if err != nil || got != want {
		t.Fatalf("%+v, %v; want %+v", got, err, want)
	}
}

// endless is a hole of size bytes and nothing else.
type endless struct{ left int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), e.left))
	clear(p[:n])
	e.left -= int64(n)
	return n, nil
}

func (e *endless) Hole() int64 { return e.left }

func (e *endless) Skip(n int64) error {
	if e.left -= n; e.left < 0 {
		return fmt.Errorf("skipped %d bytes too many", -e.left)
	}
	return nil
}

// TestTebibyteOfNothing is stored in a few chunks.
func TestTebibyteOfNothing(t *testing.T) {
	var m Mem
	c, err := WriteContent(t.Context(), &m, DefaultParams(), &endless{left: 1 << 40})
	if err != nil || c.Size != 1<<40 {
		t.Fatalf("%+v, %v", c, err)
	}
	if _, writes := m.Counts(); writes > 10_000 {
		t.Errorf("%d chunks were written", writes)
	}
}
