package s3repo_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// versions lists what q asks for, page by page, as one line for each version.
func versions(t testing.TB, w *writing, q s3proxy.VersionQuery) (all []string) {
	t.Helper()
	for {
		page, err := w.ListVersions(w.ctx, "main.zoo", q)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Versions {
			all = append(all, fmt.Sprintf("%s %s %v %v %d", v.Key, v.VersionID, v.DeleteMarker, v.Latest, v.Size))
		}
		all = append(all, page.CommonPrefixes...)
		if !page.Truncated {
			return all
		}
		q.KeyMarker, q.VersionMarker = page.NextKey, page.NextVersion
	}
}

func TestVersionsReadWhatTheyList(t *testing.T) {
	w := newWriting(t, "zoo")
	for n := range 1000 {
		files := map[string]string{fmt.Sprintf("data/%03d/%d", n%50, n): "x"}
		if n%100 == 7 {
			files["data/013/here"] = fmt.Sprint(n)
		}
		w.s.put("zoo", "main", files)
	}
	b := s3repo.New(w.s, anyone{})
	w.s.reads.Store(0)
	page, err := b.ListVersions(w.ctx, "main.zoo", s3proxy.VersionQuery{Prefix: "data/013/here", MaxKeys: 1000})
	if err != nil {
		t.Fatal(err)
	}
	if len(page.Versions) != 10 {
		t.Fatalf("%d versions", len(page.Versions))
	}
	if reads := w.s.reads.Load(); reads > 120 {
		t.Errorf("%d chunks read to list 10 versions", reads)
	}
	for _, v := range page.Versions {
		w.s.reads.Store(0)
		o, err := b.Open(w.ctx, s3proxy.ObjectName{Bucket: "main.zoo", Key: v.Key, VersionID: v.VersionID})
		if err != nil {
			t.Fatal(err)
		}
		if o.Info().ETag != v.ETag {
			t.Errorf("version %s: %+v", v.VersionID, o.Info())
		}
		if reads := w.s.reads.Load(); reads > 120 {
			t.Errorf("%d chunks read to open a version", reads)
		}
	}
}

func TestVersionsPageByPage(t *testing.T) {
	w := newWriting(t, "zoo")
	rng := rand.New(rand.NewPCG(1, 2))
	paths := []string{"a", "a/b", "a/c", "b", "b/a/x", "b/a/y", "b/c", "c", "d/"}
	for n := range 60 {
		path := paths[rng.IntN(len(paths))]
		switch rng.IntN(4) {
		case 0:
			w.delete("main.zoo", path, "")
		case 1:
			w.s.edit("zoo", "main", tree.Edit{Op: tree.DeleteDir, Path: "b"})
		default:
			w.put("main.zoo", path, fmt.Sprint(n))
		}
	}
	for _, prefix := range []string{"", "a", "b/", "b/a", "d/", "x"} {
		for _, delimiter := range []string{"", "/", "a"} {
			q := s3proxy.VersionQuery{Prefix: prefix, Delimiter: delimiter, MaxKeys: 1000}
			want := versions(t, w, q)
			for _, size := range []int{1, 2, 3, 7} {
				q.MaxKeys = size
				if got := versions(t, w, q); !sameLines(got, want) {
					t.Errorf("%+v: got %q, want %q", q, got, want)
				}
			}
		}
	}
}

// sameLines compares listings, in which pages have their prefixes at the end.
func sameLines(a, b []string) bool {
	return slices.Equal(slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b)))
}
