package output

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// A datum table says which datums an output consists of. It is a directory
// with a directory per datum: the datum's output tree under the datum's
// escaped identity, with the memo key among the attributes. So it needs no
// chunk of its own per datum, can be browsed, and is compared by tree.Diff.

// The names of a table entry's attributes, and the bounds of its name.
const (
	tableKey      = "key"   // memo key, hex
	tableIdentity = "id"    // identity, if the name is its hash
	tableIDMax    = 3 << 10 // bytes of it: attributes take at most 4 KiB
	hashedName    = "%h"    // begins a name that is a hash: no escaped identity has "%h"
)

// Row is a row of a datum table.
type Row struct {
	Identity string // cut to 3 KiB if it is longer
	Key      memo.Key
	Output   tree.Root
}

// tableName returns the name of a datum's entry in a table.
func tableName(identity string) string {
	name := strings.ReplaceAll(strings.ReplaceAll(identity, "%", "%25"), "/", "%2F")
	if len(name) > tree.NameSizeMax {
		return hashedName + chunk.Data.Sum([]byte(identity)).String()
	}
	return name
}

// tableEdit returns the edit that enters a datum into a table.
func tableEdit(o Datum) tree.Edit {
	meta := map[string]string{tableKey: o.Key.String()}
	name := tableName(o.Identity)
	if strings.HasPrefix(name, hashedName) {
		meta[tableIdentity] = strings.ToValidUTF8(o.Identity[:min(len(o.Identity), tableIDMax)], "")
	}
	return tree.Edit{
		Op: tree.Put, Path: name, SetAttrs: true,
		Entry: tree.Entry{Kind: tree.Dir, Dir: o.Tree, Attrs: tree.Attrs{Meta: meta}},
	}
}

// applyTable returns the table that follows from base, which is zero if there
// is none.
func applyTable(ctx context.Context, s chunk.Store, base tree.Root, d Delta) (tree.Root, error) {
	edits := make([]tree.Edit, 0, len(d.Removed)+len(d.Changed)+1)
	if d.Full || base.ID.IsZero() {
		var err error
		if base, err = tree.Empty(ctx, s); err != nil {
			return base, fmt.Errorf("make datum table: %w", err)
		}
	}
	for _, identity := range d.Removed {
		edits = append(edits, tree.Edit{Op: tree.DeleteDir, Path: tableName(identity)})
	}
	for _, o := range d.Changed {
		edits = append(edits, tableEdit(o))
	}
	root, err := tree.Apply(ctx, s, base, edits)
	if err != nil {
		return root, fmt.Errorf("make datum table: %w", err)
	}
	return root, nil
}

// tableRow is a datum with its key in a table.
type tableRow struct {
	key string
	*Datum
}

// tableRows returns datums in the order of a table; of two of one identity the
// later one.
func tableRows(datums []Datum) []tableRow {
	rows := make([]tableRow, len(datums))
	for i := range datums {
		rows[i] = tableRow{tableName(datums[i].Identity) + "/", &datums[i]}
	}
	slices.SortStableFunc(rows, func(a, b tableRow) int { return strings.Compare(a.key, b.key) })
	n := 0
	for i, r := range rows {
		if i+1 == len(rows) || rows[i+1].key != r.key {
			rows[n] = r
			n++
		}
	}
	return rows[:n]
}

// decodeRow reads a row.
func decodeRow(e tree.Entry) (Row, error) {
	t := Row{Identity: e.Attrs.Meta[tableIdentity], Output: e.Dir}
	if t.Identity == "" {
		t.Identity = strings.NewReplacer("%2F", "/", "%25", "%").Replace(e.Name)
	}
	if err := t.Key.UnmarshalText([]byte(e.Attrs.Meta[tableKey])); err != nil || e.Kind != tree.Dir {
		return t, fmt.Errorf("datum table: entry %.80q is no datum: %w", e.Name, chunk.ErrCorrupt)
	}
	return t, nil
}

// Table yields the rows of a datum table, in order of their names. The
// sequence ends after an error.
func Table(ctx context.Context, r chunk.Reader, root tree.Root) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		for e, err := range tree.Open(r, root).Entries(ctx, "", "") {
			var t Row
			if err == nil {
				t, err = decodeRow(e)
			}
			if !yield(t, err) || err != nil {
				return
			}
		}
	}
}

// Lookup returns the row of a datum, nil if the table has none.
func Lookup(ctx context.Context, r chunk.Reader, root tree.Root, identity string) (*Row, error) {
	e, err := tree.Open(r, root).Find(ctx, tableName(identity)+"/")
	if err != nil || e == nil {
		return nil, err
	}
	t, err := decodeRow(*e)
	return &t, err
}
