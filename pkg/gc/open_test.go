package gc

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// TestCollectKeepsOpenWrites collects beside writes that are not sealed: they
// stay readable, and can be sealed afterwards. Those that others replaced go.
func TestCollectKeepsOpenWrites(t *testing.T) {
	w := newWorld(t)
	d := w.open(nil)
	w.move(d, repo.CreateRepo{Repo: "a"})
	wr := repo.NewWriter(w.ctx(), d, repo.WriterOptions{Manual: true})
	put := func(body string) {
		t.Helper()
		u, err := wr.Upload(w.ctx())
		if err != nil {
			t.Fatal(err)
		}
		defer u.Close()
		c, err := u.Content(w.ctx(), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		edit := repo.OpenEdit{Path: "f", Entry: &tree.Entry{Kind: tree.File, Content: c}}
		if _, err := u.Write(w.ctx(), repo.OpenWrite{Repo: "a", Branch: "main", Edits: []repo.OpenEdit{edit}}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 40 { // batches are merged on the way
		put(text(uint64(i), 3000))
	}
	if err := wr.Close(); err != nil {
		t.Fatal(err)
	}
	w.clock.advance(25 * time.Hour)
	for range 2 {
		w.collect(d, Options{KeepRoots: -1, Force: true})
		w.clock.advance(25 * time.Hour)
	}
	if w.holds(text(0, 3000)[:500]) {
		t.Error("what was overwritten is there")
	}
	last := text(39, 3000)
	v, err := repo.Look(w.ctx(), w.open(nil), "a", "main")
	if err != nil {
		t.Fatal(err)
	}
	e, err := v.Tree().Lookup(w.ctx(), "f")
	if err != nil {
		t.Fatal(err)
	}
	r, err := chunk.OpenContent(w.ctx(), v.Chunks, e.Content)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(r); err != nil || string(b) != last {
		t.Errorf("%d bytes, %v", len(b), err)
	}
	w.move(d, repo.Seal{Repo: "a", Branch: "main"})
	if got := w.read(d, "a:/f"); got != last {
		t.Error("sealed: a write is lost")
	}
}
