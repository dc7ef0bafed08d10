package memo

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

func encoded(t testing.TB, r Record) []byte {
	t.Helper()
	b, err := EncodeRecord(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestRecordGolden(t *testing.T) {
	for file, r := range map[string]Record{"testdata/record_full.hex": record(1, "host/alice"), "testdata/record_small.hex": {Key: Key{1}}} {
		b := encoded(t, r)
		golden(t, file, []byte(hex.Dump(b)))
		got, err := DecodeRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

func drawRecord(t *rapid.T) Record {
	id := rapid.Custom(func(t *rapid.T) chunk.ID {
		return chunk.ID{rapid.Byte().Draw(t, "id"), 31: rapid.Byte().Draw(t, "last")}
	})
	n := rapid.Int64Range(0, 1<<62)
	at := rapid.Custom(func(t *rapid.T) time.Time {
		return time.Unix(0, rapid.Int64Range(1, 1<<62).Draw(t, "nanos")).UTC()
	})
	r := Record{
		Key:    Key(id.Filter(func(id chunk.ID) bool { return !id.IsZero() }).Draw(t, "key")),
		Output: tree.Root{ID: tree.ID(id.Draw(t, "storage")), Content: tree.ContentID(id.Draw(t, "content")), Files: n.Draw(t, "files"), Bytes: n.Draw(t, "bytes")},
		Log:    chunk.Content{ID: id.Draw(t, "log"), Size: n.Draw(t, "size"), Depth: uint8(rapid.IntRange(0, chunk.DepthMax).Draw(t, "depth"))},
		Exit:   rapid.IntRange(-1, 255).Draw(t, "exit"), Started: at.Draw(t, "started"), Ended: at.Draw(t, "ended"),
		Scope: rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "scope"), By: rapid.StringN(0, 5, 20).Draw(t, "by"),
	}
	if rapid.Bool().Draw(t, "parts") {
		r.Parts = fullWork().Parts()
	}
	return r
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := drawRecord(t)
		b, err := EncodeRecord(r)
		if err != nil {
			t.Fatal(err)
		}
		got, err := DecodeRecord(b)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, got); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
	})
}

func TestEncodeRecordRefuses(t *testing.T) {
	for name, change := range map[string]func(*Record){
		"no key":       func(r *Record) { r.Key = Key{} },
		"files":        func(r *Record) { r.Output.Files = -1 },
		"log size":     func(r *Record) { r.Log.Size = -1 },
		"log depth":    func(r *Record) { r.Log.Depth = chunk.DepthMax + 1 },
		"scope":        func(r *Record) { r.Scope = strings.Repeat("x", recordTextMax+1) },
		"not text":     func(r *Record) { r.By = "\xff" },
		"digest":       func(r *Record) { r.Parts[0].Digest = "xyz" },
		"digest case":  func(r *Record) { r.Parts[0].Digest = "ABCDEF0123456789" },
		"digest short": func(r *Record) { r.Parts[0].Digest = "00" },
		"parts":        func(r *Record) { r.Parts = make([]Part, RecordPartsMax+1) },
		"long name":    func(r *Record) { r.Parts[0].Name = strings.Repeat("x", recordTextMax+1) },
		"early":        func(r *Record) { r.Started = time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC) },
		"late":         func(r *Record) { r.Ended = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) },
		"epoch":        func(r *Record) { r.Ended = time.Unix(0, 0) },
		"size": func(r *Record) {
			for i := range 1000 {
				r.Parts = append(r.Parts, Part{Name: strings.Repeat("x", 1000) + string(rune('a'+i%26)), Digest: "0123456789abcdef"})
			}
		},
	} {
		r := record(1, "")
		change(&r)
		if _, err := EncodeRecord(r); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: error %v, want fs.ErrInvalid", name, err)
		}
	}
}

func TestDecodeRecordRefuses(t *testing.T) {
	b := encoded(t, record(1, "s"))
	if b[0] != 0x8a || b[1] != 1 {
		t.Fatalf("a record begins with % x", b[:2])
	}
	longer := append([]byte{0x8a, 0x18, 1}, b[2:]...) // the version in two bytes
	version := bytes.Clone(b)
	version[1] = 2
	for name, data := range map[string][]byte{
		"empty": {}, "cut": b[:len(b)-1], "more": append(bytes.Clone(b), 0), "long number": longer, "version": version,
		"indefinite": {0x9f, 0xff}, "too long": make([]byte, RecordSizeMax+1), "tag": append([]byte{0xc1}, b...), "deep": bytes.Repeat([]byte{0x81}, 100),
		"huge list": {0x9b, 0, 0, 0, 1, 0, 0, 0, 0},
	} {
		if _, err := DecodeRecord(data); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%s: error %v, want chunk.ErrCorrupt", name, err)
		}
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(encoded(f, record(1, "s")))
	f.Add(encoded(f, Record{Key: Key{1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := DecodeRecord(b)
		if err != nil {
			if !errors.Is(err, chunk.ErrCorrupt) {
				t.Fatalf("error %v is of no kind", err)
			}
			return
		}
		if !bytes.Equal(encoded(t, r), b) {
			t.Fatalf("% x is another spelling of % x", b, encoded(t, r))
		}
	})
}
