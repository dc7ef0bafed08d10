package gc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/repo"
)

// secretWorld has a secret in many versions, under branches, a tag, a protected
// branch, a branch that is gone, and in the memo.
func secretWorld(t *testing.T, copies bool) (w *world, secrets []string) {
	w = newWorld(t)
	d := w.open(nil)
	w.move(d, repo.CreateRepo{Repo: "a"}, repo.CreateRepo{Repo: "b"})
	w.write(d, "a", "main", map[string]string{"public": text(1, 9000)})
	for i := range uint64(3) {
		secrets = append(secrets, text(100+i, 12_000))
		w.write(d, "a", "main", map[string]string{"dir/secret": secrets[i], fmt.Sprint("other", i): text(50+i, 3000)})
	}
	v := w.write(d, "a", "main", map[string]string{"last": "x"})
	w.move(d, repo.CreateTag{Repo: "a", Tag: "v1", Commit: v}, repo.CreateBranch{Repo: "a", Branch: "held", From: v},
		repo.Protect{Repo: "a", Branch: "held", Principals: []string{"jo"}})
	gone := w.write(d, "a", "gone", map[string]string{"dir/secret": secrets[0]})
	c, err := repo.Resolve(w.ctx(), d, "a@main~1")
	if err != nil {
		t.Fatal(err)
	}
	w.addMemo(d, c.Commit.Tree, 1)
	clean := w.write(d, "b", "main", map[string]string{"y": text(77, 3000)})
	r, err := d.ReadAny(w.ctx())
	if err != nil {
		t.Fatal(err)
	}
	cleanCommit, err := commit.Load(w.ctx(), r, clean)
	if err != nil {
		t.Fatal(err)
	}
	w.addMemo(d, cleanCommit.Tree, 2)
	w.move(d, repo.DeleteBranch{Repo: "a", Branch: "gone", Expect: gone})
	if copies {
		w.write(d, "b", "main", map[string]string{"copy/of": secrets[1]})
	}
	return w, secrets
}

func TestPurge(t *testing.T) {
	for _, c := range []struct {
		name               string
		path               string
		copies, everywhere bool
	}{
		{"file", "dir/secret", false, false},
		{"directory", "dir/", false, false},
		{"copies elsewhere", "dir/secret", true, false},
		{"everywhere", "/dir/secret", true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, secrets := secretWorld(t, c.copies)
			d := w.open(nil)
			o := PurgeOptions{Now: w.clock.Now, Repo: "a", Paths: []string{c.path}, Everywhere: c.everywhere, DryRun: true}
			before, err := d.Root(w.ctx())
			if err != nil {
				t.Fatal(err)
			}
			plan, err := Purge(w.ctx(), d, o)
			if err != nil {
				t.Fatal(err)
			}
			if after, _ := d.Root(w.ctx()); after.Gen != before.Gen {
				t.Error("a dry run moved the root")
			}
			o.DryRun = false
			r, err := Purge(w.ctx(), d, o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Contents != 3 || r.Versions < 4 || len(r.Refs) < 3 || r.Memo != 1 || r.Versions != plan.Versions || len(r.Refs) != len(plan.Refs) {
				t.Errorf("report %+v, planned %+v", r, plan)
			}
			if held := c.copies && !c.everywhere; held != (len(r.Else) > 0) {
				t.Errorf("elsewhere: %+v", r.Else)
			}
			w.collect(d, Options{Force: true, Immediate: true})
			if found := w.damage(); len(found) > 0 {
				t.Errorf("damage %+v", found[0])
			}
			for i, s := range secrets {
				if want := i == 1 && c.copies && !c.everywhere; w.holds(s[:500]) != want || w.holds(s[len(s)-500:]) != want {
					t.Errorf("secret %d is stored: %v", i, !want)
				}
			}
			fresh := w.open(nil)
			for _, ref := range []string{"main", "v1", "held"} {
				if w.read(fresh, "a@"+ref+":/public") != text(1, 9000) || w.read(fresh, "a@"+ref+":/other2") != text(52, 3000) {
					t.Errorf("%s: another file changed", ref)
				}
				if _, _, err := repo.GetFile(w.ctx(), fresh, "a@"+ref+":/dir/secret"); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("%s: the secret is there: %v", ref, err)
				}
			}
			root, err := fresh.Root(w.ctx())
			if err != nil {
				t.Fatal(err)
			}
			if len(root.Repos["a"].Branches["held"].Protect) != 1 {
				t.Error("the protection is gone")
			}
			if len(root.Memo) != 1 {
				t.Errorf("memo %v", root.Memo)
			}
			n := 0
			for e, err := range repo.Log(w.ctx(), fresh, "a@main", commit.LogOptions{}) {
				if err != nil || e.Commit.Author != "t" {
					t.Fatal(err)
				}
				n++
			}
			if n != 5 {
				t.Errorf("%d versions on main", n)
			}
			if _, err := Purge(w.ctx(), d, o); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("purged again: %v", err)
			}
		})
	}
}

