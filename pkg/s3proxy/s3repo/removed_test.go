package s3repo_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// shelf is what S3 holds of one key: versions and markers, the newest first.
type shelf []shelved

type shelved struct{ id, content string } // a marker's content is "-"

func (s shelf) content() string {
	if len(s) == 0 {
		return "-"
	}
	return s[0].content
}

// lines is the shelf as versions lists it.
func (s shelf) lines(key string) (all []string) {
	for i, v := range s {
		size := len(v.content)
		if v.content == "-" {
			size = 0
		}
		all = append(all, fmt.Sprintf("%s %s %v %v %d", key, v.id, v.content == "-", i == 0, size))
	}
	return all
}

// TestVersionsAreRemoved writes, deletes and removes versions by their IDs,
// sealing between, and holds what is listed and read against a model of S3.
func TestVersionsAreRemoved(t *testing.T) {
	for _, key := range []string{"k", "dir/k", "dir/"} {
		for seed := range uint64(2) {
			t.Run(fmt.Sprintf("%s %d", key, seed), func(t *testing.T) { removeAtRandom(t, key, rand.New(rand.NewPCG(seed, 1))) })
		}
	}
}

func removeAtRandom(t *testing.T, key string, rng *rand.Rand) {
	w := newWriting(t, "zoo")
	w.put("main.zoo", "dir/beside", "stays")
	var now shelf
	var gone []string
	for n := range 40 {
		what := rng.IntN(7)
		switch {
		case what < 2:
			text := fmt.Sprintf("%0*d", n+1, n)
			now = slices.Insert(now, 0, shelved{w.put("main.zoo", key, text).VersionID, text})
		case what == 2:
			done, err := w.Delete(w.ctx, "main.zoo", []s3proxy.Deletion{{Key: key}})
			if err != nil || done[0].Err != nil || done[0].Marker != (now.content() != "-") {
				t.Fatalf("delete: %+v, %v", done, err)
			}
			if done[0].Marker {
				now = slices.Insert(now, 0, shelved{done[0].VersionID, "-"})
			}
		case what == 3:
			if _, err := w.w.Seal(w.ctx, "zoo", "main"); err != nil {
				t.Fatal(err)
			}
		case len(now) > 0:
			i := rng.IntN(len(now))
			done, err := w.Delete(w.ctx, "main.zoo", []s3proxy.Deletion{{Key: key, VersionID: now[i].id}})
			if err != nil || done[0].Err != nil || done[0].VersionID != now[i].id || done[0].Marker != (now[i].content == "-") {
				t.Fatalf("remove %+v: %+v, %v", now[i], done, err)
			}
			if now[i].content != "-" {
				gone = append(gone, now[i].id)
			}
			now = slices.Delete(now, i, i+1)
		}
		w.holds("main.zoo", key, "", now.content())
		for _, v := range now {
			w.holds("main.zoo", key, v.id, v.content)
		}
		for _, id := range gone {
			w.holds("main.zoo", key, id, "-")
		}
		for _, size := range []int{1, 1000} {
			if got := versions(t, w, s3proxy.VersionQuery{Prefix: key, MaxKeys: size}); fmt.Sprint(got[:len(got)-below(key)]) != fmt.Sprint(now.lines(key)) {
				t.Fatalf("after %d steps, pages of %d:\ngot  %q\nwant %q", n+1, size, got, now.lines(key))
			}
		}
	}
	w.holds("main.zoo", "dir/beside", "", "stays")
}

// below is how many other keys begin with key.
func below(key string) int {
	if key == "dir/" {
		return 1
	}
	return 0
}

// TestRemoveWhileListing goes through a list page by page and removes what each
// page has, as programs do that empty a bucket.
func TestRemoveWhileListing(t *testing.T) {
	for _, size := range []int{1, 2, 3, 4} {
		for _, sealed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d sealed %v", size, sealed), func(t *testing.T) { emptyByPages(t, size, sealed) })
		}
	}
}

