package main

import (
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	a, _ := twoCopies(t)
	must(t, a, "tag", "create", "data@v1", "data@main")
	must(t, a, "repo", "create", "other")
	for _, test := range []struct {
		line string
		want []string
	}{
		{"log ", []string{"data", "other"}},
		{"log o", []string{"other"}},
		{"cat data@", []string{"data@main", "data@v1"}},
		{"diff data@v1 data@m", []string{"data@main"}},
		{"branch list d", []string{"data"}},
		{"put data@", nil}, // a file of this disk comes first
		{"put x data@m", []string{"data@main"}},
		{"pipeline inspect ", nil},
		{"log nope@", nil},
	} {
		out := must(t, a, append([]string{"__complete"}, strings.Split(test.line, " ")...)...)
		list, _, _ := strings.Cut(out, ":")
		if got := strings.Fields(list); strings.Join(got, " ") != strings.Join(test.want, " ") {
			t.Errorf("dvx %s: completed as %q, want %q", test.line, got, test.want)
		}
	}
}

func TestLogOfAPath(t *testing.T) {
	a, _ := twoCopies(t)
	write(t, a, "one", "second")
	must(t, a, "commit", "-m", "changes one")
	write(t, a, "dir/four", "4")
	must(t, a, "commit", "-m", "adds four")
	remove(t, a, "one")
	must(t, a, "commit", "-m", "removes one")
	for path, want := range map[string]string{
		"": "removes one,adds four,changes one,first", "/one": "removes one,changes one,first", "/dir": "adds four,first",
		"/two": "first", "/never": "",
	} {
		ref := "data@main"
		if path != "" {
			ref += ":" + path
		}
		var got []string
		for line := range strings.Lines(must(t, a, "log", "--oneline", ref)) {
			got = append(got, strings.TrimSpace(strings.SplitN(line, "Z ", 2)[1]))
		}
		if g := strings.Join(got, ","); g != want {
			t.Errorf("log %s: %q, want %q", ref, g, want)
		}
	}
}
