//go:build unix

package worktree

import (
	"context"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

func TestSpecialFiles(t *testing.T) {
	dir, _ := workingCopy(t)
	disk{"a": "1"}.write(t, dir)
	must(t, unix.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	o := Options{Dir: dir}
	_, err := Status(context.Background(), &chunk.Mem{}, tree.Root{}, o)
	wantProblems(t, err, ErrSpecial, "pipe")
	o.SkipSpecial = true
	rep, err := Status(context.Background(), &chunk.Mem{}, tree.Root{}, o)
	must(t, err)
	if len(rep.Changes) != 1 || len(rep.Skipped) != 1 || rep.Skipped[0].Path != "pipe" {
		t.Errorf("changes %v, skipped %v", rep.Changes, rep.Skipped)
	}
}
