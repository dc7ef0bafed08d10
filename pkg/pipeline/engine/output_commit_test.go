package engine

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
	"github.com/dvx-io/dvx/pkg/tree"
)

// TestStable holds what stores on disk depend on: a job's ID, the operation
// that publishes it, its datum table and its output commit. A change of any of
// them makes every job run, or every output be committed, once more: it needs
// a new format version.
func TestStable(t *testing.T) {
	s := &chunk.Mem{}
	j := testJob()
	long := "in:/" + strings.Repeat("long/", 300)
	d := output.Delta{Total: 3, Full: true}
	for _, x := range []struct {
		id    string
		files map[string]string
	}{{"in:/a/b%", map[string]string{"x": "1"}}, {long, map[string]string{"y": "2"}}, {"in:/none", map[string]string{}}} {
		key := memo.Key(chunk.Data.Sum(fmt.Append(nil, x.id, x.files)))
		d.Changed = append(d.Changed, output.Datum{Identity: x.id, Key: key, Tree: filesRoot(t, s, x.files)})
	}
	m, err := output.Merge(context.Background(), s, output.Merging{}, d, StampOf(j))
	if err != nil {
		t.Fatal(err)
	}
	id, err := commit.Save(context.Background(), s, OutputCommit(j, m, 3, 0))
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

// filesRoot puts small files into s, in a directory.
func filesRoot(t *testing.T, s chunk.Store, files map[string]string) tree.Root {
	ctx := context.Background()
	root, err := tree.Empty(ctx, s)
	if err != nil {
		t.Fatal(err)
	}
	var edits []tree.Edit
	for p, data := range files {
		c := chunk.Content{Size: int64(len(data))}
		if c.ID, err = s.Put(ctx, chunk.Data, []byte(data)); err != nil {
			t.Fatal(err)
		}
		edits = append(edits, tree.Edit{Op: tree.Put, Path: p, Entry: tree.Entry{Kind: tree.File, Content: c}})
	}
	if root, err = tree.Apply(ctx, s, root, edits); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestOutputCommitIsDeterministic: the commit is encodable and does not depend on who makes it.
func TestOutputCommitIsDeterministic(t *testing.T) {
	j := testJob()
	s := &chunk.Mem{}
	m, err := output.Merge(context.Background(), s, output.Merging{}, output.Delta{Full: true}, StampOf(j))
	if err != nil {
		t.Fatal(err)
	}
	a, b := OutputCommit(j, m, 3, 0), OutputCommit(j, m, 3, 0)
	if encodeCommit(t, a) != encodeCommit(t, b) {
		t.Error("two replays give different commits")
	}
	if n, ok := CountOf(a); !ok || n != 3 {
		t.Errorf("commit says %d datums", n)
	}
	if want := j.Head.Output.Commit.Time.Add(time.Millisecond); !a.Time.Equal(want) {
		t.Errorf("time %v, want %v: after its parent's", a.Time, want)
	}
}
