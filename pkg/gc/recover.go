package gc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
)

// RootCopy is a copy of a root, as far as it could serve to make a lost root
// again.
type RootCopy struct {
	Key     string    `json:"key"`
	Gen     uint64    `json:"gen"`
	Time    time.Time `json:"time,omitzero"` // when it was written
	Repos   int       `json:"repos"`
	Problem string    `json:"problem,omitempty"` // why it can't serve; empty if it can
}

// recoverLook is how many copies are looked at, the newest.
const recoverLook = 20

// RootCopies returns the newest copies of roots, the newest first, and says of
// each whether it can serve: it is sound, follows the copy before it, and its
// index segments are there. Of several of one generation one at most was the
// root: the others lost the swap.
func RootCopies(ctx context.Context, objects objstore.Store) ([]RootCopy, error) {
	all, err := rootCopies(ctx, objects)
	if err != nil {
		return nil, err
	}
	slices.Reverse(all)
	var found []RootCopy
	for _, c := range all[:min(recoverLook, len(all))] {
		r := RootCopy{Key: c.key, Gen: c.gen, Time: c.time}
		root, err := loadCopy(ctx, objects, c.key)
		if err == nil {
			r.Repos = len(root.Repos)
			err = usable(ctx, objects, root)
		}
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			r.Problem = err.Error()
		}
		found = append(found, r)
	}
	return found, nil
}

func loadCopy(ctx context.Context, objects objstore.Store, key string) (*repo.Root, error) {
	b, _, err := objstore.ReadAll(ctx, objects, key, objstore.Range{}, repo.RootSizeMax)
	if err != nil {
		return nil, err
	}
	return repo.DecodeRoot(b)
}

// usable fails unless the copy follows its predecessor, where that is kept, and
// its index segments are there.
func usable(ctx context.Context, objects objstore.Store, r *repo.Root) error {
	if key := previousCopy(r); key != "" {
		b, _, err := objstore.ReadAll(ctx, objects, key, objstore.Range{}, repo.RootSizeMax)
		if err != nil && !errors.Is(err, objstore.ErrNotFound) {
			return err
		}
		if err == nil && repo.HashRoot(b) != r.Prev {
			return fmt.Errorf("it does not follow %s", key)
		}
	}
	for _, s := range r.Segments {
		if _, err := objects.Stat(ctx, s.Key); err != nil {
			return fmt.Errorf("index segment %s: %w", s.Key, err)
		}
	}
	return nil
}
