package gc

import (
	"context"
	"errors"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// TestCheckpointOfWhatWasCollected builds on a directory of another branch,
// which a collection takes away before the session's checkpoint: the commit
// begins anew, and finds that it is gone. It must not come out without it.
func TestCheckpointOfWhatWasCollected(t *testing.T) {
	w := newWorld(t)
	o := w.options()
	o.CheckpointBytes = 4 << 10
	d, err := repo.OpenDirect(w.ctx(), w.objects, o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	w.move(d, repo.CreateRepo{Repo: "a"})
	w.write(d, "a", "main", map[string]string{"f": text(1, 50_000)})
	from := w.write(d, "a", "other", map[string]string{"dir/x": text(2, 20_000)})
	op, err := d.NewOp()
	if err != nil {
		t.Fatal(err)
	}
	tries := 0
	res, err := repo.Commit(w.ctx(), d, repo.CommitOptions{Repo: "a", Op: op, Time: w.clock.Now()}, func(ctx context.Context, dr *repo.Draft) (tree.Root, error) {
		v, err := commit.Load(ctx, dr, from)
		if err != nil {
			return tree.Root{}, err
		}
		e, err := tree.Open(dr, v.Tree).Lookup(ctx, "dir/x")
		if err != nil {
			return tree.Root{}, err
		}
		root, err := dr.Apply(ctx, []tree.Edit{{Op: tree.Put, Path: "copy", Entry: tree.Entry{Kind: tree.File, Content: e.Content}}})
		if err != nil {
			return tree.Root{}, err
		}
		if tries++; tries == 1 {
			w.move(w.open(nil), repo.DeleteBranch{Repo: "a", Branch: "other", Expect: from})
			w.collect(w.open(nil), Options{KeepRoots: -1, Force: true})
		}
		_, err = dr.Put(ctx, chunk.Data, []byte(text(3, 8000))) // a checkpoint
		return root, err
	})
	if !errors.Is(err, chunk.ErrNotFound) || tries != 1 {
		t.Errorf("commit %v: %v, after %d tries", res.ID.Short(), err, tries)
	}
}
