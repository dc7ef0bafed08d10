package datum

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/tree"
)

// fileOf returns a file whose bytes are the text.
func fileOf(t interface{ Fatal(...any) }, s chunk.Store, text string) tree.Entry {
	if text == "" {
		return tree.Entry{Kind: tree.File}
	}
	id, err := s.Put(context.Background(), chunk.Data, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return tree.Entry{Kind: tree.File, Content: chunk.Content{ID: id, Size: int64(len(text))}}
}

// plant stores a tree of files, given by path with their text.
func plant(t interface{ Fatal(...any) }, s chunk.Store, files map[string]string) tree.Root {
	seq := func(yield func(string, tree.Entry) bool) {
		for _, p := range slices.Sorted(maps.Keys(files)) {
			if !yield(p, fileOf(t, s, files[p])) {
				return
			}
		}
	}
	root, err := tree.Build(context.Background(), s, iter.Seq2[string, tree.Entry](seq))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// listOne and changesOne are List and Changes of a single repo.
func listOne(ctx context.Context, r chunk.Reader, root tree.Root, in spec.Input) iter.Seq2[Datum, error] {
	return List(ctx, Version{Reader: r, Trees: []tree.Root{root}}, in)
}

func changesOne(ctx context.Context, ro chunk.Reader, old tree.Root, rn chunk.Reader, now tree.Root, in spec.Input) iter.Seq2[Change, error] {
	return Changes(ctx, Version{Reader: ro, Trees: []tree.Root{old}}, Version{Reader: rn, Trees: []tree.Root{now}}, in)
}

func datumsOf(t interface{ Fatal(...any) }, s chunk.Store, root tree.Root, in spec.Input) []Datum {
	var all []Datum
	for d, err := range listOne(context.Background(), s, root, in) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

func identities(ds []Datum) []string {
	ids := []string{}
	for _, d := range ds {
		ids = append(ids, d.Identity)
	}
	return ids
}

func TestDatums(t *testing.T) {
	var s chunk.Mem
	root := plant(t, &s, map[string]string{
		"a": "1", "a/x.csv": "2", "a/y/z.csv": "3", "b.csv": "4", "b/x.csv": "5", "b/x.txt": "6", "c/d/e/f": "7", "c-1": "8",
	})
	tests := []struct {
		glob string
		want []string
	}{
		{"/", []string{"in:/"}},
		{"/*", []string{"in:/a", "in:/a/", "in:/b.csv", "in:/b/", "in:/c-1", "in:/c/"}},
		{"/*/", []string{"in:/a/", "in:/b/", "in:/c/"}},
		{"/a", []string{"in:/a", "in:/a/"}},
		{"/a/", []string{"in:/a/"}},
		{"/*/*", []string{"in:/a/x.csv", "in:/a/y/", "in:/b/x.csv", "in:/b/x.txt", "in:/c/d/"}},
		{"/**/*.csv", []string{"in:/a/x.csv", "in:/a/y/z.csv", "in:/b.csv", "in:/b/x.csv"}},
		{"/{b,a}/x.csv", []string{"in:/a/x.csv", "in:/b/x.csv"}},
		{"/c/**", []string{"in:/c/d/e/f"}},
		{"/nope/*", []string{}},
		{"/a/x.csv/*", []string{}},
	}
	for _, test := range tests {
		got := datumsOf(t, &s, root, spec.Input{Name: "in", Glob: test.glob})
		if diff := cmp.Diff(test.want, identities(got)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.glob, diff)
		}
	}
	d := datumsOf(t, &s, root, spec.Input{Name: "in", Glob: "/*/y"})[0]
	if it := d.Inputs[0].Items[0]; d.Inputs[0].Name != "in" || it.Path != "a/y" || it.Entry.Kind != tree.Dir || it.Entry.Dir.Files != 1 {
		t.Errorf("datum %+v", d)
	}
	if got := datumsOf(t, &s, tree.Root{}, spec.Input{Name: "in", Glob: "/"}); len(got) != 0 {
		t.Errorf("a zero root has datums %v", got)
	}
}

// TestDatumsStop: a consumer that has enough gets no more.
func TestDatumsStop(t *testing.T) {
	var s chunk.Mem
	root := plant(t, &s, map[string]string{"a/1": "", "a/2": "", "b/3": ""})
	n := 0
	for _, err := range listOne(t.Context(), &s, root, spec.Input{Name: "in", Glob: "**"}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; n == 2 {
			break
		}
	}
	for c, err := range changesOne(t.Context(), &s, tree.Root{}, &s, root, spec.Input{Name: "in", Glob: "/*/*"}) {
		if err != nil {
			t.Fatal(err)
		}
		if n++; c.Kind != tree.Added || n == 4 {
			break
		}
	}
	if n != 4 {
		t.Errorf("%d datums, want 4", n)
	}
}

func TestDatumsReportErrors(t *testing.T) {
	var s chunk.Mem
	root := plant(t, &s, map[string]string{"a/1": ""})
	in := spec.Input{Name: "in", Glob: "/*/*"}
	for _, err := range listOne(t.Context(), &chunk.Mem{}, root, in) {
		if err == nil || !strings.Contains(err.Error(), "input in") {
			t.Errorf("missing nodes: error %v", err)
		}
	}
	for _, err := range changesOne(t.Context(), &s, root, &chunk.Mem{}, tree.Root{ID: tree.ID{1}}, in) {
		if err == nil {
			t.Error("missing nodes: no error")
		}
	}
	for _, err := range listOne(t.Context(), &s, root, spec.Input{Name: "in", Glob: "/["}) {
		if err == nil {
			t.Error("bad glob: no error")
		}
	}
}

// drawFiles draws a small tree from few names, so that two draws have much in
// common.
func drawFiles(t *rapid.T, label string) map[string]string {
	name := rapid.SampledFrom([]string{"a", "b", "a.csv", "é"})
	p := rapid.Custom(func(t *rapid.T) string {
		return strings.Join(rapid.SliceOfN(name, 1, 4).Draw(t, "path"), "/")
	})
	return rapid.MapOfN(p, rapid.SampledFrom([]string{"", "1", "2"}), 0, 12).Draw(t, label)
}

func drawTreeGlob(t *rapid.T) string {
	return rapid.SampledFrom([]string{
		"/", "/*", "/*/", "/*/*", "/*/*/*", "**", "/**/*.csv", "/a", "/a/*", "/a/**", "/a/**/b", "/{a,b}", "/{a,b}/?", "/[^a]*", "/a*/*", "/{a,b/**}",
	}).Draw(t, "glob")
}

// TestDatumsAgreeWithMatch: what the walk finds is what Match says of every
// path of the tree.
func TestDatumsAgreeWithMatch(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s chunk.Mem
		root := plant(t, &s, drawFiles(t, "files"))
		in := spec.Input{Name: "in", Glob: drawTreeGlob(t)}
		g, err := spec.CompileGlob(in.Glob)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{}
		if g.Match("", true) {
			want = append(want, "in:/")
		}
		for e, err := range tree.Open(&s, root).Walk(context.Background(), tree.WalkOptions{Dirs: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if g.Match(strings.TrimSuffix(e.Path, "/"), e.Kind == tree.Dir) {
				want = append(want, "in:/"+e.Path)
			}
		}
		if diff := cmp.Diff(want, identities(datumsOf(t, &s, root, in))); diff != "" {
			t.Fatalf("%s (-match +walk):\n%s", in.Glob, diff)
		}
	})
}

// TestChangesAgreeWithDatums: the changes are the difference of the full
// lists, in the same order.
func TestChangesAgreeWithDatums(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s chunk.Mem
		in := spec.Input{Name: "in", Glob: drawTreeGlob(t)}
		files := drawFiles(t, "old")
		old := plant(t, &s, files)
		if rapid.Bool().Draw(t, "edit") {
			files = maps.Clone(files)
			maps.Copy(files, drawFiles(t, "more"))
			maps.DeleteFunc(files, func(string, string) bool { return rapid.IntRange(0, 3).Draw(t, "delete") == 0 })
		} else {
			files = drawFiles(t, "new")
		}
		now := plant(t, &s, files)
		switch rapid.IntRange(0, 9).Draw(t, "zero") {
		case 0:
			old = tree.Root{}
		case 1:
			now = tree.Root{}
		}
		before, after := keysOf(datumsOf(t, &s, old, in)), keysOf(datumsOf(t, &s, now, in))
		want := map[string]tree.ChangeKind{}
		for id, key := range after {
			if _, ok := before[id]; !ok {
				want[id] = tree.Added
			} else if before[id] != key {
				want[id] = tree.Modified
			}
		}
		for id := range before {
			if _, ok := after[id]; !ok {
				want[id] = tree.Removed
			}
		}
		got, order := map[string]tree.ChangeKind{}, []string{}
		for c, err := range changesOne(context.Background(), &s, old, &s, now, in) {
			if err != nil {
				t.Fatal(err)
			}
			id := c.Datum.Identity
			if keys := keysOf([]Datum{c.Datum}); c.Kind != tree.Removed && keys[id] != after[id] || c.Kind == tree.Removed && keys[id] != before[id] {
				t.Fatalf("%v %s has the wrong content", c.Kind, id)
			}
			got[id] = c.Kind
			order = append(order, id)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("%s (-full +changes):\n%s", in.Glob, diff)
		}
		if !slices.IsSorted(order) || len(order) != len(got) {
			t.Fatalf("%s: changes out of order or twice: %q", in.Glob, order)
		}
	})
}

