package journal

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var rewrite = flag.Bool("rewrite", false, "rewrite the golden files")

// field is a run of bytes with its meaning.
type field struct {
	name  string
	bytes int
}

// annotate prints b as hex, one line for each field.
func annotate(title string, b []byte, fields ...field) string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s\n", title)
	for _, f := range fields {
		fmt.Fprintf(&s, "  %-10s %s\n", f.name, hex.EncodeToString(b[:f.bytes]))
		b = b[f.bytes:]
	}
	if len(b) != 0 {
		fmt.Fprintf(&s, "  and %d bytes more\n", len(b))
	}
	return s.String()
}

func TestGolden(t *testing.T) {
	record := func(r Record) string {
		return annotate(fmt.Sprintf("key of record %d", r.Seq), encodeKey(r.Seq), field{"kind", 1}, field{"number", 8}) +
			annotate(fmt.Sprintf("record %d, %d bytes", r.Seq, len(r.Data)), encodeRecord(r),
				field{"magic", 8}, field{"number", 8}, field{"length", 4}, field{"zero", 4}, field{"data", len(r.Data)}, field{"sum", 32})
	}
	mark := func(m marks) string {
		return annotate(fmt.Sprintf("marks %d to %d", m.trimmed, m.high), encodeMarks(m),
			field{"magic", 8}, field{"generation", 8}, field{"high", 8}, field{"trimmed", 8}, field{"sum", 32})
	}
	got := record(Record{Seq: 1}) + record(Record{Seq: 0x0102030405060708, Data: []byte("finished")}) +
		mark(marks{gen: 1}) + mark(marks{gen: 300, high: 77, trimmed: 70})
	const name = "testdata/format.golden"
	if *rewrite {
		if err := os.WriteFile(name, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the format changed; got\n%s", got)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := Record{Seq(rapid.Uint64Min(1).Draw(t, "seq")), rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "data")}
		b := encodeRecord(r)
		got, err := decodeRecord(b)
		if err != nil || got.Seq != r.Seq || !bytes.Equal(got.Data, r.Data) {
			t.Fatalf("decoded %v, %v; want %v", got, err, r)
		}
		at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
		b[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "by"))
		if got, err := decodeRecord(b); err == nil {
			t.Fatalf("flipped byte %d, and decoded %v", at, got)
		}
	})
}

func TestRecordLimits(t *testing.T) {
	most := encodeRecord(Record{1, make([]byte, RecordBytesMax)})
	if _, err := decodeRecord(most); err != nil || len(most) >= 64<<10 {
		t.Errorf("the largest record has %d bytes: %v", len(most), err)
	}
	for name, b := range map[string][]byte{
		"nothing":   nil,
		"number 0":  encodeRecord(Record{}),
		"too large": encodeRecord(Record{1, make([]byte, RecordBytesMax+1)}),
		"cut":       most[:len(most)-1],
		"more":      append(slices.Clone(most), 0),
	} {
		if _, err := decodeRecord(b); err == nil {
			t.Errorf("%s: decoded", name)
		}
	}
}

func TestMarksRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"nothing":       nil,
		"zeros":         make([]byte, marksBytes),
		"generation 0":  encodeMarks(marks{high: 1}),
		"trimmed above": encodeMarks(marks{gen: 1, high: 1, trimmed: 2}),
		"longer":        append(encodeMarks(marks{gen: 1}), 0),
	} {
		if m, err := decodeMarks(b); err == nil {
			t.Errorf("%s: decoded %+v", name, m)
		}
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(encodeRecord(Record{1, nil}))
	f.Add(encodeRecord(Record{77, []byte("finished")}))
	f.Add([]byte(recordMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeRecord(b); err == nil && !bytes.Equal(encodeRecord(r), b) {
			t.Errorf("%x decodes and encodes to other bytes", b)
		}
	})
}

func FuzzMarks(f *testing.F) {
	f.Add(encodeMarks(marks{gen: 1}))
	f.Add(encodeMarks(marks{gen: 9, high: 8, trimmed: 7}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMarks(b); err == nil && !bytes.Equal(encodeMarks(m), b) {
			t.Errorf("%x decodes and encodes to other bytes", b)
		}
	})
}

// FuzzLogEntry walks a log as inspectLog does: it ends, within bounds.
func FuzzLogEntry(f *testing.F) {
	f.Add([]byte{0, 0, 1, 1, 0, 'k', 'v', 0, 0, 0, 0})
	f.Add([]byte{0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0xff, 0xff, 0xff, 0xff, 0x0f, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 2 {
			n, verdict := logEntry(b)
			if verdict != entryWhole {
				return
			}
			if n < 9 || n > len(b) {
				t.Fatalf("an entry of %d bytes in %d", n, len(b))
			}
			b = b[n:]
		}
	})
}
