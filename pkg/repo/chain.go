package repo

import (
	"context"
	"errors"
	"fmt"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// rootCopy reads the copy that is kept of the root which op made. It fails
// with objstore.ErrNotFound if retention has removed it.
func (d *Direct) rootCopy(ctx context.Context, gen uint64, op OpID) (*Root, error) {
	key := rootKey(gen, op)
	b, _, err := objstore.ReadAll(ctx, d.objects, key, objstore.Range{}, RootSizeMax)
	if err != nil {
		return nil, fmt.Errorf("follow the chain of roots: %w", err)
	}
	r, err := DecodeRoot(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return r, nil
}

// before returns the newest root before r of which a copy is kept, or nil if
// there is none: the chain goes back as far as retention lets it.
func (d *Direct) before(ctx context.Context, r *Root) (*Root, error) {
	return d.rootUpTo(ctx, r, r.Gen-1)
}

// rootUpTo returns the newest root up to a generation of which a copy is kept,
// or nil. It starts from r, which is of that generation or a later one: r's
// operations lead to the roots that they made, and the oldest of those further
// back.
func (d *Direct) rootUpTo(ctx context.Context, r *Root, gen uint64) (*Root, error) {
	for r.Gen > gen {
		older, err := d.step(ctx, r, gen)
		if older == nil || err != nil {
			return nil, err
		}
		r = older
	}
	return r, nil
}

// step returns the newest kept root up to gen that r's operations name; if
// they are all later, the oldest that they name; nil if there is none.
func (d *Direct) step(ctx context.Context, r *Root, gen uint64) (*Root, error) {
	last := len(r.Ops) - 1
	for last >= 0 && r.Ops[last].Gen > gen {
		last--
	}
	for ; last >= 0; last-- {
		older, err := d.rootCopy(ctx, r.Ops[last].Gen, r.Ops[last].Op)
		if !errors.Is(err, objstore.ErrNotFound) {
			return older, err
		}
	}
	for _, rec := range r.Ops {
		if rec.Gen <= gen || rec.Gen >= r.Gen {
			continue
		}
		older, err := d.rootCopy(ctx, rec.Gen, rec.Op)
		if !errors.Is(err, objstore.ErrNotFound) {
			return older, err
		}
	}
	return nil, nil
}