func emptyByPages(t *testing.T, size int, sealed bool) {
	w := newWriting(t, "zoo")
	for n := range 12 {
		w.put("main.zoo", fmt.Sprintf("k%d", n%3), fmt.Sprint(n))
		if n%4 == 3 {
			w.delete("main.zoo", fmt.Sprintf("k%d", n%3), "")
		}
		if sealed {
			w.seal("zoo")
		}
	}
	q := s3proxy.VersionQuery{MaxKeys: size}
	removed := 0
	for {
		page, err := w.ListVersions(w.ctx, "main.zoo", q)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range page.Versions {
			w.delete("main.zoo", v.Key, v.VersionID)
		}
		removed += len(page.Versions)
		if !page.Truncated {
			break
		}
		q.KeyMarker, q.VersionMarker = page.NextKey, page.NextVersion
	}
	if removed != 15 {
		t.Errorf("%d removed, want 12 versions and 3 markers", removed)
	}
	if left := versions(t, w, s3proxy.VersionQuery{MaxKeys: 10}); len(left) > 0 {
		t.Errorf("left: %q", left)
	}
}

// TestListAfterWhatIsNoMore goes on with a list behind a version that the branch's
// history has no more.
func TestListAfterWhatIsNoMore(t *testing.T) {
	w := newWriting(t, "zoo")
	w.put("main.zoo", "a", "x")
	k := w.put("main.zoo", "k", "xx").VersionID
	l := w.put("main.zoo", "l", "xxx").VersionID
	for marker, want := range map[string]string{
		"":                      fmt.Sprintf("[l %s false true 3]", l),
		k:                       fmt.Sprintf("[l %s false true 3]", l),
		"deleted-" + l:          fmt.Sprintf("[k %s false true 2 l %s false true 3]", k, l),
		strings.Repeat("0", 32): fmt.Sprintf("[k %s false true 2 l %s false true 3]", k, l),
	} {
		if got := fmt.Sprint(versions(t, w, s3proxy.VersionQuery{KeyMarker: "k", VersionMarker: marker, MaxKeys: 10})); got != want {
			t.Errorf("after %q: got %s, want %s", marker, got, want)
		}
	}
}

// TestCommitsKeepWhatIsRemoved reads a version that was removed by the commit
// that has it, and on a branch that has the same history.
func TestCommitsKeepWhatIsRemoved(t *testing.T) {
	w := newWriting(t, "zoo")
	id := w.put("main.zoo", "k", "x").VersionID
	at, err := w.w.Seal(w.ctx, "zoo", "main")
	if err != nil {
		t.Fatal(err)
	}
	w.s.move(repo.CreateBranch{Repo: "zoo", Branch: "dev", From: at})
	w.holds("main.zoo", "k", at.String(), "x")
	done, err := w.Delete(w.ctx, "main.zoo", []s3proxy.Deletion{{Key: "k", VersionID: at.String()}})
	if err != nil || !errors.Is(done[0].Err, s3proxy.ErrInvalidVersion) {
		t.Errorf("remove by the ID of a commit: %+v, %v", done, err)
	}
	w.delete("main.zoo", "k", id)
	w.holds("main.zoo", "k", "", "-")
	w.holds("main.zoo", "k", id, "-")
	w.holds("zoo", at.String()+"/k", "", "x")
	w.holds("dev.zoo", "k", id, "x")
}

// TestProtectedVersionsStay: who may not move a branch may not remove its old
// versions, which would not move it.
func TestProtectedVersionsStay(t *testing.T) {
	w := newWriting(t, "zoo")
	old := w.put("main.zoo", "k", "old").VersionID
	w.put("main.zoo", "k", "new")
	if _, err := w.w.Seal(w.ctx, "zoo", "main"); err != nil {
		t.Fatal(err)
	}
	w.s.move(repo.Protect{Repo: "zoo", Branch: "main", Principals: []string{"ann"}})
	as := s3proxy.WithPrincipal(t.Context(), auth.Principal{Name: "bob"})
	done, err := w.Delete(as, "main.zoo", []s3proxy.Deletion{{Key: "k", VersionID: old}})
	if err != nil || !errors.Is(done[0].Err, repo.ErrProtected) {
		t.Errorf("%+v, %v", done, err)
	}
	w.holds("main.zoo", "k", old, "old")
}
