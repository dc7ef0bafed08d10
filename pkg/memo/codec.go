package memo

import (
	"encoding/hex"
	"fmt"
	"io/fs"
	"time"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Limits of a record; encoder and decoder hold them.
const (
	RecordSizeMax  = 256 << 10 // bytes of one encoded record
	RecordPartsMax = 4096      // parts of one record
	recordTextMax  = 1024      // bytes of a scope, a principal, a part's name
)

// recordVersion is the version of the layout of a record.
const recordVersion = 1

// partDigestSize is the length of a part's digest in bytes.
const partDigestSize = 8

// encMode writes core deterministic CBOR (RFC 8949, section 4.2.1).
var encMode = must(cbor.CoreDetEncOptions().EncMode())

func must[T any](v T, err error) T {
	if err != nil {
		panic(fmt.Sprintf("dvx: bug: memo: cbor options: %v", err))
	}
	return v
}

// encode returns v in core deterministic CBOR. It is called with values of
// this package only, all of which can be encoded.
func encode(v any) []byte {
	b, err := encMode.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("dvx: bug: memo: encode %T: %v", v, err))
	}
	return b
}

// recordFields is the length of the array that a record is.
const recordFields = 10

// EncodeRecord returns the canonical bytes of r, described in FORMAT.md. It
// fails with fs.ErrInvalid if r breaks a rule of the format. A job has hundreds
// of thousands of records, so they are written and read by hand.
func EncodeRecord(r Record) ([]byte, error) {
	fail := func(err error) ([]byte, error) {
		return nil, fmt.Errorf("encode memo record %v: %w: %w", r.Key.Short(), err, fs.ErrInvalid)
	}
	if err := r.check(); err != nil {
		return fail(err)
	}
	started, err := nanos(r.Started)
	if err != nil {
		return fail(fmt.Errorf("started: %w", err))
	}
	ended, err := nanos(r.Ended)
	if err != nil {
		return fail(fmt.Errorf("ended: %w", err))
	}
	b := appendHead(make([]byte, 0, 512), cborArray, recordFields)
	b = appendHead(b, cborUint, recordVersion)
	b = appendBytes(b, r.Key[:])
	b = appendHead(b, cborArray, 4)
	b = appendBytes(appendBytes(b, r.Output.ID[:]), r.Output.Content[:])
	b = appendInt(appendInt(b, r.Output.Files), r.Output.Bytes)
	b = appendHead(b, cborArray, 3)
	b = appendInt(appendInt(appendBytes(b, r.Log.ID[:]), r.Log.Size), int64(r.Log.Depth))
	b = appendInt(appendInt(appendInt(b, int64(r.Exit)), started), ended)
	b = appendText(appendText(b, r.Scope), r.By)
	b = appendHead(b, cborArray, uint64(len(r.Parts)))
	for _, p := range r.Parts {
		d, err := hex.DecodeString(p.Digest)
		if err != nil || len(d) != partDigestSize || hex.EncodeToString(d) != p.Digest {
			return fail(fmt.Errorf("part %.80q: digest %.80q is not %d bytes of lower-case hex", p.Name, p.Digest, partDigestSize))
		}
		b = appendBytes(appendText(appendHead(b, cborArray, 2), p.Name), d)
	}
	if len(b) > RecordSizeMax {
		return nil, fmt.Errorf("encode memo record %v: %d bytes exceed the limit of %d: %w", r.Key.Short(), len(b), RecordSizeMax, fs.ErrInvalid)
	}
	return b, nil
}

