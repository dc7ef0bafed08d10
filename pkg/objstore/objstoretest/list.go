package objstoretest

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// listKeys sort differently by component and by byte: '-' and '.' come before
// '/', digits after it.
func listKeys() []string {
	ks := []string{
		"a-b", "a.b", "a/0", "a/b/c", "a/b/d", "a/b-c", "a/b0", "a0", "ab", "b/x", "b/y/z", "c", "dvx.json", "root",
		"packs/01/2", "packs/01/10", "packs/010/1", "packs/01-x/1", "zz/zz/zz/zz",
	}
	sort.Strings(ks)
	return ks
}

func testList(t *testing.T, s objstore.Store) {
	all := listKeys()
	for i := range all { // written out of order
		key := all[(i*7)%len(all)]
		create(t, s, key, key)
	}
	prefixes := []string{"", "a", "a/", "a/b", "a/b/", "a/b/c", "a/b/c/", "b", "packs/", "packs/01", "packs/01/", "zz/zz", "nope", "~", "/", "a//"}
	afters := append([]string{"", "a", "a/", "a/b", "a/b/c", "a/b/cc", "packs/01/", "packs/01/10", "zzz", "~", "!", "a/~"}, all...)
	for _, prefix := range prefixes {
		for _, after := range afters {
			var want []string
			for _, k := range all {
				if strings.HasPrefix(k, prefix) && k > after {
					want = append(want, k)
				}
			}
			if diff := cmp.Diff(want, keys(t, s, prefix, after)); diff != "" {
				t.Errorf("list %q after %q (-want +got):\n%s", prefix, after, diff)
			}
		}
	}
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		if info.Size != int64(len(info.Key)) {
			t.Errorf("list says %d bytes for %s", info.Size, info.Key)
		}
		stat, err := s.Stat(t.Context(), info.Key)
		if err != nil || info.Version != "" && info.Version != stat.Version {
			t.Errorf("list says %+v, stat %+v, %v", info, stat, err)
		}
	}
}

func testListStops(t *testing.T, s objstore.Store) {
	for _, key := range listKeys() {
		create(t, s, key, "x")
	}
	seq := s.List(t.Context(), "", "")
	for round := range 2 { // a sequence may be ranged over again
		var got []string
		for info, err := range seq {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, info.Key); len(got) == 3 {
				break
			}
		}
		if diff := cmp.Diff(listKeys()[:3], got); diff != "" {
			t.Errorf("round %d (-want +got):\n%s", round, diff)
		}
	}
}

// testListMany makes more objects than the page that the suite asks S3
// implementations to test with holds, and deletes some while listing.
func testListMany(t *testing.T, s objstore.Store) {
	const n = 120
	var want []string
	for i := range n {
		key := fmt.Sprintf("many/%d/%03d", i%3, i)
		create(t, s, key, "x")
		want = append(want, key)
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, keys(t, s, "many/", "")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	var seen []string
	for info, err := range s.List(t.Context(), "many/", "") {
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, info.Key)
		if err := s.Delete(t.Context(), info.Key); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("listing while deleting what was listed (-want +got):\n%s", diff)
	}
	if left := keys(t, s, "", ""); len(left) != 0 {
		t.Errorf("left after deleting all: %q", left)
	}
}
