package pack

import (
	"fmt"
	"slices"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

// TestInventoryAndFilter numbers three sessions' chunks, of which all share
// one, and leaves one session's packs out.
func TestInventoryAndFilter(t *testing.T) {
	st := open(t, mem.New(mem.Options{}), Options{})
	var segs []string
	shared := chunk.Data.Sum([]byte("shared"))
	for i, name := range []string{name2, name3, name1} {
		s := session(t, st, nil, name)
		put(t, s, chunk.Data, "shared")
		put(t, s, chunk.Data, fmt.Sprint("own ", i))
		put(t, s, chunk.Node, fmt.Sprint("node ", i))
		flush(t, s)
		segs = append(segs, s.Segments()...)
	}
	snap := snapshot(t, st, segs...)
	before, err := snapshot(t, st, segs[1]).Inventory(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := snap.Inventory(t.Context(), before)
	if err != nil {
		t.Fatal(err)
	}
	if before.Len() != 3 || len(before.Packs) != 2 || !slices.Equal(v.Packs[:2], before.Packs) {
		t.Errorf("%d entries, packs %v, later %v", before.Len(), before.Packs, v.Packs)
	}
	if err := v.Each(before.Len(), func(at, pack int, _ *Entry) error {
		if at < before.Len() || pack < 2 {
			t.Errorf("entry %d in pack %d is not new", at, pack)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	third := func(p int) bool { session, _, _ := ParseKey(v.Packs[p].Key); return session == name1 }
	if got := v.SegmentsOf(third); len(got) != 1 || got[0] != segs[2] {
		t.Errorf("segments of the third session's packs: %v", got)
	}
	if len(v.Packs) != 6 || v.Len() != 9 {
		t.Fatalf("%d packs, %d entries", len(v.Packs), v.Len())
	}
	seen := map[int]bool{}
	newest := -1
	if err := v.Each(0, func(at, pack int, e *Entry) error {
		if seen[at] || at < 0 || at >= v.Len() || v.Packs[pack].Meta != e.Kind.Meta() {
			t.Errorf("entry %d in pack %d", at, pack)
		}
		seen[at] = true
		found, _, ok := v.Find(e.Kind, &e.ID)
		if !ok || found != at && e.ID != shared {
			t.Errorf("entry %d was found at %d, %v", at, found, ok)
		}
		if e.ID == shared && found == at {
			newest = pack
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if session, _, err := ParseKey(v.Packs[newest].Key); err != nil || session != max(name1, name2, name3) {
		t.Errorf("the shared chunk was found in %s, %v", session, err)
	}
	if _, _, ok := v.Find(chunk.Node, &shared); ok {
		t.Error("found a chunk of another kind")
	}
	drop := func(key string) bool { session, _, _ := ParseKey(key); return session == name3 }
	key, err := st.FilterSegments(t.Context(), name1, 7, segs, drop)
	if err != nil {
		t.Fatal(err)
	}
	if !IsMerged(key) || IsMerged(segs[0]) || IsMerged("packs/x/m1") {
		t.Error("merged segments are not told from others")
	}
	if _, err := st.VerifySegment(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	left := snapshot(t, st, key)
	wantText(t, left, chunk.Data, "shared")
	for i := range 3 {
		got, err := left.Has(t.Context(), chunk.Node, chunk.Node.Sum([]byte(fmt.Sprint("node ", i))))
		if want := i != 1; got != want || err != nil {
			t.Errorf("node %d: %v, %v", i, got, err)
		}
	}
	key, err = st.FilterSegments(t.Context(), name1, 8, segs, func(string) bool { return true })
	if err != nil || key != "" {
		t.Errorf("everything left out: %q, %v", key, err)
	}
}