// check holds the rules that the types do not.
func (r *Record) check() error {
	switch {
	case r.Key == Key{}:
		return fmt.Errorf("no key")
	case r.Output.Files < 0 || r.Output.Bytes < 0:
		return fmt.Errorf("output totals of %d files, %d bytes", r.Output.Files, r.Output.Bytes)
	case r.Log.Size < 0 || r.Log.Depth > chunk.DepthMax:
		return fmt.Errorf("log of %d bytes, depth %d", r.Log.Size, r.Log.Depth)
	case len(r.Scope) > recordTextMax || len(r.By) > recordTextMax:
		return fmt.Errorf("scope or principal exceeds the limit of %d bytes", recordTextMax)
	case !utf8.ValidString(r.Scope) || !utf8.ValidString(r.By):
		return fmt.Errorf("scope %q or principal %q is not UTF-8", r.Scope, r.By)
	case len(r.Parts) > RecordPartsMax:
		return fmt.Errorf("%d parts exceed the limit of %d", len(r.Parts), RecordPartsMax)
	}
	for _, p := range r.Parts {
		if len(p.Name) > recordTextMax || !utf8.ValidString(p.Name) {
			return fmt.Errorf("part %.80q: a name of %d bytes, or not UTF-8", p.Name, len(p.Name))
		}
	}
	return nil
}

// DecodeRecord reads what [EncodeRecord] writes. Anything else fails with
// chunk.ErrCorrupt: one record has one byte string.
func DecodeRecord(b []byte) (Record, error) {
	c := cursor{b: b}
	r := c.record()
	if c.err == nil {
		r.Parts = c.parts()
	}
	if c.err == nil && len(c.b) > 0 {
		c.fail("%d bytes behind its end", len(c.b))
	}
	if c.err == nil {
		c.err = r.check()
	}
	if c.err != nil {
		return Record{}, fmt.Errorf("decode memo record: %w: %w", c.err, chunk.ErrCorrupt)
	}
	return r, nil
}

// decodeHead reads a record but for its parts, from bytes that are known to be
// those that were written.
func decodeHead(b []byte) (Record, error) {
	c := cursor{b: b}
	r := c.record()
	if c.err != nil {
		return Record{}, fmt.Errorf("decode memo record: %w: %w", c.err, chunk.ErrCorrupt)
	}
	return r, nil
}

// record reads all fields but the parts.
func (c *cursor) record() (r Record) {
	if len(c.b) > RecordSizeMax {
		c.fail("%d bytes exceed the limit of %d", len(c.b), RecordSizeMax)
	}
	c.list(recordFields)
	if v := c.int(); c.err == nil && v != recordVersion {
		c.fail("version %d, want %d", v, recordVersion)
	}
	c.id(r.Key[:])
	c.list(4)
	c.id(r.Output.ID[:])
	c.id(r.Output.Content[:])
	r.Output.Files, r.Output.Bytes = c.int(), c.int()
	c.list(3)
	c.id(r.Log.ID[:])
	r.Log.Size = c.int()
	depth := c.int()
	if depth < 0 || depth > chunk.DepthMax {
		c.fail("log of depth %d", depth)
		return r
	}
	r.Log.Depth = uint8(depth)
	exit := c.int()
	if r.Exit = int(exit); int64(r.Exit) != exit {
		c.fail("exit status %d", exit)
	}
	r.Started, r.Ended = instant(c.int()), instant(c.int())
	r.Scope, r.By = string(c.bytes(cborText)), string(c.bytes(cborText))
	return r
}

func (c *cursor) parts() []Part {
	n := c.head(cborArray)
	if n > RecordPartsMax {
		c.fail("%d parts exceed the limit of %d", n, RecordPartsMax)
	}
	if c.err != nil || n == 0 {
		return nil
	}
	parts := make([]Part, 0, n)
	for range n {
		c.list(2)
		name, digest := c.bytes(cborText), c.bytes(cborBytes)
		if c.err == nil && len(digest) != partDigestSize {
			c.fail("part %.80q: digest of %d bytes, want %d", name, len(digest), partDigestSize)
		}
		if c.err != nil {
			return nil
		}
		parts = append(parts, Part{Name: string(name), Digest: hex.EncodeToString(digest)})
	}
	return parts
}

// nanos returns t as nanoseconds since 1970, the zero time as 0.
func nanos(t time.Time) (int64, error) {
	if t.IsZero() {
		return 0, nil
	}
	n := t.UnixNano()
	if n == 0 || !time.Unix(0, n).Equal(t) {
		return 0, fmt.Errorf("time %v can't be recorded", t)
	}
	return n, nil
}

func instant(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
