package memo

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io/fs"
	"time"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
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

// wire is a record as it is stored.
type wire struct {
	_       struct{} `cbor:",toarray"`
	Version int
	Key     []byte
	Output  wireRoot
	Log     wireContent
	Exit    int
	Started int64 // nanoseconds since 1970, 0: unknown
	Ended   int64
	Scope   string
	By      string
	Parts   []wirePart
}

type wireRoot struct {
	_            struct{} `cbor:",toarray"`
	ID, Content  []byte
	Files, Bytes int64
}

type wireContent struct {
	_     struct{} `cbor:",toarray"`
	ID    []byte
	Size  int64
	Depth uint8
}

type wirePart struct {
	_      struct{} `cbor:",toarray"`
	Name   string
	Digest []byte
}

// encMode writes core deterministic CBOR (RFC 8949, section 4.2.1).
var encMode = must(cbor.CoreDetEncOptions().EncMode())

// decMode reads records: definite lengths, no tags, nothing nested deeper than
// a record is.
var decMode = must(cbor.DecOptions{
	DupMapKey:        cbor.DupMapKeyEnforcedAPF,
	IndefLength:      cbor.IndefLengthForbidden,
	TagsMd:           cbor.TagsForbidden,
	UTF8:             cbor.UTF8RejectInvalid,
	MaxNestedLevels:  4,
	MaxArrayElements: RecordPartsMax,
	MaxMapPairs:      16,
}.DecMode())

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

// EncodeRecord returns the canonical bytes of r, described in FORMAT.md. It
// fails with fs.ErrInvalid if r breaks a rule of the format.
func EncodeRecord(r Record) ([]byte, error) {
	w, err := toWire(r)
	if err != nil {
		return nil, fmt.Errorf("encode memo record %v: %w: %w", r.Key.Short(), err, fs.ErrInvalid)
	}
	b := encode(w)
	if len(b) > RecordSizeMax {
		return nil, fmt.Errorf("encode memo record %v: %d bytes exceed the limit of %d: %w",
			r.Key.Short(), len(b), RecordSizeMax, fs.ErrInvalid)
	}
	return b, nil
}

// DecodeRecord reads what [EncodeRecord] writes. Anything else fails with
// chunk.ErrCorrupt: one record has one byte string.
func DecodeRecord(b []byte) (Record, error) {
	fail := func(err error) (Record, error) {
		return Record{}, fmt.Errorf("decode memo record: %w: %w", err, chunk.ErrCorrupt)
	}
	if len(b) > RecordSizeMax {
		return fail(fmt.Errorf("%d bytes exceed the limit of %d", len(b), RecordSizeMax))
	}
	var w wire
	if err := decMode.Unmarshal(b, &w); err != nil {
		return fail(err)
	}
	if w.Version != recordVersion {
		return fail(fmt.Errorf("version %d, want %d", w.Version, recordVersion))
	}
	r, err := fromWire(w)
	if err != nil {
		return fail(err)
	}
	again, err := EncodeRecord(r)
	if err != nil {
		return fail(err)
	}
	if !bytes.Equal(again, b) {
		return fail(fmt.Errorf("not in canonical form"))
	}
	return r, nil
}

func toWire(r Record) (wire, error) {
	w := wire{
		Version: recordVersion, Key: r.Key[:], Exit: r.Exit, Scope: r.Scope, By: r.By,
		Output: wireRoot{ID: r.Output.ID[:], Content: r.Output.Content[:], Files: r.Output.Files, Bytes: r.Output.Bytes},
		Log:    wireContent{ID: r.Log.ID[:], Size: r.Log.Size, Depth: r.Log.Depth},
		Parts:  make([]wirePart, len(r.Parts)),
	}
	var err error
	if w.Started, err = nanos(r.Started); err != nil {
		return w, fmt.Errorf("started: %w", err)
	}
	if w.Ended, err = nanos(r.Ended); err != nil {
		return w, fmt.Errorf("ended: %w", err)
	}
	for i, p := range r.Parts {
		d, err := hex.DecodeString(p.Digest)
		if err != nil || hex.EncodeToString(d) != p.Digest {
			return w, fmt.Errorf("part %.80q: digest %.80q is not lower-case hex", p.Name, p.Digest)
		}
		w.Parts[i] = wirePart{Name: p.Name, Digest: d}
	}
	return w, w.check()
}

// check holds the rules that the types do not.
func (w wire) check() error {
	switch {
	case Key(w.Key) == Key{}:
		return fmt.Errorf("no key")
	case w.Output.Files < 0 || w.Output.Bytes < 0:
		return fmt.Errorf("output totals of %d files, %d bytes", w.Output.Files, w.Output.Bytes)
	case w.Log.Size < 0 || w.Log.Depth > chunk.DepthMax:
		return fmt.Errorf("log of %d bytes, depth %d", w.Log.Size, w.Log.Depth)
	case len(w.Scope) > recordTextMax || len(w.By) > recordTextMax:
		return fmt.Errorf("scope or principal exceeds the limit of %d bytes", recordTextMax)
	case len(w.Parts) > RecordPartsMax:
		return fmt.Errorf("%d parts exceed the limit of %d", len(w.Parts), RecordPartsMax)
	}
	if !utf8.ValidString(w.Scope) || !utf8.ValidString(w.By) {
		return fmt.Errorf("scope %q or principal %q is not UTF-8", w.Scope, w.By)
	}
	for _, p := range w.Parts {
		if len(p.Digest) != partDigestSize || len(p.Name) > recordTextMax || !utf8.ValidString(p.Name) {
			return fmt.Errorf("part %.80q: digest of %d bytes, name of %d", p.Name, len(p.Digest), len(p.Name))
		}
	}
	return nil
}

func fromWire(w wire) (Record, error) {
	for _, id := range [][]byte{w.Key, w.Output.ID, w.Output.Content, w.Log.ID} {
		if len(id) != chunk.IDSize {
			return Record{}, fmt.Errorf("id of %d bytes, want %d", len(id), chunk.IDSize)
		}
	}
	r := Record{
		Key:     Key(w.Key),
		Output:  tree.Root{ID: tree.ID(w.Output.ID), Content: tree.ContentID(w.Output.Content), Files: w.Output.Files, Bytes: w.Output.Bytes},
		Log:     chunk.Content{ID: chunk.ID(w.Log.ID), Size: w.Log.Size, Depth: w.Log.Depth},
		Exit:    w.Exit,
		Started: instant(w.Started),
		Ended:   instant(w.Ended),
		Scope:   w.Scope,
		By:      w.By,
	}
	for _, p := range w.Parts {
		r.Parts = append(r.Parts, Part{Name: p.Name, Digest: hex.EncodeToString(p.Digest)})
	}
	return r, nil
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
