package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// withInput parses a spec with an input in YAML's flow style.
func withInput(input string) (Spec, error) {
	return Parse("s.yaml", fmt.Appendf(nil, "pipeline: p\ntransform: {cmd: [x]}\ninput: %s\n", input))
}

func TestParseInputs(t *testing.T) {
	tests := []struct {
		input  string
		leaves []string // name=repo
	}{
		{"{repo: a, glob: /}", []string{"a=a"}},
		{"{cross: [{repo: a, glob: /*}, {repo: b, name: x, glob: /, reference: true}]}", []string{"a=a", "x=b"}},
		{"{union: [{repo: a, name: x, glob: /*}, {cross: [{repo: b, name: x, glob: /}, {repo: c, glob: /}]}]}", []string{"x=a", "x=b", "c=c"}},
		{`{join: [{repo: a, glob: "/(*)", join_on: $1, outer_join: true}, {repo: b, glob: "/(*)/(*)", join_on: "$2"}]}`, []string{"a=a", "b=b"}},
		{`{group: [{join: [{repo: a, glob: "/(*)", join_on: $1, group_by: $1}, {repo: b, glob: "/(*)", join_on: $1}]}]}`, []string{"a=a", "b=b"}},
	}
	for _, test := range tests {
		s, err := withInput(test.input)
		if err != nil {
			t.Errorf("%s: %v", test.input, err)
			continue
		}
		var got []string
		for l := range s.Input.Leaves() {
			got = append(got, l.Name+"="+l.Repo)
		}
		if diff := cmp.Diff(test.leaves, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.input, diff)
		}
		b, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Decode(b); err != nil || !cmp.Equal(again, s) {
			t.Errorf("%s: %v\n%s", test.input, err, cmp.Diff(s, again))
		}
	}
}

func TestInputsRefused(t *testing.T) {
	deep := strings.Repeat("{cross: [", InputDepthMax+1) + "{repo: a, glob: /}" + strings.Repeat("]}", InputDepthMax+1)
	tests := []struct{ input, want string }{
		{"{cross: [{repo: a, glob: /}, {repo: a, glob: /*}]}", `input.cross[1].name: two inputs of a datum are called "a"`},
		{"{cross: [{repo: a-b, glob: /}, {repo: a_b, glob: /*}]}", `inputs "a-b" and "a_b" would both be DVX_INPUT_A_B_URL`},
		{"{cross: [{union: [{repo: a, glob: /}, {repo: b, glob: /}]}, {repo: c, name: A, glob: /}]}", `would both be DVX_INPUT_A_URL`},
		{"{group: [{union: [{repo: a, name: x, glob: (*), group_by: $1}, {repo: b, name: x, glob: (*), group_by: $1}]}]}", `two inputs of a datum are called "x"`},
		{"{repo: a, glob: /, cross: [{repo: b, glob: /}]}", "want one of repo, cross"},
		{"{name: x, cross: [{repo: b, glob: /}]}", "no meaning beside cross"},
		{"{cross: [{repo: a, glob: /, join_on: $1}]}", "input.cross[0].join_on: has no meaning outside of a join"},
		{"{join: [{repo: a, glob: (*), join_on: $1}, {repo: b, glob: (*)}]}", "input.join[1]: has no join_on"},
		{"{group: [{repo: a, glob: /*}]}", "input.group[0]: has no group_by"},
		{"{join: [{repo: a, glob: (*), join_on: $2}]}", "no capture group $2"},
		{"{repo: a, glob: /, outer_join: true}", "no meaning without join_on"},
		{"{repo: a, glob: /, lazy: true, empty_files: true}", "no meaning with empty_files"},
		{"{repo: a, glob: /*, reference: true}", "input.reference: needs a glob that selects one thing"},
		{"{cross: [{repo: a, globb: /}]}", `line 3, column 27: unknown field "globb" in "input.cross[0]" (did you mean "glob"?)`},
		{"{cross: a}", "input.cross: want a list"},
		{"{cross: [{glob: /}]}", "input.cross[0].repo: is missing"},
		{"{cross: []}", "input.repo: is missing"},
		{deep, "combinations in each other"},
		{"&a {cross: [*a]}", "combinations in each other"},
		{"&a {cross: [*a, *a, *a, *a, *a, *a, *a, *a, *a]}", "more than"},
	}
	for _, test := range tests {
		_, err := withInput(test.input)
		if err == nil || !strings.Contains(err.Error(), test.want) || !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%.100s: error %v, want %s", test.input, err, test.want)
		}
	}
}

func TestSameDatums(t *testing.T) {
	a := Input{Repo: "a", Name: "in", Branch: "x", Glob: "/*"}
	renamed := Input{Repo: "b", Name: "in", Glob: "/*"}
	if !a.SameDatums(renamed) || a.SameDatums(Input{Repo: "a", Name: "in", Glob: "/"}) {
		t.Error("of one repo, only name and glob count")
	}
	if (Input{Cross: []Input{a}}).SameDatums(Input{Cross: []Input{renamed}}) {
		t.Error("identities of a combination may name repos")
	}
}
