package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
)

// Recover makes the root of a store again that was lost or is damaged, from
// the copy of the given key. The new root is the next after the copy and says
// what it says; its floor dooms every session that began before, for what these
// relied on may be gone. fs.ErrExist if there is a sound root.
func Recover(ctx context.Context, objects objstore.Store, key string, o Options) (*Root, error) {
	if err := o.applyDefaults(); err != nil {
		return nil, err
	}
	config, err := readConfig(ctx, objects)
	if err != nil {
		return nil, fmt.Errorf("recover root: %w", err)
	}
	b, _, err := objstore.ReadAll(ctx, objects, key, objstore.Range{}, RootSizeMax)
	if err != nil {
		return nil, fmt.Errorf("recover root: %w", err)
	}
	base, err := DecodeRoot(b)
	if err == nil && base.Store != config.Store {
		err = fmt.Errorf("it is of store %s, not %s: %w", base.Store, config.Store, chunk.ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("recover root: %s: %w", key, err)
	}
	condition, err := replaceable(ctx, objects)
	if err != nil {
		return nil, fmt.Errorf("recover root: %w", err)
	}
	op, err := NewOpID(o.Now(), o.Rand)
	if err != nil {
		return nil, err
	}
	next, _, err := Apply(base, Txn{Op: op}, Env{Now: o.Now(), Principal: auth.Owner, Collection: &Collection{Floor: base.Gen}})
	if err != nil {
		return nil, fmt.Errorf("recover root: %w", err)
	}
	if b, err = EncodeRoot(next); err != nil {
		return nil, fmt.Errorf("recover root: %w", err)
	}
	if err := putNew(ctx, objects, RootCopyKey(next), b); err != nil {
		return nil, fmt.Errorf("recover root: %w", err)
	}
	if _, err := objects.Put(ctx, rootObject, objstore.Bytes(b), condition); err != nil {
		return nil, fmt.Errorf("recover root: %w", err)
	}
	return next, nil
}

// replaceable returns the condition under which the root may be written: that
// there is none still, or still the same damaged one.
func replaceable(ctx context.Context, objects objstore.Store) (objstore.Condition, error) {
	b, info, err := objstore.ReadAll(ctx, objects, rootObject, objstore.Range{}, RootSizeMax)
	switch {
	case errors.Is(err, objstore.ErrNotFound):
		return objstore.Condition{IfAbsent: true}, nil
	case err != nil:
		return objstore.Condition{}, err
	}
	r, err := DecodeRoot(b)
	if err == nil {
		return objstore.Condition{}, fmt.Errorf("there is a sound root of generation %d: %w", r.Gen, fs.ErrExist)
	}
	var feature *FeatureError
	if errors.As(err, &feature) {
		return objstore.Condition{}, err
	}
	return objstore.Condition{IfVersion: info.Version}, nil
}
