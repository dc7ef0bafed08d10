package spec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDiff(t *testing.T) {
	a := Spec{Pipeline: "p", Transform: Transform{Cmd: []string{"x", "1"}}, Input: Input{Repo: "r", Glob: "/"}, Parameters: map[string]string{"a": "1"}}
	b := a
	b.Transform.Cmd = []string{"x"}
	b.Parameters = map[string]string{"b": "2"}
	b.Input.Glob = "/*"
	b.Description = "a < b & c"
	var got []string
	for _, c := range a.Diff(b) {
		got = append(got, c.String())
	}
	want := []string{
		`description is now "a < b & c"`, `input.glob is now "/*", was "/"`, `parameters.a is gone, was "1"`, `parameters.b is now "2"`,
		`transform.cmd[1] is gone, was "1"`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := a.Diff(a.WithDefaults()); len(got) > 0 {
		t.Errorf("defaults differ: %v", got)
	}
}

func TestParseInput(t *testing.T) {
	for _, text := range []string{`{repo: a, glob: /*}`, "pipeline: p\ninput:\n  repo: a\n  glob: /*\n", `{"repo": "a", "glob": "/*"}`} {
		in, err := ParseInput("i.yaml", []byte(text))
		if err != nil || in.Name != "a" || in.Glob != "/*" {
			t.Errorf("%s: %+v, %v", text, in, err)
		}
	}
	if in, err := ParseInput("i.yaml", []byte("pipeline: p\ninput: {cron: {spec: '0 6 * * *'}}")); err != nil || in.Repo != "p_cron" {
		t.Errorf("%+v, %v", in, err)
	}
	if _, err := ParseInput("", []byte("{url: 'https://example.org/a'}")); err == nil || !strings.Contains(err.Error(), "name a spec in place of an input alone") {
		t.Errorf("a source without a pipeline: %v", err)
	}
	if _, err := ParseInput("i.yaml", []byte("pipeline: p\ninput: {repo: a, glob: \"[\"}")); err == nil || err.Error() != `i.yaml: line 2, column 24: input.glob: glob "[": unclosed [ or {` {
		t.Errorf("error %v", err)
	}
}
