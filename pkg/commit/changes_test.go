package commit_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// line is a history that grows by one commit after another.
type line struct {
	s     chunk.Store
	head  commit.ID
	tree  tree.Root
	n     int
	plain bool // what comes next gets no index
}

// add makes a commit of some edits.
func (l *line) add(t rapid.TB, edits ...tree.Edit) commit.Commit {
	t.Helper()
	ctx := context.Background()
	var err error
	if l.tree, err = tree.Apply(ctx, l.s, l.tree, edits); err != nil {
		t.Fatal(err)
	}
	l.n++
	c := commit.Commit{
		Tree: l.tree, Author: "a", Op: fmt.Sprintf("%032x", l.n),
		Time: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC).Add(time.Duration(l.n) * time.Second),
	}
	if !l.head.IsZero() {
		c.Parents = []commit.ID{l.head}
	}
	if !l.plain {
		if c, err = commit.Index(ctx, l.s, c); err != nil {
			t.Fatal(err)
		}
	}
	if l.head, err = commit.Save(ctx, l.s, c); err != nil {
		t.Fatal(err)
	}
	return c
}

// history is what a sequence of steps tells of the paths of o: who changed
// which, when. Of one directory that is its marker: whether it is empty changes
// with what is in it, which is not asked for.
func history(t rapid.TB, s chunk.Reader, head tree.Root, steps func(func(commit.Step, error) bool), o commit.StepsOptions) []string {
	t.Helper()
	var all []string
	for step, err := range steps {
		if err != nil {
			t.Fatal(err)
		}
		for c, err := range tree.Diff(context.Background(), s, step.Commit.Tree, s, head, tree.DiffOptions{Storage: true, Prefix: o.Prefix, Expand: true}) {
			if err != nil {
				t.Fatal(err)
			}
			marked := !strings.HasSuffix(c.Path, "/") || !reflect.DeepEqual(c.Old.Marker, c.New.Marker)
			if !o.Exact || c.Path == o.Prefix && marked {
				all = append(all, fmt.Sprintf("%s %s %v %s", step.Op, step.Time, c.Kind, c.Path))
			}
		}
		head = step.Commit.Tree
	}
	return all
}

// walked yields every commit of a history as a step.
func walked(s chunk.Reader, head commit.ID) func(func(commit.Step, error) bool) {
	return func(yield func(commit.Step, error) bool) {
		var newer *commit.Commit
		for e, err := range commit.Log(context.Background(), s, head, commit.LogOptions{FirstParent: true}) {
			if newer != nil && !yield(commit.Step{ID: e.ID, Commit: e.Commit, Time: newer.Time, Op: newer.Op}, err) {
				return
			}
			newer = &e.Commit
		}
		yield(commit.Step{Time: newer.Time, Op: newer.Op}, nil)
	}
}

var names = rapid.SampledFrom([]string{"a", "b", "a/a", "a/b", "b/a", "a/a/a", "a/a/b", "a/b/a", "b/a/b", "ab", "ab/a"})

func drawEdit(t *rapid.T, l *line) tree.Edit {
	path := names.Draw(t, "path")
	attrs := tree.Attrs{ETag: fmt.Sprint(l.n, "-", rapid.IntRange(0, 3).Draw(t, "tag"))}
	switch rapid.IntRange(0, 9).Draw(t, "edit") {
	case 0, 1, 2, 3:
		return tree.Edit{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.File, Attrs: attrs}, SetAttrs: true}
	case 4:
		return tree.Edit{Op: tree.Delete, Path: path}
	case 5:
		return tree.Edit{Op: tree.DeleteDir, Path: path}
	case 6:
		return tree.Edit{Op: tree.Mark, Path: path, Marker: &tree.Marker{Attrs: attrs}, SetAttrs: true}
	case 7:
		return tree.Edit{Op: tree.Mark, Path: path}
	case 8:
		return tree.Edit{Op: tree.MakeDir, Path: path, Entry: tree.Entry{Attrs: attrs}}
	default: // a whole directory in place of what is there
		from, err := tree.Apply(context.Background(), l.s, tree.Root{}, []tree.Edit{
			{Op: tree.Put, Path: names.Draw(t, "inner"), Entry: tree.Entry{Kind: tree.File, Attrs: attrs}, SetAttrs: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		return tree.Edit{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.Dir, Dir: from}, SetAttrs: rapid.Bool().Draw(t, "set")}
	}
}

func TestStepsTellWhatTheWalkDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := &line{s: &chunk.Mem{}}
		for range rapid.IntRange(1, 25).Draw(t, "commits") {
			l.plain = rapid.IntRange(0, 9).Draw(t, "plain") == 0
			var edits []tree.Edit
			for range rapid.IntRange(0, 4).Draw(t, "edits") {
				edits = append(edits, drawEdit(t, l))
			}
			c := l.add(t, edits...)
			if err := commit.CheckIndex(context.Background(), l.s, c); err != nil {
				t.Fatal(err)
			}
		}
		for _, exact := range []bool{false, true} {
			for _, prefix := range []string{"", "a", "a/", "a/a", "a/a/", "a/b/", "a/a/a", "b", "b/", "b/a/b", "ab", "c", "/", "a//", "\xff"} {
				o := commit.StepsOptions{Prefix: prefix, Exact: exact}
				got := history(t, l.s, l.tree, commit.Steps(context.Background(), l.s, l.head, o), o)
				want := history(t, l.s, l.tree, walked(l.s, l.head), o)
				if !slices.Equal(got, want) {
					t.Fatalf("%+v:\n got %s\nwant %s", o, strings.Join(got, "\n     "), strings.Join(want, "\n     "))
				}
			}
		}
	})
}

