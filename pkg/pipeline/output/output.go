package output

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// ErrClash: two datums of a job write what can't both be in its output. It
// wraps fs.ErrExist.
var ErrClash = fmt.Errorf("outputs of two datums clash: %w", fs.ErrExist)

// Clash says which datums clash, and where. It wraps ErrClash.
type Clash struct {
	A, B string // identities; B equals A if one datum's own output is at odds with itself
	Path string // that both write; a directory's ends in "/" if the other wrote a file there
}

// Error implements error.
func (c *Clash) Error() string {
	return fmt.Sprintf("datums %s and %s both write %q: give their outputs different names", c.A, c.B, c.Path)
}

// Unwrap returns ErrClash.
func (c *Clash) Unwrap() error { return ErrClash }

// Merging is an output tree with the datum table that it is the merge of.
type Merging struct{ Tree, Table tree.Root }

// mergeAnewMin is how many added files make it worth while to compare with
// the size of the whole: below, looking them up one by one is fast anyway.
const mergeAnewMin = 1000

// Merge returns the output that follows from prev when its datums change
// by d, all of it in s. A file or link that changes gets the attributes stamp,
// every other keeps those it has. With the zero prev.Table the output is merged
// from scratch, and prev.Tree, if any, only lends attributes. The content is
// always that of a merge from scratch; the cost follows the change. Empty
// directories are no output. It fails with a *Clash if datums are at odds.
func Merge(ctx context.Context, s chunk.Store, prev Merging, d Delta, stamp tree.Attrs) (Merging, error) {
	m := &merger{s: s, stamp: stamp, base: prev}
	if prev.Table.ID.IsZero() {
		return m.first(ctx, d)
	}
	table, err := applyTable(ctx, s, prev.Table, d)
	if err != nil {
		return Merging{}, err
	}
	m.table = table
	if err := m.collect(ctx, prev.Table); err != nil {
		return Merging{}, err
	}
	if n := int64(len(m.added)); n > mergeAnewMin && n*16 > prev.Tree.Files {
		if err := m.collect(ctx, tree.Root{}); err != nil {
			return Merging{}, err
		}
		return m.anew(ctx)
	}
	if err := m.checkBase(ctx); err != nil {
		return Merging{}, err
	}
	root, err := tree.Apply(ctx, s, prev.Tree, append(m.deletes, m.puts...))
	if err != nil {
		return Merging{}, fmt.Errorf("merge output: %w", err)
	}
	return Merging{Tree: root, Table: table}, nil
}

// merger turns the difference between two datum tables into edits of the
// output tree.
type merger struct {
	s     chunk.Store
	stamp tree.Attrs
	base  Merging
	table tree.Root

	// identify returns the identity of a datum, given by its name in the table;
	// nil: the table is asked.
	identify func(ctx context.Context, name string) (string, error)

	deletes, puts []tree.Edit
	withdrawn     map[string]bool   // files that some datum no longer writes
	added         map[string]string // files that some datum writes newly: its table name
	dirs          map[string]string // directories above them: the table name of one such datum
}

// reset forgets what was read; about so many files are added next.
func (m *merger) reset(files int) {
	m.deletes, m.puts = nil, nil
	m.withdrawn, m.added, m.dirs = map[string]bool{}, make(map[string]string, files), map[string]string{}
}

// put notes a file of the output.
func (m *merger) put(p string, e tree.Entry) {
	e.Attrs = m.stamp
	m.puts = append(m.puts, tree.Edit{Op: tree.Put, Path: p, Entry: e})
}

// anew merges all that was collected.
func (m *merger) anew(ctx context.Context) (Merging, error) {
	empty, err := tree.Empty(ctx, m.s)
	if err != nil {
		return Merging{}, fmt.Errorf("merge output: %w", err)
	}
	root, err := tree.Apply(ctx, m.s, empty, m.puts)
	if err != nil {
		return Merging{}, fmt.Errorf("merge output: %w", err)
	}
	return m.adopt(ctx, root)
}

// adopt takes over the attributes of the previous tree, if there is one.
func (m *merger) adopt(ctx context.Context, root tree.Root) (Merging, error) {
	switch {
	case m.base.Tree.Content == root.Content:
		root = m.base.Tree
	case !m.base.Tree.ID.IsZero():
		var err error
		if root, err = tree.Adopt(ctx, m.s, m.base.Tree, root, &m.stamp); err != nil {
			return Merging{}, fmt.Errorf("merge output: %w", err)
		}
	}
	return Merging{Tree: root, Table: m.table}, nil
}

