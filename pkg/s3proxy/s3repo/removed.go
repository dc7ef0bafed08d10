package s3repo

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// removedPrefix is where the branch of settings names the versions that clients
// have removed. No bucket has that name.
const removedPrefix = ".removed/"

// removals says which versions of a branch's keys were removed by their IDs. The
// zero value says that none was.
type removals struct {
	tree   *tree.Tree // of the settings; nil if there are none
	repo   string
	branch string
}

// removals returns those of the branch that m shows. Of a tag, a commit or an
// expression nothing can be removed.
func (k *bucket) removals(ctx context.Context, m *mount) (removals, error) {
	branch := k.branch(m.ref)
	if branch == "" || !m.ref.At.IsZero() || len(m.ref.Steps) > 0 {
		return removals{}, nil
	}
	v, err := repo.Look(ctx, k.b.store, systemRepo, settingsBranch)
	if errors.Is(err, repo.ErrRepoNotFound) || errors.Is(err, repo.ErrRefNotFound) {
		return removals{}, nil
	}
	if err != nil {
		return removals{}, err
	}
	t := v.Tree()
	if e, err := t.Find(ctx, removedPrefix+k.name+"/"); e == nil || err != nil {
		return removals{}, err
	}
	return removals{t, k.name, branch}, nil
}

// removedPath is the folder with a file for each version of a path that was
// removed.
func removedPath(repo, branch, path string) string {
	return fmt.Sprintf("%s%s/%x/", removedPrefix, repo, sha256.Sum256([]byte(branch+"\x00"+path)))
}

// of returns the IDs of the versions and markers of a path that were removed.
func (r removals) of(ctx context.Context, path string) (map[string]bool, error) {
	if r.tree == nil {
		return nil, nil
	}
	var gone map[string]bool
	for e, err := range r.tree.Entries(ctx, removedPath(r.repo, r.branch, path), "") {
		if errors.Is(err, tree.ErrNotFound) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if gone == nil {
			gone = map[string]bool{}
		}
		gone[e.Name] = true
	}
	return gone, nil
}

// record adds IDs to the record of what was removed of a path, or takes them from
// it.
func (w *Writing) record(ctx context.Context, at place, ids []string, removed bool) error {
	var edits []repo.OpenEdit
	for _, id := range ids {
		edit := repo.OpenEdit{Path: removedPath(at.repo, at.branch, at.path) + id}
		if removed {
			edit.Entry = &tree.Entry{Kind: tree.File}
		}
		edits = append(edits, edit)
	}
	if err := w.ensureSystem(ctx); err != nil {
		return err
	}
	_, err := w.writer.Write(ctx, repo.OpenWrite{Repo: systemRepo, Branch: settingsBranch, Edits: edits})
	return sealWrite(err)
}