// counted counts the chunks that are read.
type counted struct {
	chunk.Reader
	n int
}

func (c *counted) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	c.n++
	return c.Reader.Get(ctx, kind, id)
}

func TestStepsReadWhatChanged(t *testing.T) {
	l := &line{s: &chunk.Mem{}}
	put := func(path string) tree.Edit {
		return tree.Edit{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.File, Attrs: tree.Attrs{ETag: fmt.Sprint(l.n, "-")}}, SetAttrs: true}
	}
	for n := range 1000 {
		edits := []tree.Edit{put(fmt.Sprintf("data/%03d/%d", n%50, n))}
		if n%100 == 7 {
			edits = append(edits, put("data/013/here"))
		}
		l.add(t, edits...)
	}
	for _, o := range []commit.StepsOptions{{Prefix: "data/013/here"}, {Prefix: "data/013/here", Exact: true}} {
		r := &counted{Reader: l.s}
		steps := 0
		for _, err := range commit.Steps(context.Background(), r, l.head, o) {
			if err != nil {
				t.Fatal(err)
			}
			steps++
		}
		if steps != 11 { // 10 writes, and the first commit
			t.Errorf("%+v: %d steps", o, steps)
		}
		if r.n > 12*steps {
			t.Errorf("%+v: %d chunks read for %d steps", o, r.n, steps)
		}
	}
}

func TestIndexOfMuch(t *testing.T) {
	l := &line{s: &chunk.Mem{}}
	l.add(t)
	var many []tree.Edit
	for n := range commit.ChangesMax + 1 {
		many = append(many, tree.Edit{Op: tree.Put, Path: fmt.Sprint(n), Entry: tree.Entry{Kind: tree.File}})
	}
	if c := l.add(t, many[1:]...); c.Changes == nil {
		t.Error("no index at the limit")
	}
	for i := range many {
		many[i].Op = tree.Delete
	}
	before := l.head
	if c := l.add(t, append(many[1:], tree.Edit{Op: tree.Put, Path: "x", Entry: tree.Entry{Kind: tree.File}})...); c.Changes != nil {
		t.Error("an index beyond the limit")
	}
	barrier := l.head
	if c := l.add(t, tree.Edit{Op: tree.Delete, Path: "x"}); c.Changes == nil || c.Changes.Since != barrier {
		t.Errorf("after it: %+v", c.Changes)
	}
	var ids []commit.ID
	for s, err := range commit.Steps(context.Background(), l.s, l.head, commit.StepsOptions{Prefix: "x", Exact: true}) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.ID)
	}
	if len(ids) != 3 || ids[0] != barrier || ids[1] != before || !ids[2].IsZero() {
		t.Errorf("steps %v", ids)
	}
}

func TestCheckIndex(t *testing.T) {
	ctx := context.Background()
	l := &line{s: &chunk.Mem{}}
	put := func(path string) tree.Edit {
		return tree.Edit{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.File, Attrs: tree.Attrs{ETag: "x"}}}
	}
	first := l.add(t, put("a"))
	if first.Changes != nil {
		t.Error("the first commit has an index")
	}
	c := l.add(t, put("b"))
	forged := c
	forged.Changes = &commit.Changes{Since: c.Changes.Since, Tree: l.tree}
	other := c
	other.Changes = &commit.Changes{Since: l.head, Tree: c.Changes.Tree}
	for name, bad := range map[string]commit.Commit{"other marks": forged, "another beginning": other} {
		if err := commit.CheckIndex(ctx, l.s, bad); !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A reader is not led astray either.
	id, err := commit.Save(ctx, l.s, forged)
	if err != nil {
		t.Fatal(err)
	}
	for _, err = range commit.Steps(ctx, l.s, id, commit.StepsOptions{}) {
		if err != nil {
			break
		}
	}
	if err == nil {
		t.Error("marks that are none were read")
	}
}
