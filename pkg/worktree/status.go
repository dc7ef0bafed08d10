package worktree

import (
	"context"
	"fmt"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Report is what [Status] found.
type Report struct {
	// Changes are the differences from the base to the disk, in order of path.
	// A file that the base lacks is Added: nothing is staged, so each is
	// untracked and would be committed. A directory that is gone is one
	// change; one that is new is a change for each file in it, and is a change
	// itself if it is empty. A directory in which nothing is left is Modified.
	// The ID of New.Content is zero where a file need not be read to know that
	// it differs.
	Changes []tree.Change

	Skipped []Problem // devices, sockets and pipes, if they are to be skipped
	Stats   Stats
}

// Stats counts what a scan did.
type Stats struct {
	Files     int64 // files and links looked at
	ReadFiles int64 // of those, files that were read
	ReadBytes int64
}

// Status compares o.Dir with base, which r has. What base has is compared even
// if it is ignored. It reads a file only if its size is the base's and the
// index does not vouch for it. The index learns in memory: the caller saves it.
func Status(ctx context.Context, r chunk.Reader, base tree.Root, o Options) (*Report, error) {
	res, err := scan(ctx, r, naming{}, base, o, false)
	if err != nil {
		return nil, err
	}
	return &Report{Changes: res.changes, Skipped: res.skipped, Stats: res.stats()}, nil
}

// Edits stores in s what of o.Dir differs from base, which s has, and returns
// the edits that make base what is on disk, for tree.Apply. No two edits
// contradict each other. What is stored is durable after s.Flush. An error
// leaves behind chunks that nothing names. The index learns in memory: the
// caller saves it.
func Edits(ctx context.Context, s chunk.Store, base tree.Root, o Options) ([]tree.Edit, Stats, error) {
	res, err := scan(ctx, s, s, base, o, true)
	if err != nil {
		return nil, Stats{}, err
	}
	edits := make([]tree.Edit, 0, len(res.changes))
	for i := range res.changes {
		edits = append(edits, editOf(&res.changes[i]))
	}
	return edits, res.stats(), nil
}

// editOf returns the edit that makes a change. A directory is a change only if
// nothing is in it.
func editOf(c *tree.Change) tree.Edit {
	switch {
	case c.Kind == tree.Removed && c.Old.Kind == tree.Dir:
		return tree.Edit{Op: tree.DeleteDir, Path: c.Path}
	case c.Kind == tree.Removed:
		return tree.Edit{Op: tree.Delete, Path: c.Path}
	case c.New.Kind == tree.Dir:
		return tree.Edit{Op: tree.MakeDir, Path: c.Path, Entry: c.New}
	default:
		return tree.Edit{Op: tree.Put, Path: c.Path, Entry: c.New}
	}
}

func (r *result) stats() Stats {
	return Stats{Files: r.looked.Files, ReadFiles: r.read.Files, ReadBytes: r.read.Bytes}
}

// naming is a store that only names what it is given.
type naming struct{}

func (naming) Put(ctx context.Context, k chunk.Kind, data []byte) (chunk.ID, error) {
	if err := chunk.CheckSize(k, len(data)); err != nil {
		return chunk.ID{}, err
	}
	return k.Sum(data), ctx.Err()
}

func (naming) Get(_ context.Context, k chunk.Kind, id chunk.ID) ([]byte, error) {
	return nil, fmt.Errorf("%v %v: %w", k, id.Short(), chunk.ErrNotFound)
}

func (naming) Flush(ctx context.Context) error { return ctx.Err() }
