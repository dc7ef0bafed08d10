package local

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dvx-io/dvx/pkg/worker"
)

// executor executes programs in one slot process, which it starts when it is
// first needed and again after a loss. It serves one goroutine.
type executor struct {
	slot *slot
}

// Exec implements worker.Executor.
func (x *executor) Exec(ctx context.Context, p worker.Process) (worker.Exit, error) {
	if p.Path == "" {
		file, err := search{path: pathOf(p.Env)}.find(p.Argv[0])
		if err != nil {
			return worker.Exit{Code: 127, Failure: err.Error()}, nil
		}
		p.Path = file
	}
	if x.slot == nil {
		s, err := startSlot()
		if err != nil {
			return worker.Exit{}, err
		}
		x.slot = s
	}
	exit, err := x.slot.run(ctx, p)
	var lost errLost
	if errors.As(err, &lost) {
		said, _ := x.slot.close()
		x.slot = nil
		killStrays(p.Env)
		return exit, fmt.Errorf("the slot process that ran %s was lost (%w): %s", p.Argv[0], lost.error, strings.TrimSpace(said))
	}
	return exit, err
}

// close ends the slot process, if there is one.
func (x *executor) close() error {
	if x.slot == nil {
		return nil
	}
	_, err := x.slot.close()
	x.slot = nil
	return err
}

// pathOf returns the PATH in an environment, the fixed one if it has none.
func pathOf(env []string) string {
	for _, v := range env {
		if p, ok := strings.CutPrefix(v, "PATH="); ok {
			return p
		}
	}
	return Path
}
