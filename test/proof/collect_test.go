package proof

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
)

// littered makes a store with garbage: a deleted branch, packs half dead, and
// packs of a session that never published.
func littered(t testing.TB) *mem.Store {
	objects := mem.New(mem.Options{})
	d := create(t, objects)
	mustPut(t, d, "main", "keep", noise(1, 20_000))
	dead := mustPut(t, d, "tmp", "dead", noise(2, 30_000))
	move(t, d, repo.DeleteBranch{Repo: "r", Branch: "tmp", Expect: dead.ID})
	mustPut(t, d, "main", "more", "more")
	s, err := d.Session(owner(t), repo.Scope{Repo: "r"})
	if err == nil {
		_, err = s.Put(owner(t), chunk.Data, []byte(noise(3, 9000)))
	}
	if err == nil {
		err = s.Flush(owner(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	return objects // the session dies
}

// slowCommit commits files, and calls flushed at each attempt when they are
// stored and not published.
func slowCommit(ctx context.Context, objects objstore.Store, files map[string]string, flushed func()) error {
	return commitTo(ctx, objects, opOf(1), files, 0, func(ctx context.Context, s chunk.Store) error {
		if f, ok := s.(interface{ Flush(context.Context) error }); ok {
			if err := f.Flush(ctx); err != nil {
				return err
			}
		}
		flushed()
		return nil
	})
}

// TestCollectBesideCommit lets a commit that was stored before a collection
// began be published before each of the collection's calls in turn: however
// they interleave, the commit is there, whole, and so is all else.
func TestCollectBesideCommit(t *testing.T) {
	before := littered(t)
	points := 0
	for name, files := range map[string]map[string]string{
		"new data": {"new": noise(4, 10_000)}, "data that only garbage has": {"revived": noise(2, 30_000), "new": "new"},
	} {
		for k := 1; ; k++ {
			reached, err := besideCommit(t, clone(t, before), files, k)
			if err != nil {
				t.Fatalf("commit of %s published before call %d of the collection: %v", name, k, err)
			}
			points++
			if !reached {
				break
			}
		}
	}
	figure(t, "a commit published at each of %d calls of a collection: nothing lost", points)
}

// besideCommit has the commit published before call k of a collection, or
// after its end if there are fewer calls.
func besideCommit(t *testing.T, objects *mem.Store, files map[string]string, k int) (reached bool, err error) {
	t.Helper()
	ctx := owner(t)
	flushed, publish, published := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	go func() {
		once := false
		published <- slowCommit(ctx, objects, files, func() {
			if !once {
				once = true
				close(flushed)
				<-publish
			}
		})
	}()
	select {
	case <-flushed:
	case err := <-published:
		return false, fmt.Errorf("commit: %w", err)
	}
	mustPut(t, open(t, objects), "main", "meanwhile", "x") // so that the commit's session began below the floor
	var commitErr error
	goOn := func() {
		close(publish)
		commitErr = <-published
	}
	watched := fault.New(objects, fault.Options{Delay: func(_ context.Context, c fault.Call) error {
		if c.N == k {
			reached = true
			goOn()
		}
		return nil
	}})
	err = collectNow(ctx, watched)
	if !reached {
		goOn()
	}
	if err = errors.Join(err, commitErr); err != nil {
		return reached, err
	}
	want := map[string]string{"r@main:/keep": noise(1, 20_000), "r@main:/more": "more", "r@main:/meanwhile": "x"}
	for name, text := range files {
		want["r@main:/"+name] = text
	}
	return reached, holdsAll(ctx, objects, want)
}

// holdsAll audits a store and reads files that must be there.
func holdsAll(ctx context.Context, objects objstore.Store, files map[string]string) error {
	if _, err := audit(ctx, objects, seen{collected: true}); err != nil {
		return err
	}
	d, err := repo.OpenDirect(ctx, objects, options(0))
	if err != nil {
		return err
	}
	defer d.Close()
	refused, err := sameFiles(ctx, d, files)
	if refused > 0 {
		err = fmt.Errorf("%d of %d files cannot be read", refused, len(files))
	}
	return err
}
