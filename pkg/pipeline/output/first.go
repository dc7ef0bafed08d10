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

// first merges datums when there is no table yet. The table is made beside, and
// not read again for what datums write; what they wrote is read ahead of both.
func (m *merger) first(ctx context.Context, d Delta) (Merging, error) {
	rows := tableRows(d.Changed)
	var root tree.Root
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
	g.Go(func() (err error) {
		root, err = m.gather(both, rows, forFiles)
		return err
	})
	if err := g.Wait(); err != nil {
		return Merging{}, err
	}
	return m.adopt(ctx, root)
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

// gather returns the tree of the files that datums write, unless some clash. All
// datums are rows; they come in blocks.
func (m *merger) gather(ctx context.Context, rows []tableRow, blocks <-chan []tableRow) (tree.Root, error) {
	m.reset(len(rows))
	m.identify = func(_ context.Context, name string) (string, error) {
		i, _ := slices.BinarySearchFunc(rows, name+"/", func(r tableRow, key string) int { return strings.Compare(r.key, key) })
		return rows[i].Identity, nil
	}
	defer func() { m.identify = nil }()
	b, last := tree.NewBuilder(m.s), ""
	for block := range blocks {
		for _, r := range block {
			for f, err := range tree.Open(m.s, r.Tree).Walk(ctx, tree.WalkOptions{}) {
				if err != nil {
					return tree.Root{}, fmt.Errorf("read what datum %s wrote: %w", r.Identity, err)
				}
				if err := m.add(ctx, strings.TrimSuffix(r.key, "/"), f.Path); err != nil {
					return tree.Root{}, err
				}
				if len(m.puts) > 0 || f.Path <= last { // from here on, all at once at the end
					m.put(f.Path, f.Entry)
					continue
				}
				f.Attrs, last = m.stamp, f.Path
				if err := b.Add(ctx, f.Path, f.Entry); err != nil {
					return tree.Root{}, fmt.Errorf("merge output: %w", err)
				}
			}
		}
	}
	root, err := b.Finish(ctx)
	if err == nil && len(m.puts) > 0 {
		root, err = tree.Apply(ctx, m.s, root, m.puts)
	}
	if err != nil {
		return tree.Root{}, fmt.Errorf("merge output: %w", err)
	}
	return root, nil
}
