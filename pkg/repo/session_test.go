package repo_test

import (
	"crypto/rand"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// TestConcurrentMisses: sessions that look for a chunk which is newer than their
// base find it, also if another call learns of the new base first.
func TestConcurrentMisses(t *testing.T) {
	ctx := auth.With(t.Context(), auth.Owner)
	objects := mem.New(mem.Options{})
	a, err := repo.Init(ctx, objects, repo.InitOptions{Options: repo.Options{Now: time.Now, Rand: rand.Reader}})
	if err != nil {
		t.Fatal(err)
	}
	op := func() repo.OpID {
		o, err := repo.NewOpID(time.Now(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	if _, err := a.Move(ctx, repo.Txn{Op: op(), Ops: []repo.Op{repo.CreateRepo{Repo: "r"}}}); err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		s, err := a.Session(ctx, repo.Scope{Repo: "r"})
		if err != nil {
			t.Fatal(err)
		}
		res, err := repo.PutFile(ctx, a, repo.CommitOptions{Repo: "r", Op: op(), Time: time.Now()}, "f", tree.Entry{}, strings.NewReader(strings.Repeat("x", n+1)))
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if _, err := s.Get(ctx, chunk.Commit, chunk.ID(res.ID)); err != nil {
					t.Errorf("round %d: %v", n, err)
				}
			})
		}
		wg.Wait()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
