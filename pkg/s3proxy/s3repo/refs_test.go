package s3repo_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
)

func TestRefs(t *testing.T) {
	s := newStore(t, "images")
	one := s.put("images", "main", map[string]string{"f": "one", "x/f": "one x"})
	two := s.put("images", "main", map[string]string{"f": "two"})
	s.put("images", "feature/x", map[string]string{"f": "feature"})
	hex := one.String()[:8] // a branch that looks like a commit
	s.put("images", hex, map[string]string{"f": "hex branch"})
	s.move(
		repo.CreateTag{Repo: "images", Tag: "v1.2", Commit: one},
		repo.CreateTag{Repo: "images", Tag: "feature/y", Commit: two},
		repo.CreateBranch{Repo: "images", Branch: "empty"},
	)
	b := newBackend(s)
	tests := []struct{ name, bucket, key, want string }{
		{"branch", "images", "main/f", "two"},
		{"branch, deeper", "images", "main/x/f", "one x"},
		{"branch with a slash", "images", "feature/x/f", "feature"},
		{"tag with a slash", "images", "feature/y/f", "two"},
		{"tag with a dot", "images", "v1.2/f", "one"},
		{"whole commit ID", "images", one.String() + "/f", "one"},
		{"commit prefix", "images", two.String()[:6] + "/f", "two"},
		{"commit prefix beside a branch", "images", one.String()[:9] + "/f", "one"},
		{"branch before commit", "images", hex + "/f", "hex branch"},
		{"ancestor", "images", "main~1/f", "one"},
		{"ancestor of a commit", "images", two.String()[:12] + "~/f", "one"},
		{"ancestor of a branch with a slash", "images", "feature/x~0/f", "feature"},
		{"parent", "images", "main^/x/f", "one x"},
		{"time", "images", "main{2100-01-01}/f", "two"},
		{"bucket of a branch", "main.images", "f", "two"},
		{"bucket of a tag with a dot", "v1.2.images", "f", "one"},
		{"bucket of a commit", one.String() + ".images", "f", "one"},
		{"bucket of a commit prefix", two.String()[:10] + ".images", "f", "two"},
		{"bucket of a branch like a commit", hex + ".images", "f", "hex branch"},

		{"missing ref", "images", "nope/f", ""},
		{"missing commit", "images", "0123456789abcdef/f", ""},
		{"five digits", "images", two.String()[:5] + "/f", ""},
		{"upper case", "images", strings.ToUpper(one.String()) + "/f", ""},
		{"part of a ref", "images", "feature/f", ""},
		{"ref alone", "images", "main", ""},
		{"root of a ref", "images", "main/", ""},
		{"repo root", "images", "f", ""},
		{"empty component before", "images", "/main/f", ""},
		{"empty component behind", "images", "main//f", ""},
		{"dot", "images", "main/./f", ""},
		{"dot dot", "images", "main/x/../f", ""},
		{"dot dot as ref", "images", "../main/f", ""},
		{"too far back", "images", "main~9/f", ""},
		{"ancestor of nothing", "images", "empty~1/f", ""},
		{"before the time", "images", "main{2001-01-01}/f", ""},
		{"bad expression", "images", "main{soon}/f", ""},
		{"path in a ref", "images", "main:/x/f", ""},
		{"empty branch", "images", "empty/f", ""},
		{"bucket of an empty branch", "empty.images", "f", ""},
		{"ref in the bucket of one", "main.images", "main/f", ""},
		{"bucket of an expression", "main~1.images", "f", ""},
		{"bucket of a ref with a slash", "feature/x.images", "f", ""},
		{"bucket of a missing ref", "nope.images", "f", ""},
		{"bucket of a missing commit", "0123456789abcdef.images", "f", ""},
		{"bucket of no ref", ".images", "f", ""},
		{"bucket of no repo", "main.", "f", ""},
		{"missing repo", "imagez", "main/f", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, _, ok := read(t, b, tt.bucket, tt.key)
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("%s/%s: got %q, %v, want %q", tt.bucket, tt.key, got, ok, tt.want)
			}
			_, err := b.StatBucket(t.Context(), tt.bucket)
			if tt.want != "" && err != nil {
				t.Errorf("bucket %s: %v", tt.bucket, err)
			}
			if err != nil && !errors.Is(err, s3proxy.ErrNoSuchBucket) {
				t.Errorf("bucket %s: got %v, want %v", tt.bucket, err, s3proxy.ErrNoSuchBucket)
			}
		})
	}
}

// names is a store with the names that a view says, which repo.Direct would
// not let come about.
type names struct {
	*store
	view *repo.View
}

func (n names) View(context.Context) (*repo.View, error) { return n.view, nil }

func TestPrecedence(t *testing.T) {
	s := newStore(t, "images")
	tagged := s.put("images", "main", map[string]string{"f": "tag", "b/f": "tag b"})
	branched := s.put("images", "main", map[string]string{"f": "branch", "b/f": "branch b"})
	v := &repo.View{Gen: 1, Repos: map[string]repo.Repo{"images": {
		Branches: map[string]repo.Branch{"a": {Commit: branched}},
		Tags:     map[string]repo.Tag{"a": {Commit: tagged}, "a/b": {Commit: tagged}},
	}}}
	b := newBackend(names{s, v})
	for key, want := range map[string]string{
		"a/f":   "branch", // before the tag of its name
		"a/b/f": "tag",    // the longest match
	} {
		if got, _, _ := read(t, b, "images", key); got != want {
			t.Errorf("%s holds %q, want %q", key, got, want)
		}
	}
}

