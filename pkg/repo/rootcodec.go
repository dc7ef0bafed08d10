package repo

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
)

// knownFeatures are the features of a store that this release understands.
var knownFeatures = []string{openCommits, retentionFeature}

// writeFeature is the prefix of a feature that only a writer must know.
const writeFeature = "write:"

// FeatureError says that a store has features which this release does not
// know. It wraps errors.ErrUnsupported.
type FeatureError struct {
	Features []string // those that are unknown
	Writing  bool     // the store can be read all the same
}

// Error implements error.
func (e *FeatureError) Error() string {
	verb := "open"
	if e.Writing {
		verb = "write to"
	}
	return fmt.Sprintf("this store has the features %s: use a newer dvx to %s it", strings.Join(e.Features, ", "), verb)
}

// Unwrap makes a FeatureError a kind of errors.ErrUnsupported.
func (e *FeatureError) Unwrap() error { return errors.ErrUnsupported }

// checkFeatures fails with a *FeatureError if features has one that must be
// known for reading, or for writing.
func checkFeatures(features []string, writing bool) error {
	var unknown []string
	for _, f := range features {
		if !slices.Contains(knownFeatures, f) && (writing || !strings.HasPrefix(f, writeFeature)) {
			unknown = append(unknown, f)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	return &FeatureError{Features: unknown, Writing: writing}
}

// EncodeRoot returns the canonical bytes of r, described in FORMAT.md. It
// fails with fs.ErrInvalid if r breaks a rule of the format.
func EncodeRoot(r *Root) ([]byte, error) {
	if err := r.check(); err != nil {
		return nil, fmt.Errorf("encode root: %w", err)
	}
	w := rootWire{Root: *r}
	if w.Repos == nil {
		w.Repos = map[string]Repo{}
	}
	b, err := commit.CanonicalJSON(w)
	if err != nil {
		return nil, fmt.Errorf("encode root: %w", err)
	}
	sum := rootSumHash.sum(b)
	b = append(bytes.TrimSuffix(b, []byte(`"}`)), sum.String()+`"}`...)
	if len(b) > RootSizeMax {
		return nil, invalid("encode root: %d bytes exceed the limit of %d: delete branches, tags or repos that are no longer needed",
			len(b), RootSizeMax)
	}
	return b, nil
}

// rootWire is a root in JSON: its fields, then the checksum of the bytes in
// which the checksum is empty.
type rootWire struct {
	Root
	Sum string `json:"sum"`
}

// DecodeRoot reads what [EncodeRoot] writes. A root with features that this
// release does not know fails with a *FeatureError, anything else that is not
// canonical with chunk.ErrCorrupt.
func DecodeRoot(b []byte) (*Root, error) {
	if len(b) > RootSizeMax {
		return nil, fmt.Errorf("decode root: %d bytes exceed the limit of %d: %w", len(b), RootSizeMax, chunk.ErrCorrupt)
	}
	if err := checkVersion(b); err != nil {
		return nil, fmt.Errorf("decode root: %w", err)
	}
	var w rootWire
	if err := commit.StrictJSON(b, &w); err != nil {
		return nil, fmt.Errorf("decode root: %w: %w", err, chunk.ErrCorrupt)
	}
	again, err := EncodeRoot(&w.Root)
	if err != nil {
		return nil, fmt.Errorf("decode root: %w: %w", err, chunk.ErrCorrupt)
	}
	if !bytes.Equal(again, b) {
		return nil, fmt.Errorf("decode root: wrong checksum or not in canonical form: %w", chunk.ErrCorrupt)
	}
	return &w.Root, nil
}

// checkVersion looks at format and features before anything else of an object
// that a later release may have written.
func checkVersion(b []byte) error {
	var v struct {
		Format   int      `json:"format"`
		Features []string `json:"features"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		return fmt.Errorf("%w: %w", err, chunk.ErrCorrupt)
	}
	if v.Format > Format {
		return &FeatureError{Features: []string{fmt.Sprintf("format %d", v.Format)}}
	}
	return checkFeatures(v.Features, false)
}

// repoFields is a Repo without its methods.
type repoFields Repo

// MarshalJSON spells Created as every format of dvx does.
func (r Repo) MarshalJSON() ([]byte, error) {
	created, err := commit.FormatTime(r.Created)
	if err != nil {
		return nil, err
	}
	return commit.CanonicalJSON(struct {
		Created string `json:"created"`
		repoFields
	}{created, repoFields(r)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Repo) UnmarshalJSON(b []byte) error {
	var w struct {
		Created string `json:"created"`
		repoFields
	}
	if err := commit.StrictJSON(b, &w); err != nil {
		return err
	}
	var created time.Time
	created, err := commit.ParseTime(w.Created)
	if err != nil {
		return err
	}
	*r = Repo(w.repoFields)
	r.Created = created
	return nil
}

// EncodeConfig returns the canonical bytes of c: dvx.json.
func EncodeConfig(c Config) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("encode %s: %w", configObject, err)
	}
	empty := ""
	w := configWire{Config: c, Sum: &empty}
	if c.Unsummed {
		w.Sum = nil
	}
	b, err := commit.CanonicalJSON(w)
	if err != nil || c.Unsummed {
		return b, err
	}
	sum := configSumHash.sum(b)
	return append(bytes.TrimSuffix(b, []byte(`"}`)), sum.String()+`"}`...), nil
}

// configWire is a configuration in JSON, with a checksum as a root has it.
type configWire struct {
	Config
	Sum *string `json:"sum,omitempty"`
}

// DecodeConfig reads what [EncodeConfig] writes; errors are as of
// [DecodeRoot].
func DecodeConfig(b []byte) (Config, error) {
	if len(b) > ConfigSizeMax {
		return Config{}, fmt.Errorf("decode %s: %d bytes exceed the limit of %d: %w", configObject, len(b), ConfigSizeMax, chunk.ErrCorrupt)
	}
	if err := checkVersion(b); err != nil {
		return Config{}, fmt.Errorf("decode %s: %w", configObject, err)
	}
	var w configWire
	if err := commit.StrictJSON(b, &w); err != nil {
		return Config{}, fmt.Errorf("decode %s: %w: %w", configObject, err, chunk.ErrCorrupt)
	}
	c := w.Config
	c.Unsummed = w.Sum == nil
	again, err := EncodeConfig(c)
	if err != nil {
		return Config{}, fmt.Errorf("decode %s: %w: %w", configObject, err, chunk.ErrCorrupt)
	}
	if !bytes.Equal(again, b) {
		return Config{}, fmt.Errorf("decode %s: wrong checksum or not in canonical form: %w", configObject, chunk.ErrCorrupt)
	}
	return c, nil
}
