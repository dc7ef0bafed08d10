package spec

import (
	"bytes"
	"fmt"
	"regexp"

	"go.yaml.in/yaml/v3"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
)

// Encode returns the canonical JSON of a spec with its defaults, described
// in FORMAT.md. It fails as [Spec.Validate] does.
func Encode(s Spec) ([]byte, error) {
	s = s.WithDefaults()
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("encode spec of pipeline %q: %w", s.Pipeline, err)
	}
	b, err := commit.CanonicalJSON(s)
	if err != nil {
		return nil, fmt.Errorf("encode spec of pipeline %q: %w", s.Pipeline, err)
	}
	if len(b) > SizeMax {
		return nil, fmt.Errorf("encode spec of pipeline %q: %w", s.Pipeline,
			&Error{Reason: fmt.Sprintf("%d bytes exceed the limit of %d", len(b), SizeMax)})
	}
	return b, nil
}

// Decode reads what [Encode] writes. Anything else fails with
// chunk.ErrCorrupt: one spec has one byte string.
func Decode(b []byte) (Spec, error) {
	fail := func(err error) (Spec, error) {
		return Spec{}, fmt.Errorf("decode spec: %w: %w", err, chunk.ErrCorrupt)
	}
	if len(b) > SizeMax {
		return fail(fmt.Errorf("%d bytes exceed the limit of %d", len(b), SizeMax))
	}
	var s Spec
	if err := commit.StrictJSON(b, &s); err != nil {
		return fail(err)
	}
	again, err := Encode(s)
	if err != nil {
		return fail(err)
	}
	if !bytes.Equal(again, b) {
		return fail(fmt.Errorf("not in canonical form"))
	}
	return s, nil
}

// Format returns a spec as YAML for people, its defaults filled in.
func Format(s Spec) ([]byte, error) {
	b, err := Encode(s)
	if err != nil {
		return nil, err
	}
	var n yaml.Node
	if err := yaml.Unmarshal(b, &n); err != nil {
		return nil, fmt.Errorf("format spec of pipeline %q: %w", s.Pipeline, err)
	}
	blockStyle(&n)
	out, err := yaml.Marshal(&n)
	if err != nil {
		return nil, fmt.Errorf("format spec of pipeline %q: %w", s.Pipeline, err)
	}
	return out, nil
}

// blockStyle takes JSON's look from objects and lists of objects, and from texts
// of several lines.
func blockStyle(n *yaml.Node) {
	short := n.Kind == yaml.SequenceNode
	for _, c := range n.Content {
		blockStyle(c)
		short = short && c.Kind == yaml.ScalarNode && c.Style != yaml.LiteralStyle
	}
	n.Style = 0
	switch {
	case short:
		n.Style = yaml.FlowStyle
	case n.Kind == yaml.ScalarNode && plainLines.MatchString(n.Value):
		n.Style = yaml.LiteralStyle
	}
}

// plainLines are two or more lines of text that YAML can show as they are.
var plainLines = regexp.MustCompile(`^[!-~]([ -~]*[!-~])?(\n+[ -~]*[!-~])+\n?$`)
