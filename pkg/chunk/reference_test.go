package chunk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func exampleReferences() map[string]Reference {
	return map[string]Reference{
		"reference-etag.cbor":    {Version: 1, Bucket: "sensor-data", Key: "2026/é & b.csv", ETag: "60b725f10c9c85c70d97880dfe8191b3", Size: 1 << 40},
		"reference-version.cbor": {Version: 1, Bucket: "b", Key: "k", ETag: "e-2", ID: "3sL4kqtJlcpXroDTDmJ", Size: 1},
	}
}

func TestReferenceGolden(t *testing.T) {
	for name, r := range exampleReferences() {
		raw, err := EncodeReference(r)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, raw)
		if got, err := DecodeReference(raw); err != nil || got != r {
			t.Errorf("%s: decoded %+v, %v", name, got, err)
		}
		if refs, err := ListRefs(raw); err != nil || len(refs) != 0 {
			t.Errorf("%s points to %v, %v", name, refs, err)
		}
	}
}

func TestReferenceLimits(t *testing.T) {
	good := exampleReferences()["reference-etag.cbor"]
	for name, change := range map[string]func(*Reference){
		"no bucket":      func(r *Reference) { r.Bucket = "" },
		"no key":         func(r *Reference) { r.Key = "" },
		"long key":       func(r *Reference) { r.Key = strings.Repeat("k", 1025) },
		"key not UTF-8":  func(r *Reference) { r.Key = "\xff" },
		"no etag":        func(r *Reference) { r.ETag = "" },
		"long version":   func(r *Reference) { r.ID = strings.Repeat("v", 1025) },
		"without a byte": func(r *Reference) { r.Size = 0 },
	} {
		r := good
		change(&r)
		if _, err := EncodeReference(r); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// elsewhere is an object that is read outside.
type elsewhere struct {
	content []byte
	err     error
}

func (e *elsewhere) ReadOutside(_ context.Context, _ Reference, offset, size int64) ([]byte, error) {
	if e.err != nil {
		return nil, e.err
	}
	return e.content[offset : offset+size], nil
}

func TestReferenceIsReadOutside(t *testing.T) {
	s := &Mem{}
	content := bytes.Repeat([]byte("somewhere else "), 500_000)
	r := exampleReferences()["reference-etag.cbor"]
	r.Size = int64(len(content))
	c, err := PutReference(t.Context(), s, r)
	if err != nil || CheckContent(c) != nil {
		t.Fatal(err, CheckContent(c))
	}
	out := &elsewhere{content: content}
	ctx := WithOutside(t.Context(), out)
	in, err := OpenContent(ctx, s, c)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(in); err != nil || !bytes.Equal(b, content) {
		t.Errorf("read %d bytes, %v", len(b), err)
	}
	part := make([]byte, 100)
	if _, err := in.ReadAt(part, 3<<20); err != nil || !bytes.Equal(part, content[3<<20:][:100]) {
		t.Errorf("a part: %v", err)
	}
	if err := in.Close(); err != nil {
		t.Error(err)
	}
	file, err := os.Create(filepath.Join(t.TempDir(), "copy"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if err := CopyContent(ctx, s, file, c); err != nil {
		t.Error(err)
	}
	if b, err := os.ReadFile(file.Name()); err != nil || !bytes.Equal(b, content) {
		t.Errorf("copied %d bytes, %v", len(b), err)
	}
	var seen []Ref
	if err := VisitContent(ctx, s, c, func(kind Kind, id ID, _ int64) error {
		seen = append(seen, Ref{kind, id})
		return nil
	}); err != nil || len(seen) != 1 || seen[0] != (Ref{List, c.ID}) {
		t.Errorf("visited %v, %v", seen, err)
	}

	out.err = fmt.Errorf("it is gone: %w", ErrReference)
	for name, want := range map[string]struct {
		ctx  context.Context
		kind error
	}{"changed": {ctx, ErrReference}, "nobody reads outside": {t.Context(), fs.ErrPermission}} {
		in, err := OpenContent(want.ctx, s, c)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(in); !errors.Is(err, want.kind) || len(b) > 0 {
			t.Errorf("%s: %d bytes, %v", name, len(b), err)
		}
	}
}

func FuzzDecodeReference(f *testing.F) {
	for name := range exampleReferences() {
		raw, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := DecodeReference(raw)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("kind of error: %v", err)
			}
			return
		}
		if again, err := EncodeReference(r); err != nil || !bytes.Equal(again, raw) {
			t.Fatalf("encodes to %x, %v", again, err)
		}
		if _, err := decodeList(raw); err == nil {
			t.Fatal("it is a list node too")
		}
	})
}
