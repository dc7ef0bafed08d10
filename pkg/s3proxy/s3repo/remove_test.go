package s3repo_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

func (w *writing) seal(name string) {
	w.t.Helper()
	if _, err := w.w.Seal(w.ctx, name, "main"); err != nil {
		w.t.Fatal(err)
	}
}

// stacks are histories of a key, as what is done one after the other: a put (p), a
// commit that does not say which operation wrote the key (c), a deletion (d), the
// removal of the newest (0) or the one below (1), a seal (s), a put of another key
// (b).
var stacks = []string{"p", "pp", "psds", "pdp", "ppd1p", "cd", "cp", "cb"}

// stack makes a history of a key.
func (w *writing) stack(key, what string) (now shelf) {
	w.t.Helper()
	for i, do := range what {
		text := fmt.Sprintf("%0*d", i+1, i)
		switch do {
		case 'p':
			now = slices.Insert(now, 0, shelved{w.put("main.zoo", key, text).VersionID, text})
		case 'c':
			w.seal("zoo")
			w.s.change("zoo", "main", func(ctx context.Context, d *repo.Draft) (tree.Root, error) {
				return tree.Apply(ctx, d, d.Base, []tree.Edit{putEdit(ctx, w.t, d, w.s.Config().Chunker, key, text, tree.Attrs{})})
			})
			page, err := w.ListVersions(w.ctx, "main.zoo", s3proxy.VersionQuery{Prefix: key, MaxKeys: 1})
			if err != nil {
				w.t.Fatal(err)
			}
			now = slices.Insert(now, 0, shelved{page.Versions[0].VersionID, text})
		case 'd':
			done, err := w.Delete(w.ctx, "main.zoo", []s3proxy.Deletion{{Key: key}})
			if err != nil || done[0].Err != nil {
				w.t.Fatalf("delete: %+v, %v", done, err)
			}
			now = slices.Insert(now, 0, shelved{done[0].VersionID, "-"})
		case 'b':
			w.put("main.zoo", "beside", key)
		case 's':
			w.seal("zoo")
		default:
			w.delete("main.zoo", key, now[do-'0'].id)
			now = slices.Delete(now, int(do-'0'), int(do-'0')+1)
		}
	}
	return now
}

// is holds a key against the model.
func (w *writing) is(key string, now shelf) {
	w.t.Helper()
	w.holds("main.zoo", key, "", now.content())
	for _, v := range now {
		w.holds("main.zoo", key, v.id, v.content)
	}
	if got := versions(w.t, w, s3proxy.VersionQuery{Prefix: key, MaxKeys: 1000}); fmt.Sprint(got) != fmt.Sprint(now.lines(key)) {
		w.t.Errorf("listed:\ngot  %q\nwant %q", got, now.lines(key))
	}
}

// agrees holds what is listed as the latest of a key against what is read of it.
func (w *writing) agrees(key string) {
	w.t.Helper()
	page, err := w.ListVersions(w.ctx, "main.zoo", s3proxy.VersionQuery{Prefix: key, MaxKeys: 1})
	if err != nil {
		w.t.Fatal(err)
	}
	o, err := w.Open(w.ctx, name("main.zoo", key))
	there := err == nil
	if err != nil && !errors.Is(err, s3proxy.ErrNoSuchKey) {
		w.t.Fatal(err)
	}
	if len(page.Versions) == 0 || page.Versions[0].DeleteMarker {
		if there {
			w.t.Errorf("listed %+v, and the key holds %+v", page.Versions, o.Info())
		}
		return
	}
	if !there {
		w.t.Errorf("listed %+v, and the key holds nothing", page.Versions[0])
	}
}

// without is the shelf less some of its places.
func (s shelf) without(places ...int) (left shelf) {
	for i, v := range s {
		if !slices.Contains(places, i) {
			left = append(left, v)
		}
	}
	return left
}

