package pipeline

import (
	"context"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
)

// TestStable holds what stores on disk depend on: a job's ID, the operation
// that publishes it, its datum table and its output commit. A change of any of
// them makes every job run, or every output be committed, once more: it needs
// a new format version.
func TestStable(t *testing.T) {
	s := &chunk.Mem{}
	j := testJob()
	long := "in:/" + strings.Repeat("long/", 300)
	now := outputs{"in:/a/b%": {"x": "1"}, long: {"y": "2"}, "in:/none": {}}
	m, err := MergeOutput(context.Background(), s, Merging{}, delta(t, s, nil, now, true), stampOf(j))
	if err != nil {
		t.Fatal(err)
	}
	id, err := commit.Save(context.Background(), s, OutputCommit(j, m, 3))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, got, want string }{
		{"job", j.ID.String(), "5412e12844f8eb7d126c0d7f90fbeedabdf42952a7a257659ca9f4332542e4df"},
		{"operation", PublishOp(j).String(), "737690abfaaa6ef6ec8eb0c06d0b848c"},
		{"datum table", m.Table.ID.String(), "d341d1cbdb559510c3731ab8178113aef90e5708ef87d0f164fe5d54fc148912"},
		{"output tree", m.Tree.ID.String(), "c84f557ce9e46837ecc540f68f3d6695e7ee34b505e8dfbf03ed2d470ad000b6"},
		{"output commit", id.String(), "0da4736518ce35269fa386939e8e446a66462af0b5225eb627460af072c55e09"},
	} {
		if c.got != c.want {
			t.Errorf("%s is %s, want %s", c.what, c.got, c.want)
		}
	}
}
