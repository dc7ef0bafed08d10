package output

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// outputs is what datums write: by identity, by path.
type outputs map[string]map[string]string

// store puts the files of a datum into s.
func storeFiles(t rapid.TB, s chunk.Store, files map[string]string) tree.Root {
	ctx := context.Background()
	root, err := tree.Empty(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	var edits []tree.Edit
	for p, data := range files {
		c := chunk.Content{Size: int64(len(data))}
		if data != "" {
			if c.ID, err = s.Put(ctx, chunk.Data, []byte(data)); err != nil {
				t.Fatal(err)
			}
		}
		edits = append(edits, tree.Edit{Op: tree.Put, Path: p, Entry: tree.Entry{Kind: tree.File, Content: c}})
	}
	if root, err = tree.Apply(ctx, s, root, edits); err != nil {
		t.Fatal(err)
	}
	return root
}

func keyOfFiles(identity string, files map[string]string) memo.Key {
	return memo.Key(chunk.Data.Sum(fmt.Append(nil, identity, files)))
}

// delta returns the change from one set of datums to another, or all of it.
func delta(t rapid.TB, s chunk.Store, old, now outputs, full bool) Delta {
	d := Delta{Total: int64(len(now)), Full: full}
	for _, id := range slices.Sorted(maps.Keys(now)) {
		if full || old[id] == nil || !maps.Equal(old[id], now[id]) {
			d.Changed = append(d.Changed, Datum{Identity: id, Key: keyOfFiles(id, now[id]), Tree: storeFiles(t, s, now[id])})
		}
	}
	for id := range old {
		if now[id] == nil {
			d.Removed = append(d.Removed, id)
		}
	}
	return d
}

// wants returns the merge of datums by the book, or false if they clash.
func (o outputs) wants() (map[string]string, bool) {
	all := map[string]string{}
	for _, files := range o {
		for p, data := range files {
			if _, ok := all[p]; ok {
				return nil, false
			}
			all[p] = data
		}
	}
	for p := range all {
		for i := range p {
			if _, ok := all[p[:i]]; ok && p[i] == '/' {
				return nil, false
			}
		}
	}
	return all, true
}

func drawOutputs(t *rapid.T, old outputs) outputs {
	now := maps.Clone(old)
	if now == nil {
		now = outputs{}
	}
	paths := []string{"a", "a/x", "a/y", "a/x/z", "b", "b/q", "c", "d/e/f", "d/e/g", "d/h", "a-", "a0"}
	for range rapid.IntRange(1, 4).Draw(t, "changes") {
		id := "in:/" + rapid.SampledFrom([]string{"1", "2", "3", "4/", "5%2F", strings.Repeat("long", 400)}).Draw(t, "datum")
		if rapid.IntRange(0, 3).Draw(t, "gone") == 0 {
			delete(now, id)
			continue
		}
		files := map[string]string{}
		for _, p := range rapid.SliceOfNDistinct(rapid.SampledFrom(paths), 0, 3, rapid.ID).Draw(t, "paths") {
			files[p] = rapid.SampledFrom([]string{"", "one", "two"}).Draw(t, "data")
		}
		now[id] = files
	}
	return now
}

// TestMergeIsThatFromScratch: whatever changes, the output made from the
// previous one has the content of a merge from scratch, and clashes where that
// does; untouched files keep their attributes.
func TestMergeIsThatFromScratch(t *testing.T) {
	moreChecks(t)
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		s := &chunk.Mem{}
		var at outputs
		var prev Merging
		stamps := map[string]tree.Attrs{}
		for round := range rapid.IntRange(1, 6).Draw(t, "rounds") {
			now := drawOutputs(t, at)
			stamp := tree.Attrs{Time: time.UnixMilli(int64(round) + 1).UTC(), Op: tree.OpID{byte(round)}}
			got, err := Merge(ctx, s, prev, delta(t, s, at, now, prev.Table.ID.IsZero() || rapid.Bool().Draw(t, "full")), stamp)
			want, sound := now.wants()
			if !sound {
				var clash *Clash
				if !errors.As(err, &clash) || now[clash.A] == nil || now[clash.B] == nil {
					t.Fatalf("datums clash, got %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatalf("merge: %v", err)
			}
			if plain := storeFiles(t, s, want); plain.Content != got.Tree.Content {
				t.Fatalf("round %d: content differs from a merge from scratch", round)
			}
			checkStamps(t, s, got.Tree, stamps, want, at, stamp)
			checkTable(t, s, got.Table, now)
			at, prev = now, got
		}
	})
}

// checkStamps holds the attributes of files against the round that last
// changed them.
func checkStamps(t rapid.TB, s chunk.Store, root tree.Root, stamps map[string]tree.Attrs, want map[string]string, old outputs, stamp tree.Attrs) {
	was, _ := old.wants()
	for p, data := range want {
		if before, ok := was[p]; !ok || before != data {
			stamps[p] = stamp
		}
		e, err := tree.Open(s, root).Lookup(context.Background(), p)
		if err != nil || !e.Attrs.Time.Equal(stamps[p].Time) || e.Attrs.Op != stamps[p].Op {
			t.Fatalf("%s: attributes %+v (%v), want %+v", p, e.Attrs, err, stamps[p])
		}
	}
}

func checkTable(t rapid.TB, s chunk.Store, root tree.Root, now outputs) {
	n := 0
	for row, err := range Table(context.Background(), s, root) {
		if err != nil {
			t.Fatal(err)
		}
		files, ok := now[row.Identity]
		if !ok || row.Key != keyOfFiles(row.Identity, files) {
			t.Fatalf("table has %q with key %v", row.Identity, row.Key.Short())
		}
		n++
	}
	if n != len(now) {
		t.Fatalf("table has %d datums, want %d", n, len(now))
	}
}

// TestMergeNamesClash names both datums and the path, whichever of them was
// there first.
func TestMergeNamesClash(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct {
		name     string
		old, now outputs
		want     string
	}{
		{"two at once", nil, outputs{"i:/1": {"x": "1"}, "i:/2": {"x": "2"}}, `i:/1 and i:/2 both write "x"`},
		{"against an unchanged one", outputs{"i:/1": {"x": "1"}}, outputs{"i:/1": {"x": "1"}, "i:/2": {"x": "1"}}, `i:/1 and i:/2 both write "x"`},
		{"a file in place of a directory", outputs{"i:/1": {"x/y": "1"}}, outputs{"i:/1": {"x/y": "1"}, "i:/2": {"x": "1"}}, `i:/1 and i:/2 both write "x/"`},
		{"a directory in place of a file", outputs{"i:/1": {"x": "1"}}, outputs{"i:/1": {"x": "1"}, "i:/2": {"x/y/z": "1"}}, `i:/1 and i:/2 both write "x/"`},
		{"a datum with itself", nil, outputs{"i:/1": {"x": "1", "x/y": "2"}}, `i:/1 and i:/1 both write "x/"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &chunk.Mem{}
			var prev Merging
			if c.old != nil {
				var err error
				if prev, err = Merge(ctx, s, prev, delta(t, s, nil, c.old, true), tree.Attrs{}); err != nil {
					t.Fatal(err)
				}
			}
			_, err := Merge(ctx, s, prev, delta(t, s, c.old, c.now, c.old == nil), tree.Attrs{})
			if !errors.Is(err, ErrClash) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want a clash: %s", err, c.want)
			}
		})
	}
}

// TestMergeCostsTheChange: one datum of many changes, and few chunks are read.
func TestMergeCostsTheChange(t *testing.T) {
	ctx := context.Background()
	s := &chunk.Mem{}
	now := outputs{}
	for i := range 5000 {
		now[fmt.Sprintf("in:/%04d", i)] = map[string]string{fmt.Sprintf("d%02d/%04d", i%50, i): "v"}
	}
	prev, err := Merge(ctx, s, Merging{}, delta(t, s, nil, now, true), tree.Attrs{})
	if err != nil {
		t.Fatal(err)
	}
	next := maps.Clone(now)
	next["in:/0007"] = map[string]string{"d07/0007": "changed"}
	d := delta(t, s, now, next, false)
	before, _ := s.Counts()
	got, err := Merge(ctx, s, prev, d, tree.Attrs{})
	if err != nil {
		t.Fatal(err)
	}
	after, _ := s.Counts()
	if got.Tree.Content == prev.Tree.Content || after-before > 60 {
		t.Errorf("%d chunks were read for one changed datum of %d", after-before, len(now))
	}
}

// moreChecks raises the number of random histories to twenty times DVX_SEEDS,
// for this test.
func moreChecks(t *testing.T) {
	n, err := strconv.Atoi(os.Getenv("DVX_SEEDS"))
	f := flag.Lookup("rapid.checks")
	if err != nil || f == nil {
		return
	}
	was := f.Value.String()
	if err := f.Value.Set(strconv.Itoa(20 * n)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Value.Set(was) })
}

// TestTableBuiltIsTheOneApplied: a first table is the one that edits of an empty
// one make, whatever the order of the datums, those without outputs and repeated
// ones included.
func TestTableBuiltIsTheOneApplied(t *testing.T) {
	ctx := context.Background()
	rapid.Check(t, func(t *rapid.T) {
		s := &chunk.Mem{}
		var all []Datum
		for range 3 {
			all = append(all, delta(t, s, nil, drawOutputs(t, nil), true).Changed...)
		}
		all = rapid.Permutation(all).Draw(t, "order")
		blocks := make(chan []tableRow, len(all))
		for block := range slices.Chunk(tableRows(all), 2) {
			blocks <- block
		}
		close(blocks)
		built, err := buildTable(ctx, s, blocks)
		if err != nil {
			t.Fatal(err)
		}
		applied, err := applyTable(ctx, s, tree.Root{}, Delta{Full: true, Changed: all})
		if err != nil || built != applied {
			t.Errorf("built %+v, applied %+v, %v", built, applied, err)
		}
	})
}
