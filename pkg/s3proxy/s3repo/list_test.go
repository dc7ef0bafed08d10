package s3repo_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// oddKeys are legal in S3 and in a tree, some on no disk.
var oddKeys = []string{
	"a", "a/b", "a/b/c", "a-", "a.", "a0", "a/\x01", "a/~", "~/a", " ", " /x", "x ", "é", "e\u0301", "日本/語", "\U0001F600/\uFFFF",
	"con", "NUL.txt", "a\\b", "a:b", "*?", "<&>", "%41", "+", "q?x=1&y", "#", "line\nfeed", strings.Repeat("n", 1000), "z/y/x/w/v/u", "\x7f", ".dvx/x", "...",
}

func oddStore(t testing.TB) *store {
	s := newStore(t, "odd")
	files := map[string]string{}
	for _, k := range oddKeys {
		files[k] = k
	}
	s.put("odd", "main", files)
	s.put("odd", "main-2", files)
	s.edit("odd", "main",
		tree.Edit{Op: tree.Mark, Path: "a", Marker: &tree.Marker{}},
		tree.Edit{Op: tree.Mark, Path: "z/y", Marker: &tree.Marker{}},
		tree.Edit{Op: tree.MakeDir, Path: "a0/void", Entry: tree.Entry{Kind: tree.Dir}},
		tree.Edit{Op: tree.MakeDir, Path: "void", Entry: tree.Entry{Kind: tree.Dir}},
	)
	return s
}

// rolled is what q must list of keys, worked out without paging.
func rolled(keys []string, q s3proxy.ListQuery) []string {
	set := map[string]bool{}
	for _, k := range keys {
		rest, ok := strings.CutPrefix(k, q.Prefix)
		if !ok {
			continue
		}
		if i := strings.Index(rest, q.Delimiter); q.Delimiter != "" && i >= 0 {
			k = q.Prefix + rest[:i+len(q.Delimiter)]
		}
		if k > q.StartAfter {
			set[k] = true
		}
	}
	return append([]string{}, slices.Sorted(maps.Keys(set))...)
}

func TestListOddKeys(t *testing.T) {
	b := newBackend(oddStore(t))
	for bucket, prefix := range map[string]string{"odd": "main/", "main.odd": ""} {
		all := []string{"a/", "z/y/", "a0/void/", "void/"}
		all = append(all, oddKeys...)
		for i := range all {
			all[i] = prefix + all[i]
		}
		slices.Sort(all)
		if prefix != "" {
			for _, k := range oddKeys {
				all = append(all, "main-2/"+k)
			}
			slices.Sort(all)
		}
		var cuts []string // all beginnings of keys, and what is around them
		for _, k := range all {
			for i := range k {
				if i < 40 {
					cuts = append(cuts, k[:i], k[:i]+"/", k[:i]+"//", k[:i]+"\x00", k[:i]+"\U0010FFFF")
				}
			}
			cuts = append(cuts, k, k+"/", k+"\x00", k+"/\xff")
		}
		rapid.Check(t, func(rt *rapid.T) {
			q := s3proxy.ListQuery{
				Prefix:     rapid.SampledFrom(append(cuts, "", "", "")).Draw(rt, "prefix"),
				Delimiter:  rapid.SampledFrom([]string{"", "/", "/", "a", "//", "b/", "é"}).Draw(rt, "delimiter"),
				StartAfter: rapid.SampledFrom(append(cuts, "", "", "\xff")).Draw(rt, "start"),
				MaxKeys:    rapid.SampledFrom([]int{1, 2, 5, 1000}).Draw(rt, "max"),
			}
			want := rolled(all, q)
			if got := keys(t, b, bucket, q); !slices.Equal(got, want) {
				rt.Fatalf("%s %+v\nlists %q,\n want %q", bucket, q, got, want)
			}
		})
		for _, k := range all {
			want := strings.TrimPrefix(strings.TrimPrefix(k, "main-2/"), prefix)
			if strings.HasSuffix(k, "/") {
				want = ""
			}
			if got, info, ok := read(t, b, bucket, k); !ok || got != want || info.Key != k {
				t.Errorf("%q: got %q, %v", k, got, ok)
			}
		}
	}
}

// FuzzKey holds that a key can be opened exactly if it is listed, whatever it
// is, and that nothing is found outside of the refs.
func FuzzKey(f *testing.F) {
	s := oddStore(f)
	b := newBackend(s)
	v, err := s.View(owner(f))
	if err != nil {
		f.Fatal(err)
	}
	head := v.Repos["odd"].Branches["main"].Commit.String()
	for _, k := range oddKeys {
		f.Add("odd", "main/"+k)
		f.Add("main.odd", k+"/")
	}
	for _, ref := range []string{head, head[:6], "main~1", "main^", "main{2100-01-01}", "main~9", "main~", "/main", "main/", "main/.", "..", "main~1~", "main{"} {
		f.Add("odd", ref+"/a/b")
		f.Add(ref+".odd", "a/b")
	}
	f.Fuzz(func(t *testing.T, bucket, key string) {
		if key == "" {
			return
		}
		_, info, ok := read(t, b, bucket, key)
		page, err := b.List(t.Context(), bucket, s3proxy.ListQuery{Prefix: key, MaxKeys: 1})
		if err != nil && !errors.Is(err, s3proxy.ErrNoSuchBucket) {
			t.Fatalf("list %q %q: %v", bucket, key, err)
		}
		if is := len(page.Objects) == 1 && page.Objects[0].Key == key; is != ok {
			t.Fatalf("%q %q: opened %v, listed %+v", bucket, key, ok, page.Objects)
		}
		if ok && info.Key != key {
			t.Fatalf("%q was opened as %q", key, info.Key)
		}
		if _, rest, _ := strings.Cut(key, "/"); ok && bucket == "odd" && tree.CheckPath(rest) != nil {
			t.Fatalf("%q is no path and was opened", key)
		}
	})
}

