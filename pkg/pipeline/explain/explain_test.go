package explain

import (
	"testing"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/datum"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

func TestSees(t *testing.T) {
	at := place{repo: "r", commit: commit.ID{1}, path: "a/b"}
	names := []commit.Input{{Name: "in", Ref: commit.Ref{Repo: "r", Commit: commit.ID{1}}}}
	for path, want := range map[string]bool{"": true, "a": true, "a/b": true, "a/b/c": true, "a/bc": false, "ab": false, "a/c": false} {
		d := datum.Datum{Inputs: []task.Input{{Name: "in", Items: []task.Item{{Path: path}}}}}
		if got := sees(d, names, at); got != want {
			t.Errorf("a datum of %q sees %s: %v, want %v", path, at.path, got, want)
		}
		other := place{repo: "r", commit: commit.ID{2}, path: at.path}
		if sees(d, names, other) {
			t.Errorf("a datum of %q sees a version that it does not read", path)
		}
	}
}

func TestCauseString(t *testing.T) {
	for want, c := range map[string]Cause{
		"command changed":                  {Component: "command", Change: "changed"},
		"code changed: a added, b removed": {Component: "code", Change: "changed", Details: []string{"a added", "b removed"}},
	} {
		if got := c.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
