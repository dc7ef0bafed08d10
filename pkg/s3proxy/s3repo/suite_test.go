package s3repo_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3proxytest"
	"github.com/dvx-io/dvx/pkg/tree"
)

// TestSuite runs the suite on each form in which a version can be named.
func TestSuite(t *testing.T) {
	for _, form := range []struct {
		name string
		// place returns where the files of the branch feature/x, and of its
		// commit id, are.
		place func(id commit.ID) (bucket, prefix string)
	}{
		{"branch", func(commit.ID) (string, string) { return "images", "feature/x/" }},
		{"ancestor", func(commit.ID) (string, string) { return "images", "feature/x~2/" }},
		{"commit", func(id commit.ID) (string, string) { return "images", id.String() + "/" }},
		{"bucket of a tag", func(commit.ID) (string, string) { return "v1.0.images", "" }},
	} {
		t.Run(form.name, func(t *testing.T) {
			s3proxytest.Run(t, func(t testing.TB, objects map[string]string) (s3proxy.Backend, string, string) {
				s := newStore(t, "images", "other")
				id := s.put("images", "feature/x", objects)
				s.move(createTag("images", "v1.0", id))
				s.put("images", "feature/y", map[string]string{"beside": "the prefix"})
				s.put("images", "feature/x", map[string]string{"~": "later"})
				s.edit("images", "feature/x", tree.Edit{Op: tree.Delete, Path: "~"})
				bucket, prefix := form.place(id)
				return listed{newBackend(s), bucket}, bucket, prefix
			})
		})
	}
}

// listed lists one bucket more: the suite looks for its bucket in the list, and
// those of one ref are not there.
type listed struct {
	s3proxy.Backend
	name string
}

func (l listed) ListBuckets(ctx context.Context) ([]s3proxy.BucketInfo, error) {
	all, err := l.Backend.ListBuckets(ctx)
	if strings.Contains(l.name, ".") {
		all = append(all, s3proxy.BucketInfo{Name: l.name})
	}
	slices.SortFunc(all, func(a, b s3proxy.BucketInfo) int { return strings.Compare(a.Name, b.Name) })
	return all, err
}
