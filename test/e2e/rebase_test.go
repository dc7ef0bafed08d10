//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestRebaseDisjoint lets 8 processes at a time commit to one branch, each its
// own paths, for as long as DVX_REBASE says (10 s): every commit that was
// acknowledged is in the branch, which is one line of versions.
func TestRebaseDisjoint(t *testing.T) {
	const writers = 8
	long := 10 * time.Second
	if s := os.Getenv("DVX_REBASE"); s != "" {
		var err error
		if long, err = time.ParseDuration(s); err != nil {
			t.Fatalf("DVX_REBASE: %v", err)
		}
	}
	u := newUser(t)
	u = u.with("DVX_STORE", u.path("store"))
	u.dvx("init", "--bare", u.path("store"))
	u.dvx("repo", "create", "shared")
	type put struct {
		Commit string `json:"commit"`
	}
	var mu sync.Mutex
	acked := map[string]string{} // by commit, the path
	var took []time.Duration
	dvx := binary(t, "dvx")
	start := time.Now()
	stop := beside(t, writers, func(ctx context.Context, w int) {
		for i := 0; ctx.Err() == nil; i++ {
			path := fmt.Sprintf("w%d/%04d", w, i)
			begun := time.Now()
			r := u.try(path, dvx, "put", "-", "shared@main:/"+path, "--on-conflict", "rebase-disjoint", "--json")
			var made put
			if err := json.Unmarshal([]byte(r.out), &made); r.code != 0 || err != nil {
				t.Errorf("%s: exit code %d, %v: %s", r.line, r.code, err, r.err)
				return
			}
			mu.Lock()
			acked[made.Commit] = path
			took = append(took, time.Since(begun))
			mu.Unlock()
		}
	})
	time.Sleep(long)
	stop()
	elapsed := time.Since(start)
	log := u.history("shared@main")
	if len(log) != len(acked) {
		t.Errorf("%d versions, %d were acknowledged", len(log), len(acked))
	}
	for i, v := range log {
		path, ok := acked[v.ID]
		if !ok || v.Commit.Tree.Files != len(log)-i || len(v.Commit.Parents) != min(1, len(log)-1-i) {
			t.Fatalf("version %.12s of %q: %d files, parents %q", v.ID, path, v.Commit.Tree.Files, v.Commit.Parents)
		}
		if i+1 < len(log) && v.Commit.Parents[0] != log[i+1].ID {
			t.Errorf("version %.12s does not follow the one before", v.ID)
		}
	}
	for _, path := range acked {
		if got := u.dvx("cat", "shared@main:/"+path); got != path {
			t.Errorf("%s holds %q", path, got)
		}
	}
	slices.Sort(took)
	figure(t, "%d processes for %v: %d commits, all there, in one line; %.1f a second, median %v, slowest %v",
		writers, elapsed.Round(time.Second), len(acked), float64(len(acked))/elapsed.Seconds(),
		took[len(took)/2].Round(time.Millisecond), took[len(took)-1].Round(time.Millisecond))
}
