package worker

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// TestOutputHasALimit: as much as it says is stored, and one byte more fails the
// datum in a way of its own.
func TestOutputHasALimit(t *testing.T) {
	w := newWorker(t, program(t, func(dir string) {
		write(t, filepath.Join(dir, "out/a"), "12345", 0o644)
		write(t, filepath.Join(dir, "out/d/b"), "67890", 0o644)
	}))
	k := aTask()
	k.MaxOutput = 10
	succeed(t, w, k, &chunk.Mem{})
	k.MaxOutput = 9
	res, err := w.Run(t.Context(), k, &chunk.Mem{})
	if err != nil || res.Outcome != task.Failed || res.Failure != task.FailedLimit || !strings.Contains(res.Reason, "with out/d/b it is more than the 9 bytes that datum.max_output allows") {
		t.Errorf("%s, %s: %s, %v", res.Outcome, res.Failure, res.Reason, err)
	}
}
