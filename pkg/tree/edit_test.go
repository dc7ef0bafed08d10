package tree

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/chunk"
)

func sortedCopy(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return names
}

func at(ms int64) Attrs { return Attrs{Time: time.UnixMilli(ms).UTC()} }

// attrsOf returns the time of each file's Attrs in milliseconds.
func attrsOf(t *testing.T, s chunk.Store, root Root) map[string]int64 {
	t.Helper()
	out := map[string]int64{}
	for e, err := range Open(s, root).Walk(context.Background(), WalkOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		out[e.Path] = e.Attrs.Time.UnixMilli()
	}
	return out
}

func TestAttrsFollowContent(t *testing.T) {
	ctx := context.Background()
	s := &chunk.Mem{}
	put := func(path string, seed uint64, ms int64, set bool) Edit {
		e := file(seed)
		e.Attrs = at(ms)
		return Edit{Op: Put, Path: path, Entry: e, SetAttrs: set}
	}
	base := apply(t, s, Root{}, put("d/a", 1, 10, false), put("d/b", 2, 10, false), put("d/c", 3, 10, false))
	got := apply(t, s, base, put("d/a", 1, 20, false), put("d/b", 9, 20, false), put("d/c", 3, 20, true))
	if d := cmp.Diff(map[string]int64{"d/a": 10, "d/b": 20, "d/c": 20}, attrsOf(t, s, got)); d != "" {
		t.Error(d)
	}
	same := apply(t, s, base, put("d/c", 3, 20, true))
	if same.Content != base.Content || same.ID == base.ID {
		t.Errorf("attributes count for %v and %v", same, base)
	}
	if c := diff(t, s, base, same, DiffOptions{}); len(c) != 0 {
		t.Errorf("content differs: %v", c)
	}
	if c := diff(t, s, base, same, DiffOptions{Storage: true}); len(c) != 1 || c[0].Path != "d/c" {
		t.Errorf("storage differs by %v", c)
	}

	// A directory put in place of another keeps what is equal in it.
	fresh := apply(t, s, Root{}, put("a", 1, 30, false), put("b", 8, 30, false))
	got = apply(t, s, base, Edit{Op: Put, Path: "d", Entry: Entry{Kind: Dir, Dir: fresh}})
	if d := cmp.Diff(map[string]int64{"d/a": 10, "d/b": 30}, attrsOf(t, s, got)); d != "" {
		t.Error(d)
	}
	got = apply(t, s, base, Edit{Op: Put, Path: "d", Entry: Entry{Kind: Dir, Dir: fresh}, SetAttrs: true})
	if d := cmp.Diff(map[string]int64{"d/a": 30, "d/b": 30}, attrsOf(t, s, got)); d != "" {
		t.Error(d)
	}

	stamp := at(40)
	whole := apply(t, s, Root{}, Edit{Op: Put, Path: "d", Entry: Entry{Kind: Dir, Dir: fresh}}, put("e/f/g", 1, 30, false))
	got, err := Adopt(ctx, s, base, whole, &stamp)
	if err != nil || got.Content != whole.Content {
		t.Fatalf("%+v, %v; want content %v", got, err, whole.Content)
	}
	if d := cmp.Diff(map[string]int64{"d/a": 10, "d/b": 40, "e/f/g": 40}, attrsOf(t, s, got)); d != "" {
		t.Error(d)
	}
}

