package gc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
)

// ErrGuard: the collection would delete suspiciously much. Nothing was
// changed. It wraps fs.ErrPermission: somebody must say that it is meant.
var ErrGuard = fmt.Errorf("too much would be deleted: %w", fs.ErrPermission)

// errOvertaken: another collection changed the root meanwhile.
var errOvertaken = errors.New("another collection ran meanwhile")

// What a collection may free without being told that it is meant.
const (
	guardShare  = 0.3       // of the bytes in packs
	guardGrowth = 3         // times what the last one freed
	guardLeast  = 256 << 20 // bytes: below it growth says nothing
)

// guard refuses what looks like a mistake.
func (c *collector) guard(ctx context.Context) error {
	if c.o.Force {
		return nil
	}
	freed := c.plan.freed()
	if len(c.base.Repos) == 0 && freed > 0 {
		return fmt.Errorf("the store has no repos and %d bytes: %w", freed, ErrGuard)
	}
	if share := float64(freed) / float64(max(1, c.plan.totalBytes)); share > guardShare {
		return fmt.Errorf("%d of %d bytes, more than %.0f %%: %w", freed, c.plan.totalBytes, 100*guardShare, ErrGuard)
	}
	last, ok, err := lastReport(ctx, c.d.Objects())
	if err != nil {
		return err
	}
	if ok && last.FreedBytes > 0 && freed > guardLeast && freed > guardGrowth*last.FreedBytes {
		return fmt.Errorf("%d bytes, more than %d times the %d of the last run: %w", freed, guardGrowth, last.FreedBytes, ErrGuard)
	}
	return nil
}

// floorOf returns the floor that a collection may set: the smallest start of
// the sessions whose lease is fresh, else the root's generation.
func (c *collector) floorOf(ctx context.Context, root *repo.Root) (uint64, error) {
	floor := root.Gen
	now := c.now()
	err := c.eachSession(ctx, func(name string, start uint64, info objstore.Info) error {
		if name != c.session.Name && start < floor && now.Sub(info.ModTime) < c.o.Lease {
			floor = start
		}
		return nil
	})
	return max(floor, root.Floor), err
}