// collect reads which files datums write and no longer write, compared with a
// table, and finds those that clash among themselves.
func (m *merger) collect(ctx context.Context, from tree.Root) error {
	m.reset(0)
	for c, err := range tree.Diff(ctx, m.s, from, m.s, m.table, tree.DiffOptions{Expand: true}) {
		if err != nil {
			return fmt.Errorf("compare datum tables: %w", err)
		}
		name, p, ok := strings.Cut(c.Path, "/")
		if !ok || p == "" || strings.HasSuffix(p, "/") {
			continue // a directory: it is there through its files
		}
		if c.Kind != tree.Added && !m.withdrawn[p] {
			m.withdrawn[p] = true
			m.deletes = append(m.deletes, tree.Edit{Op: tree.Delete, Path: p})
		}
		if c.Kind == tree.Removed {
			continue
		}
		if err := m.add(ctx, name, p); err != nil {
			return err
		}
		m.put(p, c.New)
	}
	return nil
}

// add notes that a datum writes a file, unless another one writes it, or a
// directory in its place, or a file above it.
func (m *merger) add(ctx context.Context, name, p string) error {
	if other, ok := m.added[p]; ok {
		return m.clash(ctx, other, name, p)
	}
	if other, ok := m.dirs[p]; ok {
		return m.clash(ctx, other, name, p+"/")
	}
	m.added[p] = name
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if other, ok := m.added[dir]; ok {
			return m.clash(ctx, other, name, dir+"/")
		}
		if _, ok := m.dirs[dir]; ok {
			break
		}
		m.dirs[dir] = name
	}
	return nil
}

// checkBase finds added files that clash with what unchanged datums wrote.
func (m *merger) checkBase(ctx context.Context) error {
	t := tree.Open(m.s, m.base.Tree)
	for _, e := range m.puts {
		if err := m.checkFile(ctx, t, e.Path); err != nil {
			return err
		}
	}
	for _, dir := range slices.Sorted(maps.Keys(m.dirs)) {
		e, err := find(ctx, t, dir)
		if err != nil {
			return err
		}
		if e != nil && e.Kind != tree.Dir && !m.withdrawn[dir] {
			return m.clashWithBase(ctx, m.dirs[dir], dir, dir+"/")
		}
	}
	return nil
}

// checkFile fails if an unchanged datum wrote p, or something below it.
func (m *merger) checkFile(ctx context.Context, t *tree.Tree, p string) error {
	e, err := find(ctx, t, p)
	if err != nil || e == nil {
		return err
	}
	if e.Kind != tree.Dir {
		if m.withdrawn[p] {
			return nil
		}
		return m.clashWithBase(ctx, m.added[p], p, p)
	}
	for f, err := range t.Walk(ctx, tree.WalkOptions{Prefix: p + "/"}) {
		if err != nil {
			return fmt.Errorf("merge output: %w", err)
		}
		if !m.withdrawn[f.Path] {
			return m.clashWithBase(ctx, m.added[p], f.Path, p+"/")
		}
	}
	return nil
}

// find returns the file at p, else the directory, nil if there is neither.
func find(ctx context.Context, t *tree.Tree, p string) (*tree.Entry, error) {
	e, err := t.Lookup(ctx, p)
	switch {
	case errors.Is(err, tree.ErrNotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("merge output: %w", err)
	}
	return &e, nil
}

// clashWithBase finds the unchanged datum that wrote a file, by asking all.
func (m *merger) clashWithBase(ctx context.Context, name, file, where string) error {
	for e, err := range tree.Open(m.s, m.table).Entries(ctx, "", "") {
		if err != nil {
			return fmt.Errorf("merge output: %w", err)
		}
		if e.Name == name {
			continue
		}
		f, err := find(ctx, tree.Open(m.s, e.Dir), file)
		if err != nil {
			return err
		}
		if f != nil && f.Kind != tree.Dir {
			return m.clash(ctx, e.Name, name, where)
		}
	}
	if file != where {
		return m.clash(ctx, name, name, where)
	}
	return fmt.Errorf("merge output: %q is in the previous output and no datum wrote it: %w", file, chunk.ErrCorrupt)
}

// clash returns the error for two datums, given by their names in the table.
func (m *merger) clash(ctx context.Context, a, b, p string) error {
	c := &Clash{Path: p}
	var err error
	if c.A, err = m.identity(ctx, a); err == nil {
		c.B, err = m.identity(ctx, b)
	}
	if err != nil {
		return err
	}
	return c
}

func (m *merger) identity(ctx context.Context, name string) (string, error) {
	if m.identify != nil {
		return m.identify(ctx, name)
	}
	e, err := tree.Open(m.s, m.table).Lookup(ctx, name+"/")
	if err != nil {
		return "", fmt.Errorf("merge output: %w", err)
	}
	row, err := decodeRow(e)
	return row.Identity, err
}
