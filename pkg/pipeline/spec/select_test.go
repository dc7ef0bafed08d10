package spec

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// plant stores a tree of files, each with content of its own.
func plant(t *testing.T, s chunk.Store, base tree.Root, paths ...string) tree.Root {
	t.Helper()
	var edits []tree.Edit
	for _, p := range paths {
		id, err := s.Put(t.Context(), chunk.Data, []byte(p))
		if err != nil {
			t.Fatal(err)
		}
		e := tree.Entry{Kind: tree.File, Content: chunk.Content{ID: id, Size: int64(len(p))}}
		edits = append(edits, tree.Edit{Op: tree.Put, Path: p, Entry: e})
	}
	root, err := tree.Apply(t.Context(), s, base, edits)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestSelectAndChanges(t *testing.T) {
	s := &chunk.Mem{}
	old := plant(t, s, tree.Root{}, "a/1", "a/2", "b/1", "top")
	now := plant(t, s, old, "a/3", "c/1")
	for _, test := range []struct {
		glob              string
		selected, changes []string
	}{
		{"/", []string{""}, []string{"modified "}},
		{"/*", []string{"a", "b", "c", "top"}, []string{"modified a", "added c"}},
		{"/*/", []string{"a", "b", "c"}, []string{"modified a", "added c"}},
		{"/a/*", []string{"a/1", "a/2", "a/3"}, []string{"added a/3"}},
		{"**", []string{"a/1", "a/2", "a/3", "b/1", "c/1", "top"}, []string{"added a/3", "added c/1"}},
		{"/{a,c}/[12]", []string{"a/1", "a/2", "c/1"}, []string{"added c/1"}},
		{"/none", nil, nil},
	} {
		g, err := CompileGlob(test.glob)
		if err != nil {
			t.Fatal(err)
		}
		var selected, changes []string
		for e, err := range g.Select(t.Context(), s, now) {
			if err != nil {
				t.Fatal(err)
			}
			selected = append(selected, e.Path)
		}
		for c, err := range g.Changes(t.Context(), s, old, s, now) {
			if err != nil {
				t.Fatal(err)
			}
			changes = append(changes, fmt.Sprintf("%v %s", c.Kind, c.Path))
		}
		if d := cmp.Diff(test.selected, selected); d != "" {
			t.Errorf("%s selects (-want +got):\n%s", test.glob, d)
		}
		if d := cmp.Diff(test.changes, changes); d != "" {
			t.Errorf("%s changes (-want +got):\n%s", test.glob, d)
		}
		for e, err := range g.Select(t.Context(), s, tree.Root{}) {
			t.Errorf("%s selects %v, %v of no tree", test.glob, e, err)
		}
	}
}

// TestSelectFails: what cannot be read is one error, and the end.
func TestSelectFails(t *testing.T) {
	s := &chunk.Mem{}
	root := plant(t, s, tree.Root{}, "a/1", "b/1")
	g, err := CompileGlob("/*/*")
	if err != nil {
		t.Fatal(err)
	}
	for name, seq := range map[string]func(yield func(error) bool){
		"no chunks": func(yield func(error) bool) {
			g.Select(t.Context(), &chunk.Mem{}, root)(func(_ Selected, err error) bool { return yield(err) })
		},
		"no chunks to compare": func(yield func(error) bool) {
			g.Changes(t.Context(), s, root, &chunk.Mem{}, plant(t, s, root, "c/1"))(func(_ Change, err error) bool { return yield(err) })
		},
	} {
		var errs []error
		seq(func(err error) bool { errs = append(errs, err); return true })
		if len(errs) != 1 || !errors.Is(errs[0], chunk.ErrNotFound) {
			t.Errorf("%s: %v, want one error", name, errs)
		}
	}
}
