package repo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// OverlapError says that a commit and one that was faster changed the same
// paths in different ways. It wraps ErrConflict: nothing was changed.
type OverlapError struct {
	Head  commit.ID // the commit that was faster
	Paths []string  // sorted
}

// overlapShown is how many paths the error's text names.
const overlapShown = 5

// Error names the first paths.
func (e *OverlapError) Error() string {
	shown := strings.Join(e.Paths[:min(len(e.Paths), overlapShown)], ", ")
	if n := len(e.Paths) - overlapShown; n > 0 {
		shown += fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("commit %s, which was faster, changed the same paths (%s)", e.Head.Short(), shown)
}

// Unwrap makes an OverlapError a kind of ErrConflict.
func (e *OverlapError) Unwrap() error { return ErrConflict }

// join puts the change from the draft's base to mine on top of theirs, which
// the commit head and those before it made of the same base.
func join(ctx context.Context, d *Draft, head commit.ID, mine, theirs tree.Root) (tree.Root, error) {
	root, conflicts, err := tree.Merge(ctx, d, d.Base, mine, theirs)
	if err != nil || len(conflicts) == 0 {
		return root, err
	}
	e := &OverlapError{Head: head}
	for _, x := range conflicts {
		e.Paths = append(e.Paths, x.Path)
	}
	slices.Sort(e.Paths)
	e.Paths = slices.Compact(e.Paths)
	return tree.Root{}, e
}
