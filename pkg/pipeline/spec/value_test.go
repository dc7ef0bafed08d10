package spec

import (
	"strings"
	"testing"
)

// TestValueOfAnInput: what stands for it is no text that can be typed, and what
// runs can't depend on it.
func TestValueOfAnInput(t *testing.T) {
	text := "pipeline: p\ntransform: {cmd: [x, \"${a}\", \"$${a}\"]}\ninput: {repo: r, glob: /a, value: a}\n"
	s, err := Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if x, err := s.Expand(); err != nil || strings.Join(x.Cmd, ",") != "x,\x00{a},${a}" {
		t.Errorf("unknown yet: %q, %v", x.Cmd, err)
	}
	if x, err := s.With(map[string]string{"a": "7"}).Expand(); err != nil || strings.Join(x.Cmd, ",") != "x,7,${a}" {
		t.Errorf("known: %q, %v", x.Cmd, err)
	}
	_, err = Parse("p.yaml", []byte(strings.Replace(text, "[x", "[\"${a}\"", 1)))
	if err == nil || !strings.Contains(err.Error(), "transform.cmd[0]: holds the value of an input") {
		t.Errorf("it is what runs: %v", err)
	}
}