// TestAdoptMakesContent adopts random directories: the content is the new
// one's, and without a stamp nothing new is in the way.
func TestAdoptMakesContent(t *testing.T) {
	rngModels(t, 40, func(t *testing.T, s *chunk.Mem, a, b Root) {
		for _, stamp := range []*Attrs{nil, {Op: OpID{1}}} {
			got, err := Adopt(context.Background(), s, a, b, stamp)
			if err != nil || got.Content != b.Content || got.Files != b.Files || got.Bytes != b.Bytes {
				t.Fatalf("got %+v, %v; want the content of %+v", got, err, b)
			}
			if err := Verify(context.Background(), s, got); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestDirectoriesComeAndGo(t *testing.T) {
	s := &chunk.Mem{}
	f := Entry{Kind: File}
	marker := &Marker{Attrs: at(1)}
	base := []Edit{{Op: Put, Path: "a/b/c", Entry: f}, {Op: Put, Path: "m/x", Entry: f}, {Op: Mark, Path: "m", Marker: marker}, {Op: MakeDir, Path: "e"}}
	for _, tt := range []struct {
		name  string
		edits []Edit
		want  []string
	}{
		{"last entry", []Edit{{Op: Delete, Path: "a/b/c"}}, []string{"e/", "m/", "m/x"}},
		{"last entry of a marked directory", []Edit{{Op: Delete, Path: "m/x"}}, []string{"a/", "a/b/", "a/b/c", "e/", "m/"}},
		{"marker too", []Edit{{Op: Delete, Path: "m/x"}, {Op: Mark, Path: "m"}}, []string{"a/", "a/b/", "a/b/c", "e/"}},
		{"marker alone", []Edit{{Op: Mark, Path: "m"}}, []string{"a/", "a/b/", "a/b/c", "e/", "m/", "m/x"}},
		{"whole directory", []Edit{{Op: DeleteDir, Path: "a/"}}, []string{"e/", "m/", "m/x"}},
		{"what is not there", []Edit{{Op: Delete, Path: "a"}, {Op: DeleteDir, Path: "a/b/c"}, {Op: Delete, Path: "e/x"}, {Op: Mark, Path: "n"}}, []string{"a/", "a/b/", "a/b/c", "e/", "m/", "m/x"}},
		{"directory anew", []Edit{{Op: DeleteDir, Path: "a"}, {Op: Put, Path: "a/d", Entry: f}}, []string{"a/", "a/d", "e/", "m/", "m/x"}},
		{"later edit holds", []Edit{{Op: Put, Path: "a/d", Entry: f}, {Op: DeleteDir, Path: "a"}}, []string{"e/", "m/", "m/x"}},
		{"file beside directory", []Edit{{Op: Put, Path: "m", Entry: f}, {Op: DeleteDir, Path: "a"}}, []string{"e/", "m", "m/", "m/x"}},
		{"marked from nothing", []Edit{{Op: Mark, Path: "p/q", Marker: marker}, {Op: DeleteDir, Path: "a"}}, []string{"e/", "m/", "m/x", "p/", "p/q/"}},
		{"emptied on purpose", []Edit{{Op: MakeDir, Path: "a/b"}, {Op: Delete, Path: "a/b/c"}}, []string{"a/", "a/b/", "e/", "m/", "m/x"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := apply(t, s, apply(t, s, Root{}, base...), tt.edits...)
			if d := cmp.Diff(tt.want, walked(t, s, root, WalkOptions{Dirs: true})); d != "" {
				t.Error(d)
			}
			if err := Verify(context.Background(), s, root); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestEditsRefused(t *testing.T) {
	s := &chunk.Mem{}
	dir := apply(t, s, Root{}, Edit{Op: Put, Path: "x", Entry: Entry{Kind: File}})
	lie := dir
	lie.Content = fill[ContentID](1)
	more := dir
	more.Files++
	big := map[string]string{"k": strings.Repeat("v", AttrsSizeMax)}
	for name, e := range map[string]Edit{
		"no op":             {Path: "a"},
		"no path":           {Op: Delete},
		"absolute path":     {Op: Delete, Path: "/a"},
		"dots":              {Op: Delete, Path: "a/../b"},
		"slash after file":  {Op: Put, Path: "a/", Entry: Entry{Kind: File}},
		"no kind":           {Op: Put, Path: "a"},
		"NUL":               {Op: Put, Path: "a\x00", Entry: Entry{Kind: File}},
		"not UTF-8":         {Op: Put, Path: "a\xff", Entry: Entry{Kind: File}},
		"too deep":          {Op: Put, Path: strings.Repeat("a/", PathDepthMax) + "a", Entry: Entry{Kind: File}},
		"too long":          {Op: Put, Path: strings.Repeat(strings.Repeat("a", 1000)+"/", 4) + strings.Repeat("b", 100), Entry: Entry{Kind: File}},
		"name too long":     {Op: Put, Path: strings.Repeat("a", NameSizeMax+1), Entry: Entry{Kind: File}},
		"attributes":        {Op: Put, Path: "a", Entry: Entry{Kind: File, Attrs: Attrs{Meta: big}}},
		"microseconds":      {Op: Put, Path: "a", Entry: Entry{Kind: File, Attrs: Attrs{Time: time.UnixMicro(1)}}},
		"marker attributes": {Op: Mark, Path: "a", Marker: &Marker{Attrs: Attrs{Meta: big}}},
		"marker on a file":  {Op: Put, Path: "a", Entry: Entry{Kind: File, Marker: &Marker{}}},
		"content lie":       {Op: Put, Path: "a", Entry: Entry{Kind: Dir, Dir: lie}},
		"totals lie":        {Op: Put, Path: "a", Entry: Entry{Kind: Dir, Dir: more}},
	} {
		if root, err := Apply(context.Background(), s, dir, []Edit{e}); !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%s: %+v, %v", name, root, err)
		}
		if e.Op == Put {
			b := NewBuilder(s)
			if err := b.Add(context.Background(), e.Path, e.Entry); err == nil && name != "slash after file" {
				t.Errorf("%s: built", name)
			}
		}
	}
}

// TestForcedSplits edits a directory without natural ends in many ways: nodes
// stay bounded, and the result is what building it gives.
func TestForcedSplits(t *testing.T) {
	names := plainNames(7000)
	rngEdits(t, names)
}
