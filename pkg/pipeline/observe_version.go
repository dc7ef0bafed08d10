package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/tree"
)

// The names in the tree of a spec commit.
const (
	specName   = "spec.json" // canonical
	sourceName = "source"    // as typed
	codeName   = "code"      // the code tree, if there is one
)

// StoreVersion stores a spec version and returns the tree for its commit.
// source is the spec as it was typed; the code tree must be in s.
func StoreVersion(ctx context.Context, s chunk.Store, p chunk.Params, v engine.Version, source []byte) (tree.Root, error) {
	b, err := spec.Encode(v.Spec)
	if err != nil {
		return tree.Root{}, err
	}
	var edits []tree.Edit
	for _, f := range []struct {
		name string
		data []byte
	}{{specName, b}, {sourceName, source}} {
		c, err := chunk.WriteContent(ctx, s, p, bytes.NewReader(f.data))
		if err != nil {
			return tree.Root{}, fmt.Errorf("store spec of pipeline %s: %w", v.Spec.Pipeline, err)
		}
		edits = append(edits, tree.Edit{Op: tree.Put, Path: f.name, Entry: tree.Entry{Kind: tree.File, Content: c}})
	}
	if !v.Code.ID.IsZero() {
		edits = append(edits, tree.Edit{Op: tree.Put, Path: codeName, Entry: tree.Entry{Kind: tree.Dir, Dir: v.Code}})
	}
	root, err := tree.Apply(ctx, s, tree.Root{}, edits)
	if err != nil {
		return tree.Root{}, fmt.Errorf("store spec of pipeline %s: %w", v.Spec.Pipeline, err)
	}
	return root, nil
}

// LoadVersion reads the spec version that the tree of a spec commit holds. A
// tree that holds none fails with fs.ErrInvalid or chunk.ErrCorrupt.
func LoadVersion(ctx context.Context, r chunk.Reader, root tree.Root) (engine.Version, error) {
	t := tree.Open(r, root)
	e, err := t.Lookup(ctx, specName)
	switch {
	case errors.Is(err, tree.ErrNotFound) || err == nil && e.Kind != tree.File:
		return engine.Version{}, fmt.Errorf("the spec commit holds no %s: %w", specName, fs.ErrInvalid)
	case err != nil:
		return engine.Version{}, fmt.Errorf("read spec: %w", err)
	case e.Content.Size > spec.SizeMax:
		return engine.Version{}, fmt.Errorf("%s has %d bytes, more than %d: %w", specName, e.Content.Size, spec.SizeMax, fs.ErrInvalid)
	}
	b, err := readAll(ctx, r, e.Content)
	if err != nil {
		return engine.Version{}, fmt.Errorf("read spec: %w", err)
	}
	var v engine.Version
	if v.Spec, err = spec.Decode(b); err != nil {
		return engine.Version{}, err
	}
	code, err := t.Find(ctx, codeName+"/")
	if err != nil {
		return engine.Version{}, fmt.Errorf("read spec: %w", err)
	}
	if code != nil {
		v.Code = code.Dir
	}
	return v, nil
}

// readAll returns the bytes of a content, whose size the caller has checked.
func readAll(ctx context.Context, r chunk.Reader, c chunk.Content) ([]byte, error) {
	f, err := chunk.OpenContent(ctx, r, c)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(f)
}
