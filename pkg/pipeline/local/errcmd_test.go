//go:build unix

package local

import (
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// TestErrCmd: the error command runs after the last failed attempt only, finds
// what the program left, and its success makes the datum a recovered one.
func TestErrCmd(t *testing.T) {
	r, s := shared.get(t), &chunk.Mem{}
	for _, c := range []struct {
		name   string
		last   bool
		script string
		want   task.Outcome
		says   string
	}{
		{"not the last attempt", false, "true", task.Failed, "exit status 3"},
		{"it succeeds", true, "cat out/left", task.Recovered, "exit status 3"},
		{"it fails too", true, "echo no help; exit 4", task.Failed, "and err_cmd: exit status 4"},
	} {
		k := shell("echo from the program >out/left; exit 3")
		k.Last, k.Transform.ErrCmd = c.last, []string{"sh", "-c", c.script}
		res := run(t, r, k, s)
		if res.Outcome != c.want || !strings.Contains(res.Reason, c.says) || res.Exit != 3 {
			t.Errorf("%s: %+v", c.name, res)
		}
	}
}