func TestListRefs(t *testing.T) {
	s := newStore(t, "images", "new")
	id := s.put("images", "main", map[string]string{"f": "one", "x/f": "one"})
	s.put("images", "feature/x", map[string]string{"g": "two"})
	s.put("images", "feature-1", map[string]string{"g": "two"})
	s.move(repo.CreateTag{Repo: "images", Tag: "feature/a", Commit: id}, repo.CreateBranch{Repo: "images", Branch: "empty"})
	b := newBackend(s)
	tests := []struct {
		bucket string
		q      s3proxy.ListQuery
		want   string
	}{
		{"images", s3proxy.ListQuery{Delimiter: "/"}, "empty/ feature-1/ feature/ main/"},
		{"images", s3proxy.ListQuery{Delimiter: "/", Prefix: "f"}, "feature-1/ feature/"},
		{"images", s3proxy.ListQuery{Delimiter: "/", Prefix: "feature/"}, "feature/a/ feature/x/"},
		{"images", s3proxy.ListQuery{Delimiter: "/", Prefix: "feature/a"}, "feature/a/"},
		{"images", s3proxy.ListQuery{Delimiter: "/", Prefix: "feature/a/"}, "feature/a/f feature/a/x/"},
		{"images", s3proxy.ListQuery{Delimiter: "/", StartAfter: "feature-1/"}, "feature/ main/"},
		{"images", s3proxy.ListQuery{Delimiter: "/", StartAfter: "feature/q"}, "main/"},
		{"images", s3proxy.ListQuery{}, "feature-1/g feature/a/f feature/a/x/f feature/x/g main/f main/x/f"},
		{"images", s3proxy.ListQuery{Prefix: "feature"}, "feature-1/g feature/a/f feature/a/x/f feature/x/g"},
		{"images", s3proxy.ListQuery{StartAfter: "feature/a/f"}, "feature/a/x/f feature/x/g main/f main/x/f"},
		{"images", s3proxy.ListQuery{Delimiter: "x/"}, "feature-1/g feature/a/f feature/a/x/ feature/x/ main/f main/x/"},
		{"images", s3proxy.ListQuery{Prefix: "main"}, "main/f main/x/f"},
		{"images", s3proxy.ListQuery{Prefix: "main/x"}, "main/x/f"},
		{"images", s3proxy.ListQuery{Prefix: "main~0/"}, "main~0/f main~0/x/f"},
		{"images", s3proxy.ListQuery{Prefix: "main~9/"}, ""},
		{"images", s3proxy.ListQuery{Prefix: "main~9/", Delimiter: "/"}, ""},
		{"images", s3proxy.ListQuery{Prefix: "nope/"}, ""},
		{"images", s3proxy.ListQuery{Prefix: "main/../"}, ""},
		{"images", s3proxy.ListQuery{Prefix: "/"}, ""},
		{"images", s3proxy.ListQuery{Prefix: "/", Delimiter: "/"}, ""},
		{"images", s3proxy.ListQuery{Prefix: "empty/"}, ""},
		{"images", s3proxy.ListQuery{Prefix: "empty/", Delimiter: "/"}, ""},
		{"main.images", s3proxy.ListQuery{}, "f x/f"},
		{"main.images", s3proxy.ListQuery{Delimiter: "/"}, "f x/"},
		{"empty.images", s3proxy.ListQuery{}, ""},
		{"empty.images", s3proxy.ListQuery{Delimiter: "/"}, ""},
		{"new", s3proxy.ListQuery{}, ""},
	}
	for _, tt := range tests {
		for _, n := range []int{1, 2, 1000} {
			tt.q.MaxKeys = n
			if got := strings.Join(keys(t, b, tt.bucket, tt.q), " "); got != tt.want {
				t.Errorf("%s %+v:\n got %q\nwant %q", tt.bucket, tt.q, got, tt.want)
			}
		}
	}
	q := s3proxy.ListQuery{Prefix: id.String() + "/", MaxKeys: 10}
	if got := keys(t, b, "images", q); len(got) != 2 || !strings.HasPrefix(got[0], id.String()) {
		t.Errorf("a commit lists %q", got)
	}
}

func TestListBucketsAsPrincipal(t *testing.T) {
	s := newStore(t, "b-repo", "a-repo")
	b := newBackend(s)
	s.move(repo.CreateBranch{Repo: "b-repo", Branch: "dev"}, repo.CreateBranch{Repo: "b-repo", Branch: "no/bucket"})
	all, err := b.ListBuckets(t.Context())
	if err != nil || len(all) != 3 || all[0].Name != "a-repo" || all[1].Name != "b-repo" || all[2].Name != "dev.b-repo" || all[0].Created.IsZero() {
		t.Errorf("buckets %+v, %v", all, err)
	}
	for principal, want := range map[any]int{
		auth.Principal{Name: "ann"}: 1,
		auth.Owner:                  3,
		auth.Principal{}:            0,
		"owner":                     0,
		nil:                         0,
	} {
		b := newRuled(s)
		all, err := b.ListBuckets(s3proxy.WithPrincipal(t.Context(), principal))
		if err != nil || len(all) != want {
			t.Errorf("%v sees %+v, %v, want %d buckets", principal, all, err, want)
		}
	}
}
