package worktree

import (
	"context"
	"errors"
	"fmt"
	"iter"

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
	var st scanned
	report := &Report{}
	for c, err := range scan(ctx, r, naming{}, base, o, false, &st) {
		if err != nil {
			return nil, err
		}
		report.Changes = append(report.Changes, c)
	}
	report.Skipped, report.Stats = st.skipped, st.stats()
	return report, nil
}

// Edits stores in s what of o.Dir differs from base, which s has, and returns
// the edits that make base what is on disk, for tree.Apply. No two edits
// contradict each other. What is stored is durable after s.Flush. An error
// leaves behind chunks that nothing names. The index learns in memory: the
// caller saves it.
func Edits(ctx context.Context, s chunk.Store, base tree.Root, o Options) ([]tree.Edit, Stats, error) {
	var edits []tree.Edit
	stats, err := EachEdit(ctx, s, base, o, func(all iter.Seq2[tree.Edit, error]) error {
		for e, err := range all {
			if err != nil {
				return err
			}
			edits = append(edits, e)
		}
		return nil
	})
	if err != nil {
		return nil, Stats{}, err
	}
	return edits, stats, nil
}

// EachEdit is [Edits] for a consumer that takes the edits while the directory is
// being read: apply is called once with them, in the order of path that
// tree.ApplySorted wants, and takes all of them. What goes wrong comes as the
// last of them; an error of apply ends the work and is returned. Memory does
// not grow with the number of edits.
func EachEdit(ctx context.Context, s chunk.Store, base tree.Root, o Options, apply func(iter.Seq2[tree.Edit, error]) error) (Stats, error) {
	var st *scanned
	err := apply(func(yield func(tree.Edit, error) bool) {
		var got scanned
		for c, err := range scan(ctx, s, s, base, o, true, &got) {
			if err != nil {
				yield(tree.Edit{}, err)
				return
			}
			if !yield(editOf(&c), nil) {
				return
			}
		}
		st = &got
	})
	if err == nil && st == nil {
		err = errEnough
	}
	if err != nil {
		return Stats{}, err
	}
	return st.stats(), nil
}

// errEnough says that a consumer of edits did not take all.
var errEnough = errors.New("the edits were not all taken")

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

func (r *scanned) stats() Stats {
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