// keysOf returns what the program would see of each datum.
func keysOf(ds []Datum) map[string]string {
	m := map[string]string{}
	for _, d := range ds {
		m[d.Identity] = fmt.Sprint(workOn(d.Inputs[0]))
	}
	return m
}

// TestChangesCostFollowsChange: ten files more beside 1,000,000 take a few
// node reads, and one file deep in one of 300 directories likewise.
func TestChangesCostFollowsChange(t *testing.T) {
	var s chunk.Mem
	e := fileOf(t, &s, "x")
	build := func(n int) tree.Root {
		root, err := tree.Build(t.Context(), &s, func(yield func(string, tree.Entry) bool) {
			for i := range n {
				if !yield(fmt.Sprintf("%07d.csv", i), e) {
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		return root
	}
	old := build(1_000_000)
	var edits []tree.Edit
	for i := range 10 {
		edits = append(edits, tree.Edit{Op: tree.Put, Path: fmt.Sprintf("%07d.csv", 1_000_000+i), Entry: e})
	}
	now, err := tree.Apply(t.Context(), &s, old, edits)
	if err != nil {
		t.Fatal(err)
	}
	for _, glob := range []string{"/*", "/**/*.csv"} {
		before, _ := s.Counts()
		n := 0
		for c, err := range changesOne(t.Context(), &s, old, &s, now, spec.Input{Name: "in", Glob: glob}) {
			if err != nil || c.Kind != tree.Added {
				t.Fatal(c, err)
			}
			n++
		}
		after, _ := s.Counts()
		if n != 10 {
			t.Errorf("%s: %d datums, want 10", glob, n)
		}
		if after-before > 20 {
			t.Errorf("%s: %d node reads for ten files appended to 1,000,000, want at most 20", glob, after-before)
		}
		t.Logf("%s: %d node reads", glob, after-before)
	}
}

// TestDatumsReadOnlyWhatTheyNeed: a literal path is looked up, not searched
// for, and a prefix is sought.
func TestDatumsReadOnlyWhatTheyNeed(t *testing.T) {
	var s chunk.Mem
	e := fileOf(t, &s, "x")
	root, err := tree.Build(t.Context(), &s, func(yield func(string, tree.Entry) bool) {
		for i := range 50_000 {
			if !yield(fmt.Sprintf("day-%05d/f", i), e) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	for glob, want := range map[string]int{"/day-00777/f": 1, "/day-0077?/*": 10, "/{day-00001,day-49999}/*": 2} {
		before, _ := s.Counts()
		n := len(datumsOf(t, &s, root, spec.Input{Name: "in", Glob: glob}))
		after, _ := s.Counts()
		if n != want || after-before > 20+2*want {
			t.Errorf("%s: %d datums with %d node reads, want %d with at most %d", glob, n, after-before, want, 12+2*want)
		}
	}
}
