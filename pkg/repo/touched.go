package repo

import (
	"context"
	"slices"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// touchedBranches knows which paths the open commits have that were written to
// last: what is not among them cannot be taken away by a write. It is for one
// goroutine; the zero value is ready to use.
type touchedBranches struct {
	by     map[string]*touched // by OpenKey
	recent []string            // keys, the one used last at the end
}

// touchedMax is how many branches are known: of each some 100 bytes for a path
// that was written since it was sealed.
const touchedMax = 8

// touched are the paths that the batches of one open commit write to, and
// perhaps more.
type touched struct {
	base  commit.ID
	trees map[tree.ID]bool        // directories all of whose differences from the base are known
	known map[tree.ID]bool        // batches that are known
	own   map[tree.ID][]tree.Edit // batches of this process, which are not there yet
	paths map[string]bool
}

// of returns what is known of a branch at an open commit.
func (t *touchedBranches) of(ctx context.Context, r chunk.Reader, key string, o *OpenCommit) (*touched, error) {
	if i := slices.Index(t.recent, key); i >= 0 {
		t.recent = slices.Delete(t.recent, i, i+1)
	}
	if t.recent = append(t.recent, key); len(t.recent) > touchedMax {
		delete(t.by, t.recent[0])
		t.recent = t.recent[1:]
	}
	if t.by == nil {
		t.by = map[string]*touched{}
	}
	at := t.by[key]
	if at == nil || at.base != o.Base || o.Tree != nil && !at.trees[o.Tree.ID] {
		at = &touched{
			base: o.Base, trees: map[tree.ID]bool{}, known: map[tree.ID]bool{}, own: map[tree.ID][]tree.Edit{}, paths: map[string]bool{},
		}
		t.by[key] = at
		if err := at.addTree(ctx, r, o); err != nil {
			delete(t.by, key)
			return nil, err
		}
	}
	for _, b := range o.Batches {
		if err := at.addBatch(ctx, r, b); err != nil {
			return nil, err
		}
	}
	return at, nil
}

// addTree adds what the open commit has folded into its directory.
func (t *touched) addTree(ctx context.Context, r chunk.Reader, o *OpenCommit) error {
	if o.Tree == nil {
		return nil
	}
	base, err := treeOf(ctx, r, o.Base)
	if err != nil {
		return err
	}
	for c, err := range tree.Diff(ctx, r, base, r, *o.Tree, tree.DiffOptions{Storage: true, Expand: true}) {
		if err != nil {
			return err
		}
		t.paths[c.Path] = true
	}
	t.trees[o.Tree.ID] = true
	return nil
}

func (t *touched) addBatch(ctx context.Context, r chunk.Reader, b OpenBatch) error {
	if t.known[b.Tree.ID] {
		return nil
	}
	edits, ok := t.own[b.Tree.ID]
	if !ok {
		var err error
		if edits, err = loadBatch(ctx, r, b); err != nil {
			return err
		}
	}
	for i := range edits {
		t.paths[editKey(&edits[i])] = true
	}
	t.known[b.Tree.ID] = true
	clear(t.own)
	return nil
}

// folded says that all of a batch or directory is known which stands for
// batches that are.
func (t *touched) folded(op *foldOpen) {
	if op.To != nil {
		t.known[op.To.Tree.ID] = true
		return
	}
	t.trees[op.Tree.ID] = true
}
