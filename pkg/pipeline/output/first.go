package output

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// blockRows is how many rows are taken at a time: enough that what they point
// to is read in large pieces, and few enough for the store's cache of nodes.
const blockRows = 1024

// first merges datums when there is no table yet: it is made beside, and not
// read again for what datums write. What datums wrote is read ahead of both.
func (m *merger) first(ctx context.Context, d Delta) (Merging, error) {
	rows := tableRows(d.Changed)
	g, both := errgroup.WithContext(ctx)
	forTable, forFiles := make(chan []tableRow, 1), make(chan []tableRow, 1)
	g.Go(func() error {
		defer close(forTable)
		defer close(forFiles)
		return readAhead(both, m.s, rows, forTable, forFiles)
	})
	g.Go(func() (err error) {
		m.table, err = buildTable(both, m.s, forTable)
		return err
	})
	g.Go(func() error { return m.gather(both, rows, forFiles) })
	if err := g.Wait(); err != nil {
		return Merging{}, err
	}
	return m.anew(ctx)
}

// readAhead reads what rows point to, and hands the rows on, a block at a time.
func readAhead(ctx context.Context, s chunk.Store, rows []tableRow, to ...chan<- []tableRow) error {
	roots := make([]tree.Root, 0, blockRows)
	for block := range slices.Chunk(rows, blockRows) {
		roots = roots[:0]
		for _, r := range block {
			roots = append(roots, r.Tree)
		}
		if err := tree.Preload(ctx, s, roots); err != nil {
			return fmt.Errorf("read what datums wrote: %w", err)
		}
		for _, c := range to {
			select {
			case c <- block:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return nil
}

// buildTable returns the table with these rows, without holding what is made of
// them.
func buildTable(ctx context.Context, s chunk.Store, blocks <-chan []tableRow) (tree.Root, error) {
	b := tree.NewBuilder(s)
	for rows := range blocks {
		for _, r := range rows {
			e := tableEdit(*r.Datum)
			if err := b.Add(ctx, e.Path, e.Entry); err != nil {
				return tree.Root{}, fmt.Errorf("make datum table: %w", err)
			}
		}
	}
	root, err := b.Finish(ctx)
	if err != nil {
		return root, fmt.Errorf("make datum table: %w", err)
	}
	return root, nil
}

// gather reads which files datums write, and finds those that clash. All of
// them are rows; they come in blocks.
func (m *merger) gather(ctx context.Context, rows []tableRow, blocks <-chan []tableRow) error {
	m.reset()
	m.identify = func(_ context.Context, name string) (string, error) {
		i, _ := slices.BinarySearchFunc(rows, name+"/", func(r tableRow, key string) int { return strings.Compare(r.key, key) })
		return rows[i].Identity, nil
	}
	defer func() { m.identify = nil }()
	for block := range blocks {
		for _, r := range block {
			for f, err := range tree.Open(m.s, r.Tree).Walk(ctx, tree.WalkOptions{}) {
				if err != nil {
					return fmt.Errorf("read what datum %s wrote: %w", r.Identity, err)
				}
				if err := m.add(ctx, strings.TrimSuffix(r.key, "/"), f.Path); err != nil {
					return err
				}
				m.put(f.Path, f.Entry)
			}
		}
	}
	return nil
}