func TestPurgeRefuses(t *testing.T) {
	w, _ := secretWorld(t, false)
	d := w.open(nil)
	for name, c := range map[string]struct {
		o    PurgeOptions
		kind error
	}{
		"no clock": {PurgeOptions{Repo: "a", Paths: []string{"x"}}, fs.ErrInvalid},
		"no path":  {PurgeOptions{Now: w.clock.Now, Repo: "a"}, fs.ErrInvalid},
		"no repo":  {PurgeOptions{Now: w.clock.Now, Repo: "z", Paths: []string{"x"}}, repo.ErrRepoNotFound},
		"all":      {PurgeOptions{Now: w.clock.Now, Repo: "a", Paths: []string{"/"}}, fs.ErrNotExist},
		"absent":   {PurgeOptions{Now: w.clock.Now, Repo: "a", Paths: []string{"no/such"}}, fs.ErrNotExist},
	} {
		if _, err := Purge(w.ctx(), d, c.o); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestPurgeSeesNewNames gives an old version a name right before the swap of a
// purge: that name's versions are made anew too.
func TestPurgeSeesNewNames(t *testing.T) {
	w, secrets := secretWorld(t, false)
	old, err := repo.Resolve(w.ctx(), w.open(nil), "a@main~2")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	f := fault.New(w.objects, fault.Options{Delay: func(_ context.Context, c fault.Call) error {
		if c.Kind == fault.Put && strings.HasPrefix(c.Key, repo.RootPrefix) && n < 2 {
			n++
			w.move(w.open(nil), repo.CreateBranch{Repo: "a", Branch: fmt.Sprint("new", n), From: old.ID})
		}
		return nil
	}})
	r, err := Purge(w.ctx(), w.open(f), PurgeOptions{Now: w.clock.Now, Repo: "a", Paths: []string{"dir/secret"}})
	if err != nil || n != 2 || len(r.Refs) < 5 {
		t.Fatalf("%d names made, report %+v, %v", n, r, err)
	}
	w.collect(w.open(nil), Options{Force: true, Immediate: true})
	for i, s := range secrets {
		if w.holds(s[:500]) {
			t.Errorf("secret %d is still stored", i)
		}
	}
	w.check(t, "purged")
}

// TestPurgeThatFails leaves the copies of older roots to be kept.
func TestPurgeThatFails(t *testing.T) {
	w, _ := secretWorld(t, false)
	f := fault.New(w.objects, fault.Options{Plan: func(c fault.Call) fault.Effect {
		if c.Kind == fault.Put && c.Key == "root" {
			return fault.Effect{Err: objstore.ErrThrottled}
		}
		return fault.Effect{}
	}})
	_, err := Purge(w.ctx(), w.openFor(f, 1), PurgeOptions{Now: w.clock.Now, Repo: "a", Paths: []string{"dir/secret"}})
	if left := w.keys(forgetPrefix); err == nil || errors.Is(err, repo.ErrUnknown) == (len(left) == 0) {
		t.Errorf("%v, and %q is said to be forgotten", err, left)
	}
}

// TestPurgeKeepsSharedChunks purges a file that has most of its bytes in common
// with another: what the other needs stays, and nothing else.
func TestPurgeKeepsSharedChunks(t *testing.T) {
	w := newWorld(t)
	d := w.open(nil)
	w.move(d, repo.CreateRepo{Repo: "a"})
	shared, secret := text(1, 40_000), text(2, 20_000)
	w.write(d, "a", "main", map[string]string{"kept": shared + text(3, 5000), "gone": shared + secret})
	if _, err := Purge(w.ctx(), d, PurgeOptions{Now: w.clock.Now, Repo: "a", Paths: []string{"gone"}}); err != nil {
		t.Fatal(err)
	}
	w.collect(d, Options{Force: true, Immediate: true})
	if w.holds(secret[9000:9500]) {
		t.Error("the purged file's own bytes are still stored")
	}
	if w.read(w.open(nil), "a:/kept") != shared+text(3, 5000) {
		t.Error("the other file changed")
	}
}

// TestPurgeOfWhatIsNotSealed: writes that are no version yet are purged too; in
// other repos they are named as holding the bytes.
func TestPurgeOfWhatIsNotSealed(t *testing.T) {
	for _, everywhere := range []bool{false, true} {
		w := newWorld(t)
		d := w.open(nil)
		w.move(d, repo.CreateRepo{Repo: "a"}, repo.CreateRepo{Repo: "b"})
		secret := text(1, 12_000)
		w.write(d, "a", "main", map[string]string{"secret": secret, "public": text(2, 9000)})
		w.write(d, "a", "side", map[string]string{"public": text(2, 9000)})
		wr := repo.NewWriter(w.ctx(), d, repo.WriterOptions{Manual: true})
		for name, path := range map[string]string{"a@side": "secret", "b@main": "copy"} {
			if err := openPut(w, wr, name, path, secret); err != nil {
				t.Fatal(err)
			}
		}
		if err := wr.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := Purge(w.ctx(), d, PurgeOptions{Now: w.clock.Now, Repo: "a", Paths: []string{"secret"}, Everywhere: everywhere})
		if err != nil {
			t.Fatal(err)
		}
		want := []Holding{{Repo: "b", Ref: "main", Path: "copy"}}
		if everywhere {
			want = nil
		}
		if !slices.Equal(r.Else, want) {
			t.Errorf("everywhere %t: elsewhere %+v, want %+v", everywhere, r.Else, want)
		}
		w.move(d, repo.Seal{Repo: "a", Branch: "side"})
		if _, _, err := repo.GetFile(w.ctx(), d, "a@side:/secret"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("everywhere %t: the secret is there: %v", everywhere, err)
		}
		w.collect(d, Options{Force: true, Immediate: true})
		if w.holds(secret[:500]) == everywhere {
			t.Errorf("everywhere %t: the secret is stored: %t", everywhere, !everywhere)
		}
		w.check(t, "purged")
	}
}
