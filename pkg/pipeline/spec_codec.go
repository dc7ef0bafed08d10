package pipeline

import (
	"bytes"
	"fmt"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
)

// EncodeSpec returns the canonical JSON of a spec with its defaults, described
// in FORMAT.md. It fails as [Spec.Validate] does.
func EncodeSpec(s Spec) ([]byte, error) {
	s = s.WithDefaults()
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("encode spec of pipeline %q: %w", s.Pipeline, err)
	}
	b, err := commit.CanonicalJSON(s)
	if err != nil {
		return nil, fmt.Errorf("encode spec of pipeline %q: %w", s.Pipeline, err)
	}
	if len(b) > SpecSizeMax {
		return nil, fmt.Errorf("encode spec of pipeline %q: %w", s.Pipeline,
			&SpecError{Reason: fmt.Sprintf("%d bytes exceed the limit of %d", len(b), SpecSizeMax)})
	}
	return b, nil
}

// DecodeSpec reads what [EncodeSpec] writes. Anything else fails with
// chunk.ErrCorrupt: one spec has one byte string.
func DecodeSpec(b []byte) (Spec, error) {
	fail := func(err error) (Spec, error) {
		return Spec{}, fmt.Errorf("decode spec: %w: %w", err, chunk.ErrCorrupt)
	}
	if len(b) > SpecSizeMax {
		return fail(fmt.Errorf("%d bytes exceed the limit of %d", len(b), SpecSizeMax))
	}
	var s Spec
	if err := commit.StrictJSON(b, &s); err != nil {
		return fail(err)
	}
	again, err := EncodeSpec(s)
	if err != nil {
		return fail(err)
	}
	if !bytes.Equal(again, b) {
		return fail(fmt.Errorf("not in canonical form"))
	}
	return s, nil
}
