package spec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestSweepIsReadFromParameters: a list of values under parameters is a sweep;
// what is encoded says so, and what is formatted reads as the same.
func TestSweepIsReadFromParameters(t *testing.T) {
	text := "pipeline: p\ntransform: {cmd: [x, \"${lr}\", \"${n}\", \"${seed}\"]}\ninput: {repo: r, glob: /}\nparameters: {n: 3, lr: [0.1, 0.20], seed: [a, b, c]}\n"
	s, err := Parse("p.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string][]string{"lr": {"0.1", "0.20"}, "seed": {"a", "b", "c"}}, s.Sweep); diff != "" {
		t.Error(diff)
	}
	again, err := Format(s)
	if err != nil {
		t.Fatal(err)
	}
	if back, err := Parse("p.yaml", again); err != nil || !cmp.Equal(s, back) {
		t.Errorf("%v: %s", err, cmp.Diff(s, back))
	}
	var cmds []string
	for _, setting := range s.Settings() {
		x, err := s.With(setting).Expand()
		if err != nil {
			t.Fatal(err)
		}
		cmds = append(cmds, strings.Join(x.Cmd[1:], " "))
	}
	if got := strings.Join(cmds, ","); got != "0.1 3 a,0.1 3 b,0.1 3 c,0.20 3 a,0.20 3 b,0.20 3 c" {
		t.Errorf("settings %s", got)
	}
	many := "["
	for i := range 101 {
		many += strings.Repeat("a", i+1) + ", "
	}
	_, err = Parse("p.yaml", []byte(strings.Replace(text, "parameters: {n: 3, lr: [0.1, 0.20], seed: [a, b, c]}", "parameters: {n: 3, lr: "+many+"], seed: "+many+"]}", 1)))
	if err == nil || !strings.Contains(err.Error(), "more than 10000 combinations") {
		t.Errorf("too many: %v", err)
	}
}
