package spec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestDefaults(t *testing.T) {
	d, err := ParseDefaults("d.yaml", []byte(`
transform: {env: {TEAM: vision, LEVEL: low}, accept_return_code: [3]}
datum: {tries: 3, timeout: 1h}
parallelism: {max: 4}
metadata: {owner: ops}
`))
	if err != nil {
		t.Fatal(err)
	}
	own := `{pipeline: %, transform: {cmd: [x], code: {none: true}, env: {LEVEL: high}}, input: {repo: a, glob: /}, datum: {tries: 1}}`
	want := `
pipeline: one
transform: {cmd: [x], code: {none: true}, env: {TEAM: vision, LEVEL: high}, accept_return_code: [3]}
input: {repo: a, glob: /}
datum: {tries: 1, timeout: 1h}
parallelism: {max: 4}
metadata: {owner: ops}
`
	for range 2 { // the defaults are not changed by who inherits them
		got, err := d.ParseAll("s.yaml", []byte(strings.ReplaceAll(own, "%", "one")))
		if err != nil {
			t.Fatal(err)
		}
		all, err := ParseAll("w.yaml", []byte(want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(all, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		got[0].Transform.Env["TEAM"] = "another"
	}
}

func TestParseDefaultsRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"pipeline: x":                  "d.yaml: line 1, column 11: pipeline is each pipeline's own",
		"input: {repo: a, glob: /}":    "d.yaml: line 1, column 8: input is each pipeline's own",
		"datum: {trys: 3}":             `unknown field "trys" in "datum" (did you mean "tries"?)`,
		"datum:\n  timeout: yesterday": "d.yaml: line 2, column 12: datum.timeout: ",
		"{}\n---\n{}":                  "want one document, found 2",
		"[]":                           "d.yaml: line 1",
	} {
		if _, err := ParseDefaults("d.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	if _, err := ParseDefaults("d.yaml", []byte("{}")); err != nil {
		t.Errorf("no defaults: %v", err)
	}
}
