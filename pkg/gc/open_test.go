package gc

import (
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
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
	for i := range 40 { // batches are merged on the way
		if err := openPut(w, wr, "a@main", "f", text(uint64(i), 3000)); err != nil {
			t.Fatal(err)
		}
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

// TestSmallPutsStayCompact writes many small files to an open commit, and
// seals and collects it: the index stays short, and what is stored is hardly
// more than the files.
func TestSmallPutsStayCompact(t *testing.T) {
	const writers, size = 8, 4 << 10
	files := 150
	if os.Getenv("DVX_SEEDS") != "" {
		files = 1250
	}
	w := newWorld(t)
	d := w.open(nil)
	w.move(d, repo.CreateRepo{Repo: "a"})
	wr := repo.NewWriter(w.ctx(), d, repo.WriterOptions{Manual: true})
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			for i := range files {
				if err := openPut(w, wr, "a@main", fmt.Sprintf("dir/%d-%d", n, i), noise(uint64(n*files+i), size)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := wr.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := d.Root(w.ctx()); err != nil || len(r.Segments) > 64 {
		t.Errorf("%d segments, %v", len(r.Segments), err)
	}
	before := w.stored()
	w.move(d, repo.Seal{Repo: "a", Branch: "main"})
	for range 2 {
		w.clock.advance(25 * time.Hour)
		w.collect(d, Options{KeepRoots: -1, Force: true})
	}
	logical, after := int64(writers*files*size), w.stored()
	t.Logf("%d B of files: %.2f times that stored before, %.2f after; %d packs", logical,
		float64(before)/float64(logical), float64(after)/float64(logical), len(w.keys(pack.PackPrefix)))
	if after > logical*13/10 {
		t.Errorf("%d bytes are stored for %d", after, logical)
	}
	if n := len(w.keys(pack.PackPrefix)); n > 10 {
		t.Errorf("%d packs are left", n)
	}
}

// stored returns the bytes of all objects.
func (w *world) stored() int64 {
	n := int64(0)
	for info, err := range w.objects.List(w.t.Context(), "", "") {
		if err != nil {
			w.t.Fatal(err)
		}
		n += info.Size
	}
	return n
}

// noise returns n bytes that can't be compressed.
func noise(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 11))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return string(b)
}

// openPut writes a file to a branch, REPO@BRANCH, and leaves it unsealed.
func openPut(w *world, wr *repo.Writer, to, path, body string) error {
	name, branch, _ := strings.Cut(to, "@")
	u, err := wr.Upload(w.ctx())
	if err != nil {
		return err
	}
	defer u.Close()
	c, err := u.Content(w.ctx(), strings.NewReader(body))
	if err != nil {
		return err
	}
	edit := repo.OpenEdit{Path: path, Entry: &tree.Entry{Kind: tree.File, Content: c}}
	_, err = u.Write(w.ctx(), repo.OpenWrite{Repo: name, Branch: branch, Edits: []repo.OpenEdit{edit}})
	return err
}
