package daemon

import (
	"context"
	"fmt"

	"github.com/dvx-io/dvx/pkg/repo"
)

// Leading says how one of several daemons comes to run a store's pipelines.
type Leading struct {
	Name string // of this daemon, unlike all others'
	// Wait waits until this daemon leads and runs do, whose context ends when it
	// leads no more. It returns nil if ctx ended before.
	Wait func(ctx context.Context, do func(context.Context) error) error
}

// takeLead begins a new term of the store: what daemons of former ones would
// publish is refused from now on, however late they learn of it.
func takeLead(ctx context.Context, store *repo.Direct, name string) (uint64, error) {
	op, err := store.NewOp()
	if err != nil {
		return 0, err
	}
	if _, err := store.PublishWith(ctx, nil, repo.Txn{Op: op}, repo.Attachments{Lead: name}); err != nil {
		return 0, fmt.Errorf("lead the store as %s: %w", name, err)
	}
	root, err := store.Root(ctx)
	if err != nil {
		return 0, err
	}
	if root.Leader != name {
		return 0, fmt.Errorf("term %d is of %s: %w", root.Term, root.Leader, repo.ErrDeposed)
	}
	return root.Term, nil
}