// A page costs what leads to it and what is on it, wherever it is in however
// large a tree.
func TestListCost(t *testing.T) {
	s := newStore(t, "big")
	s.change("big", "main", func(ctx context.Context, d *repo.Draft) (tree.Root, error) {
		return tree.Build(ctx, d, func(yield func(string, tree.Entry) bool) {
			for i := range 50 {
				for j := range 1000 {
					if !yield(fmt.Sprintf("deep/%02d/%04d", i, j), tree.Entry{Kind: tree.File}) {
						return
					}
				}
			}
			for i := range 50_000 {
				if !yield(fmt.Sprintf("flat/%05d", i), tree.Entry{Kind: tree.File}) {
					return
				}
			}
		})
	})
	b := newBackend(s)
	const most = 16 // a node holds 256 entries in the mean, so a page of 1,000 lies in 5 or 6
	tests := []struct {
		q    s3proxy.ListQuery
		want int
	}{
		{s3proxy.ListQuery{}, 1000},
		{s3proxy.ListQuery{MaxKeys: 1}, 1},
		{s3proxy.ListQuery{Prefix: "flat/"}, 1000},
		{s3proxy.ListQuery{Prefix: "flat/", Delimiter: "/", StartAfter: "flat/30000"}, 1000},
		{s3proxy.ListQuery{Prefix: "flat/4999"}, 10},
		{s3proxy.ListQuery{StartAfter: "flat/49990"}, 9},
		{s3proxy.ListQuery{StartAfter: "deep/25/0500"}, 1000},
		{s3proxy.ListQuery{Delimiter: "/"}, 2},
		{s3proxy.ListQuery{Delimiter: "/", Prefix: "deep/"}, 50},
		{s3proxy.ListQuery{Delimiter: "/", Prefix: "deep/", StartAfter: "deep/48/"}, 1},
		{s3proxy.ListQuery{Delimiter: "/", Prefix: "deep/31/"}, 1000},
		{s3proxy.ListQuery{Prefix: "nothing"}, 0},
		{s3proxy.ListQuery{StartAfter: "z"}, 0},
	}
	for _, tt := range tests {
		if tt.q.MaxKeys == 0 {
			tt.q.MaxKeys = 1000
		}
		s.reads.Store(0)
		page, err := b.List(t.Context(), "main.big", tt.q)
		if n := len(page.Objects) + len(page.CommonPrefixes); err != nil || n != tt.want {
			t.Errorf("%+v: %d entries, %v, want %d", tt.q, n, err, tt.want)
		}
		n := s.reads.Load()
		t.Logf("%+v: %d entries for %d reads", tt.q, tt.want, n)
		if n > most {
			t.Errorf("%+v: read %d chunks, want at most %d", tt.q, n, most)
		}
	}
	s.reads.Store(0)
	if _, err := b.List(t.Context(), "big", s3proxy.ListQuery{Delimiter: "/", MaxKeys: 10}); err != nil || s.reads.Load() != 0 {
		t.Errorf("listing refs read %d chunks, %v, want 0", s.reads.Load(), err)
	}
	s.reads.Store(0)
	if _, _, ok := read(t, b, "main.big", "flat/25000"); !ok || s.reads.Load() > 6 {
		t.Errorf("opening a key: %v, read %d chunks, want at most 6", ok, s.reads.Load())
	}
}

// The pages of a commit's list search its history once.
func TestSearchIsRemembered(t *testing.T) {
	s := newStore(t, "r")
	first := s.put("r", "main", map[string]string{"f": "0"})
	for i := range 100 {
		s.put("r", "main", map[string]string{"f": fmt.Sprint(i + 1)})
	}
	b := newBackend(s)
	for _, key := range []string{first.String() + "/f", "main~100/f"} {
		s.reads.Store(0)
		if got, _, _ := read(t, b, "r", key); got != "0" || s.reads.Load() < 100 {
			t.Fatalf("%s: got %q in %d reads: nothing was searched", key, got, s.reads.Load())
		}
		s.reads.Store(0)
		if got, _, _ := read(t, b, "r", key); got != "0" || s.reads.Load() > 5 {
			t.Errorf("%s again: got %q in %d reads, want at most 5", key, got, s.reads.Load())
		}
	}
	for range 2 {
		s.reads.Store(0)
		if _, _, ok := read(t, b, "r", "00000000/f"); ok {
			t.Error("a commit that is not there was found")
		}
	}
	if n := s.reads.Load(); n != 0 {
		t.Errorf("looking for a missing commit again read %d chunks", n)
	}
	s.put("r", "main", map[string]string{"f": "new"})
	if got, _, _ := read(t, b, "r", "main~100/f"); got != "1" {
		t.Errorf("after a move main~100 holds %q, want 1", got)
	}
}
