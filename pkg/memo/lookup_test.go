package memo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// segmentsOf is a source of segments in memory.
type segmentsOf map[string][]byte

func (s segmentsOf) Open(_ context.Context, name string) (io.ReaderAt, int64, error) {
	return bytes.NewReader(s[name]), int64(len(s[name])), nil
}

// keyOf makes keys that are near each other.
func keyOf(n int) Key { return Key{1, byte(n >> 8), byte(n)} }

// TestLookupAll: many keys at once find what each finds by itself, whatever
// lies in segments, waits to be published, or belongs to others.
func TestLookupAll(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ctx, source := context.Background(), segmentsOf{}
		c := NewCache(source)
		var names []string
		for range rapid.IntRange(0, 3).Draw(t, "segments") {
			for _, n := range rapid.SliceOfN(rapid.IntRange(0, 400), 0, 80).Draw(t, "records") {
				scope := rapid.SampledFrom([]string{"", "mine", "theirs"}).Draw(t, "scope")
				r := record(byte(n), scope)
				r.Key = keyOf(n)
				if _, err := c.Add(ctx, r); err != nil && !errors.Is(err, ErrMismatch) {
					t.Fatal(err)
				}
			}
			if rapid.Bool().Draw(t, "publish") {
				b, err := c.EncodePending()
				if err != nil {
					t.Fatal(err)
				}
				if b != nil {
					names = append(names, string(rune('a'+len(names))))
					source[names[len(names)-1]] = b
				}
				if err := c.Sync(ctx, names); err != nil {
					t.Fatal(err)
				}
			}
		}
		var keys []Key
		for _, n := range rapid.SliceOfN(rapid.IntRange(0, 400), 0, 200).Draw(t, "wanted") {
			keys = append(keys, keyOf(n))
		}
		found, err := c.LookupAll(ctx, keys, "mine")
		if err != nil {
			t.Fatal(err)
		}
		for i, key := range keys {
			want, ok, err := c.Lookup(ctx, key, "mine")
			if err != nil {
				t.Fatal(err)
			}
			if want.Parts = nil; !ok {
				want = Record{}
			}
			if diff := cmp.Diff(want, found[i]); diff != "" {
				t.Fatalf("key %v (-alone +together):\n%s", key.Short(), diff)
			}
		}
	})
}

// TestLookupAllDamaged: damage is an error, never another answer.
func TestLookupAllDamaged(t *testing.T) {
	ctx := context.Background()
	var records []Record
	var keys []Key
	for n := range 50 {
		r := record(byte(n), "mine")
		r.Key = keyOf(n)
		records, keys = append(records, r), append(keys, r.Key)
	}
	whole, err := EncodeSegment(records)
	if err != nil {
		t.Fatal(err)
	}
	for at := segmentHead; at < len(whole)-segmentFoot; at += 7 {
		b := bytes.Clone(whole)
		b[at] ^= 1 << (at % 8)
		c := NewCache(segmentsOf{"a": b})
		if err := c.Sync(ctx, []string{"a"}); err != nil {
			continue
		}
		found, err := c.LookupAll(ctx, keys, "mine")
		if err != nil {
			if !errors.Is(err, chunk.ErrCorrupt) {
				t.Fatalf("byte %d: error %v is of no kind", at, err)
			}
			continue
		}
		for i := range found {
			want := records[i]
			want.Parts = nil
			if (found[i].Key != Key{}) && !cmp.Equal(found[i], want) {
				t.Fatalf("byte %d: another record is found", at)
			}
		}
	}
}
