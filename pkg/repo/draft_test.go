package repo

import (
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// TestDraftStamps makes the same edits at once and one by one: both give
// files, and not directories, the commit's time and operation, unless they
// have their own.
func TestDraftStamps(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_000).UTC()
	d := &Draft{Store: &chunk.Mem{}, Time: at, Op: OpID{1}}
	edits := func() []tree.Edit {
		return []tree.Edit{
			{Op: tree.MakeDir, Path: "a"},
			{Op: tree.Put, Path: "b/own", Entry: tree.Entry{Kind: tree.File, Attrs: tree.Attrs{Time: at.Add(-time.Hour), Op: tree.OpID{2}}}},
			{Op: tree.Put, Path: "b/plain", Entry: tree.Entry{Kind: tree.File}},
		}
	}
	want, err := d.Apply(t.Context(), edits())
	if err != nil {
		t.Fatal(err)
	}
	got, err := d.ApplySorted(t.Context(), func(yield func(tree.Edit, error) bool) {
		for _, e := range edits() {
			if !yield(e, nil) {
				return
			}
		}
	})
	if err != nil || got != want {
		t.Fatalf("one by one %+v, %v; at once %+v", got, err, want)
	}
	v := tree.Open(d, got)
	for path, attrs := range map[string]tree.Attrs{
		"a/":      {},
		"b/own":   {Time: at.Add(-time.Hour), Op: tree.OpID{2}},
		"b/plain": d.Attrs(),
	} {
		e, err := v.Lookup(t.Context(), path)
		if err != nil || !e.Attrs.Time.Equal(attrs.Time) || e.Attrs.Op != attrs.Op {
			t.Errorf("%s has %+v, %v; want %+v", path, e.Attrs, err, attrs)
		}
	}
}