// TestRemovalsBesideEachOther removes a version at each point where the removal of
// another, or of the same, has seen something.
func TestRemovalsBesideEachOther(t *testing.T) {
	for _, what := range stacks {
		t.Run(what, func(t *testing.T) {
			size := len(newWriting(t, "zoo").stack("k", what))
			for pair := range size * size {
				w := newWriting(t, "zoo")
				w.s.put("zoo", "main", map[string]string{"beside": "x"})
				for n := 0; w.besideAt(fmt.Sprintf("%03d", n), what, pair/size, pair%size, n); n++ {
				}
			}
		})
	}
}

// besideAt removes first, and at point n of that second. There may be no such
// point.
func (w *writing) besideAt(key, what string, first, second, n int) bool {
	now := w.stack(key, what)
	passed := 0
	w.s.between = func() error {
		if passed++; passed == n+1 {
			w.s.between = nil
			w.delete("main.zoo", key, now[second].id)
			w.agrees(key)
		}
		return nil
	}
	w.delete("main.zoo", key, now[first].id)
	w.s.between = nil
	if passed <= n {
		second = first
	}
	w.is(key, now.without(first, second))
	if w.t.Failed() {
		w.t.Fatalf("%s: %d removed, at point %d also %d", what, first, n, second)
	}
	return passed > n
}

// TestRemovalIsCutOff ends removals at each of their points, and repeats them.
func TestRemovalIsCutOff(t *testing.T) {
	for _, what := range stacks {
		t.Run(what, func(t *testing.T) {
			for place := range newWriting(t, "zoo").stack("k", what) {
				w := newWriting(t, "zoo")
				for n := 0; w.cutOffAt(fmt.Sprintf("%03d", n), what, place, n); n++ {
				}
			}
		})
	}
}

func (w *writing) cutOffAt(key, what string, place, n int) bool {
	now := w.stack(key, what)
	passed := 0
	w.s.between = func() error {
		if passed++; passed > n {
			return errors.New("cut off")
		}
		return nil
	}
	remove := []s3proxy.Deletion{{Key: key, VersionID: now[place].id}}
	done, err := w.Delete(w.ctx, "main.zoo", remove)
	w.s.between = nil
	cut := err != nil || done[0].Err != nil
	if cut != (passed > n) {
		w.t.Fatalf("cut off %v: %+v, %v", passed > n, done, err)
	}
	w.agrees(key)
	w.delete("main.zoo", key, now[place].id)
	w.is(key, now.without(place))
	if w.t.Failed() {
		w.t.Fatalf("%s: the removal of %d ended at point %d", what, place, n)
	}
	return cut
}

// TestBranchHoldsWhatWasRemoved makes a branch anew from what had a version that
// was removed of it, or moves it back to that: what it holds is there, and can be
// removed again.
func TestBranchHoldsWhatWasRemoved(t *testing.T) {
	for _, anew := range []bool{true, false} {
		for _, order := range [][]int{{0, 1}, {1, 0}} {
			t.Run(fmt.Sprintf("anew %v %v", anew, order), func(t *testing.T) { bringBack(t, anew, order) })
		}
	}
}

func bringBack(t *testing.T, anew bool, order []int) {
	w := newWriting(t)
	w.s.move(repo.CreateRepo{Repo: "zoo", Branch: "first"})
	w.s.move(repo.CreateBranch{Repo: "zoo", Branch: "main"})
	now := w.stack("k", "pp")
	had, err := w.w.Seal(w.ctx, "zoo", "main")
	if err != nil {
		t.Fatal(err)
	}
	w.delete("main.zoo", "k", now[0].id)
	w.is("k", now[1:])
	has, err := w.w.Seal(w.ctx, "zoo", "main")
	if err != nil {
		t.Fatal(err)
	}
	if anew {
		w.s.move(repo.DeleteBranch{Repo: "zoo", Branch: "main", Expect: has})
		w.s.move(repo.CreateBranch{Repo: "zoo", Branch: "main", From: had})
	} else {
		w.s.move(repo.MoveBranch{Repo: "zoo", Branch: "main", Expect: has, To: had, Force: true})
	}
	w.is("k", now)
	w.delete("main.zoo", "k", now[order[0]].id)
	w.is("k", now.without(order[0]))
	w.delete("main.zoo", "k", now[order[1]].id)
	w.is("k", nil)
}
