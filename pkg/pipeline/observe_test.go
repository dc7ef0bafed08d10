package pipeline

import (
	"testing"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
)

func TestResolveInput(t *testing.T) {
	view := &repo.View{Repos: map[string]repo.Repo{
		"src": {Branches: map[string]repo.Branch{"main": {}, "v2": {}}},
		"out": {Branches: map[string]repo.Branch{"staging": {Fork: "v2"}}, Specs: map[string]repo.Branch{"try": {Fork: "staging"}, "lost": {}}},
	}}
	for _, c := range []struct{ repo, set, branch, want string }{
		{"src", "", "main", "main"},
		{"src", "", "staging", "v2"},
		{"src", "", "try", "v2"},
		{"src", "main", "try", "main"},
		{"src", "none", "try", ""},
		{"src", "", "lost", ""},
		{"none", "", "main", ""},
	} {
		got, problem := ResolveInput(view, spec.Input{Repo: c.repo, Branch: c.set}, "out", c.branch)
		if (problem == "") != (c.want != "") || c.want != "" && got != c.want {
			t.Errorf("%+v: got %q, %q", c, got, problem)
		}
	}
}
