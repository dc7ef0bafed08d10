package commit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// SizeMax is the largest encoded commit in bytes.
const SizeMax = 1 << 20

// timeLayout is the one spelling of a time: UTC with whole milliseconds.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Stamp returns t as commits hold times: UTC, cut to whole milliseconds.
func Stamp(t time.Time) time.Time {
	return time.UnixMilli(t.UnixMilli()).UTC()
}

// FormatTime spells t as formats do: 2026-11-20T09:00:00.000Z. It fails with
// fs.ErrInvalid for a time that [Stamp] would change, the zero time, and years
// beyond 9999.
func FormatTime(t time.Time) (string, error) {
	if t.IsZero() || !t.Equal(Stamp(t)) || t.Location() != time.UTC || t.Year() < 1 || t.Year() > 9999 {
		return "", fmt.Errorf("time %v: want UTC, whole milliseconds, a year of 1 to 9999: %w", t, fs.ErrInvalid)
	}
	return t.Format(timeLayout), nil
}

// ParseTime reads what [FormatTime] writes; anything else fails with
// fs.ErrInvalid.
func ParseTime(s string) (time.Time, error) {
	t, err := time.Parse(timeLayout, s)
	if err != nil || t.Format(timeLayout) != s || t.IsZero() {
		return time.Time{}, fmt.Errorf("time %.40q: want the form %s: %w", s, timeLayout, fs.ErrInvalid)
	}
	return t, nil
}

// wire is a commit in JSON: the fields of Commit in their order.
type wire struct {
	Tree      tree.Root         `json:"tree"`
	Parents   []ID              `json:"parents,omitempty"`
	Author    string            `json:"author"`
	Committer string            `json:"committer,omitempty"`
	Time      string            `json:"time"`
	Message   string            `json:"message,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Op        string            `json:"op"`
	Run       string            `json:"run,omitempty"`
	Origins   []Ref             `json:"origins,omitempty"`
	Prov      *Provenance       `json:"provenance,omitempty"`
	Changes   *Changes          `json:"changes,omitempty"`
}

// Encode returns the canonical bytes of c, described in FORMAT.md. It fails
// with fs.ErrInvalid if c breaks a rule of the format.
func Encode(c Commit) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("encode commit: %w", err)
	}
	stamp, err := FormatTime(c.Time)
	if err != nil {
		return nil, fmt.Errorf("encode commit: %w", err)
	}
	w := wire{
		Tree: c.Tree, Parents: c.Parents, Author: c.Author, Committer: c.Committer, Time: stamp,
		Message: c.Message, Labels: c.Labels, Op: c.Op, Run: c.Run, Origins: c.Origins, Prov: c.Prov, Changes: c.Changes,
	}
	if c.Prov != nil && c.Prov.Inputs == nil {
		p := *c.Prov
		p.Inputs = []Input{}
		w.Prov = &p
	}
	b, err := CanonicalJSON(w)
	if err != nil {
		return nil, fmt.Errorf("encode commit: %w", err)
	}
	if len(b) > SizeMax {
		return nil, fmt.Errorf("encode commit: %d bytes exceed the limit of %d: shorten its message, labels or parameters: %w",
			len(b), SizeMax, fs.ErrInvalid)
	}
	return b, nil
}

// Decode reads what [Encode] writes. Anything else fails with
// chunk.ErrCorrupt: one commit has one byte string.
func Decode(b []byte) (Commit, error) {
	if len(b) > SizeMax {
		return Commit{}, fmt.Errorf("decode commit: %d bytes exceed the limit of %d: %w", len(b), SizeMax, chunk.ErrCorrupt)
	}
	var w wire
	if err := StrictJSON(b, &w); err != nil {
		return Commit{}, fmt.Errorf("decode commit: %w: %w", err, chunk.ErrCorrupt)
	}
	t, err := ParseTime(w.Time)
	if err != nil {
		return Commit{}, fmt.Errorf("decode commit: %w: %w", err, chunk.ErrCorrupt)
	}
	c := Commit{
		Tree: w.Tree, Parents: w.Parents, Author: w.Author, Committer: w.Committer, Time: t,
		Message: w.Message, Labels: w.Labels, Op: w.Op, Run: w.Run, Origins: w.Origins, Prov: w.Prov, Changes: w.Changes,
	}
	again, err := Encode(c)
	if err != nil {
		return Commit{}, fmt.Errorf("decode commit: %w: %w", err, chunk.ErrCorrupt)
	}
	if !bytes.Equal(again, b) {
		return Commit{}, fmt.Errorf("decode commit: not in canonical form: %w", chunk.ErrCorrupt)
	}
	return c, nil
}

// CanonicalJSON returns v as JSON in the one form that dvx stores: fields in
// the order of the struct, map keys sorted by bytes, no white space, and only
// those characters escaped that JSON requires (besides U+2028 and U+2029).
func CanonicalJSON(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), nil
}

// StrictJSON reads b into v and refuses unknown fields. The caller makes sure
// of the canonical form by encoding v again and comparing.
func StrictJSON(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	return dec.Decode(v)
}

// Load reads the commit id. The error wraps chunk.ErrNotFound if it is not
// there and chunk.ErrCorrupt if it is damaged.
func Load(ctx context.Context, r chunk.Reader, id ID) (Commit, error) {
	b, err := r.Get(ctx, chunk.Commit, chunk.ID(id))
	if err != nil {
		return Commit{}, fmt.Errorf("load commit %v: %w", id.Short(), err)
	}
	c, err := Decode(b)
	if err != nil {
		return Commit{}, fmt.Errorf("load commit %v: %w", id.Short(), err)
	}
	return c, nil
}

// Save stores c and returns its ID. It is durable after s.Flush.
func Save(ctx context.Context, s chunk.Store, c Commit) (ID, error) {
	b, err := Encode(c)
	if err != nil {
		return ID{}, err
	}
	id, err := s.Put(ctx, chunk.Commit, b)
	if err != nil {
		return ID{}, fmt.Errorf("save commit: %w", err)
	}
	return ID(id), nil
}

// Sum returns the ID that c has, without storing it.
func (c Commit) Sum() (ID, error) {
	b, err := Encode(c)
	if err != nil {
		return ID{}, err
	}
	return ID(chunk.Commit.Sum(b)), nil
}
