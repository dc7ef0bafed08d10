//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTwoWriters lets 8 users put 20 files each to one branch at a time, half
// of them through the daemon: all files are there, and each commit has one
// parent, the one before.
func TestTwoWriters(t *testing.T) {
	const writers, each = 8, 20
	u := newUser(t)
	store := u.path("store")
	u.dvx("init", "--bare", store)
	direct := u.with("DVX_STORE", store)
	direct.dvx("repo", "create", "shared")
	d := u.serve(store)
	dvx := binary(t, "dvx")
	var wg sync.WaitGroup
	start := time.Now()
	for w := range writers {
		who := direct
		if w%2 == 1 {
			who = u.with("DVX_SERVER", d.GRPC)
		}
		wg.Go(func() {
			for i := range each {
				text := fmt.Sprintf("%d of writer %d", i, w)
				r := who.try(text, dvx, "put", "-", fmt.Sprintf("shared@main:/w%d/%02d", w, i))
				if r.code != 0 {
					t.Errorf("%s: exit code %d: %s", r.line, r.code, r.err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	for w := range writers {
		for i := range each {
			if got, want := direct.dvx("cat", fmt.Sprintf("shared@main:/w%d/%02d", w, i)), fmt.Sprintf("%d of writer %d", i, w); got != want {
				t.Errorf("w%d/%02d holds %q, want %q", w, i, got, want)
			}
		}
	}
	log := direct.history("shared@main")
	if len(log) != writers*each {
		t.Errorf("%d versions, want %d", len(log), writers*each)
	}
	for i, v := range log {
		var want []string
		if i+1 < len(log) {
			want = []string{log[i+1].ID}
		}
		if strings.Join(v.Commit.Parents, " ") != strings.Join(want, " ") {
			t.Errorf("version %.12s has the parents %q, want %q", v.ID, v.Commit.Parents, want)
		}
		if v.Commit.Tree.Files != len(log)-i {
			t.Errorf("version %.12s holds %d files, want %d: one more than the one before", v.ID, v.Commit.Tree.Files, len(log)-i)
		}
	}
	figure(t, "%d writers × %d puts to one branch: %d versions in a line in %v", writers, each, len(log), took.Round(10*time.Millisecond))
	d.stop()
}
