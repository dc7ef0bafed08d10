package repo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/tree"
)

// replica opens a store with the machine's clock, as a daemon does.
func replica(t testing.TB, objects objstore.Store) *Direct {
	t.Helper()
	o := Options{Now: time.Now, Rand: rand.Reader, RetryFor: time.Hour}
	d, err := OpenDirect(ownerCtx(t), objects, o)
	if errors.Is(err, ErrNoStore) {
		d, err = Init(ownerCtx(t), objects, InitOptions{Options: o})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func writer(t testing.TB, d *Direct, o WriterOptions) *Writer {
	t.Helper()
	w := NewWriter(ownerCtx(t), d, o)
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// openPut writes a file to the open commit of a@main.
func openPut(ctx context.Context, w *Writer, path, text string, check func(*tree.Entry) error) error {
	u, err := w.Upload(ctx)
	if err != nil {
		return err
	}
	defer u.Close()
	c, err := u.Content(ctx, strings.NewReader(text))
	if err != nil {
		return err
	}
	_, err = u.Write(ctx, OpenWrite{Repo: "a", Branch: "main", Edits: []OpenEdit{
		{Path: path, Entry: &tree.Entry{Kind: tree.File, Content: c}, Check: check},
	}})
	return err
}

func mustOpenPut(t testing.TB, w *Writer, path, text string) {
	t.Helper()
	if err := openPut(ownerCtx(t), w, path, text, nil); err != nil {
		t.Fatal(err)
	}
}

func openDelete(ctx context.Context, w *Writer, paths ...string) error {
	o := OpenWrite{Repo: "a", Branch: "main"}
	for _, p := range paths {
		o.Edits = append(o.Edits, OpenEdit{Path: p})
	}
	_, err := w.Write(ctx, o)
	return err
}

// seen lists what is visible of a@main, with markers.
func seen(t testing.TB, s Store) string {
	t.Helper()
	v, err := Look(ownerCtx(t), s, "a", "main")
	if err != nil {
		t.Fatal(err)
	}
	return listed(t, v.Tree())
}

func listed(t testing.TB, tr *tree.Tree) string {
	t.Helper()
	var names []string
	for e, err := range tr.Walk(ownerCtx(t), tree.WalkOptions{Dirs: true}) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Kind != tree.Dir || e.Marker != nil {
			names = append(names, e.Path)
		}
	}
	return strings.Join(names, " ")
}

// TestOpenCommit writes through one process and looks through another: what
// was acknowledged is visible there, and no version until it is sealed.
func TestOpenCommit(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := replica(t, objects)
	move(t, d, CreateRepo{Repo: "a"})
	first := mustPut(t, d, "main", "dir/old", "old").ID
	w, other := writer(t, d, WriterOptions{Manual: true}), replica(t, objects)
	ctx := ownerCtx(t)

	mustOpenPut(t, w, "dir/new", "new")
	if got := seen(t, other); got != "dir/new dir/old" {
		t.Errorf("seen: %s", got)
	}
	if err := openDelete(ctx, w, "dir/old", "never/there"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(ctx, OpenWrite{Repo: "a", Branch: "main", Edits: []OpenEdit{
		{Path: "m/", Entry: &tree.Entry{Kind: tree.Dir, Marker: &tree.Marker{}}},
	}}); err != nil {
		t.Fatal(err)
	}
	if got := seen(t, other); got != "dir/new m/" {
		t.Errorf("seen: %s", got)
	}
	if at, _ := headNow(t, other, "a", "main"); at != first {
		t.Errorf("the branch moved to %v without a seal", at.Short())
	}
	checkStore(t, objects)

	id, err := w.Seal(ctx, "a", "main")
	if err != nil || id == first {
		t.Fatalf("sealed: %v, %v", id.Short(), err)
	}
	tr, res, err := Open(ctx, other, "a@main")
	if err != nil || listed(t, tr) != "dir/new m/" || res.ID != id || res.Commit.Parents[0] != first {
		t.Errorf("sealed: %s, %+v, %v", listed(t, tr), res, err)
	}
	if r, _ := other.Root(ctx); len(r.Open) != 0 {
		t.Errorf("still open: %+v", r.Open)
	}
	if again, err := w.Seal(ctx, "a", "main"); err != nil || again != id {
		t.Errorf("sealed again: %v, %v", again.Short(), err)
	}
	checkStore(t, objects)
}

// TestOpenCommitOfNothing seals writes that change nothing: there is no
// version to be made.
func TestOpenCommitOfNothing(t *testing.T) {
	d := replica(t, mem.New(mem.Options{}))
	move(t, d, CreateRepo{Repo: "a"})
	w := writer(t, d, WriterOptions{Manual: true})
	if err := openDelete(ownerCtx(t), w, "x"); err != nil {
		t.Fatal(err)
	}
	if id, err := w.Seal(ownerCtx(t), "a", "main"); err != nil || !id.IsZero() {
		t.Errorf("an empty branch: %v, %v", id, err)
	}
	first := mustPut(t, d, "main", "f", "1").ID
	mustOpenPut(t, w, "g", "1")
	if err := openDelete(ownerCtx(t), w, "g"); err != nil {
		t.Fatal(err)
	}
	if id, err := w.Seal(ownerCtx(t), "a", "main"); err != nil || id != first {
		t.Errorf("%v, %v", id, err)
	}
}

// TestOpenChecks holds writes to conditions on what is visible, among those of
// one group too.
func TestOpenChecks(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := replica(t, objects)
	move(t, d, CreateRepo{Repo: "a"})
	mustPut(t, d, "main", "sealed", "1")
	absent := func(there *tree.Entry) error {
		if there != nil {
			return fs.ErrExist
		}
		return nil
	}
	ws := []*Writer{writer(t, d, WriterOptions{Manual: true}), writer(t, replica(t, objects), WriterOptions{Manual: true})}
	if err := openPut(ownerCtx(t), ws[0], "sealed", "2", absent); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a version: %v", err)
	}
	const racers, rounds = 8, 5
	for round := range rounds {
		var wg sync.WaitGroup
		var mu sync.Mutex
		won := 0
		for i := range racers {
			wg.Go(func() {
				err := openPut(ownerCtx(t), ws[i%2], fmt.Sprint("f", round), fmt.Sprint(i), absent)
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					won++
				} else if !errors.Is(err, fs.ErrExist) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if won != 1 {
			t.Errorf("round %d: %d writers made what was not there", round, won)
		}
	}
	checkStore(t, objects)
}

// TestOpenRefused tries what an open commit must not take.
func TestOpenRefused(t *testing.T) {
	d := replica(t, mem.New(mem.Options{}))
	move(t, d, CreateRepo{Repo: "a"})
	id := mustPut(t, d, "main", "f", "1").ID
	move(t, d, CreateTag{Repo: "a", Tag: "v1", Commit: id}, CreateBranch{Repo: "a", Branch: "safe", From: id},
		Protect{Repo: "a", Branch: "safe", Principals: []string{"ci"}})
	w := writer(t, d, WriterOptions{Manual: true})
	ctx := ownerCtx(t)
	put := []OpenEdit{{Path: "x", Entry: &tree.Entry{Kind: tree.File}}}
	for name, c := range map[string]struct {
		ctx  context.Context
		o    OpenWrite
		kind error
	}{
		"tag":              {ctx, OpenWrite{Repo: "a", Branch: "v1", Edits: put}, ErrRefNotFound},
		"no repo":          {ctx, OpenWrite{Repo: "b", Branch: "main", Edits: put}, ErrRepoNotFound},
		"protected":        {ctx, OpenWrite{Repo: "a", Branch: "safe", Edits: put}, ErrProtected},
		"nobody":           {t.Context(), OpenWrite{Repo: "a", Branch: "main", Edits: put}, auth.ErrUnauthenticated},
		"no edits":         {ctx, OpenWrite{Repo: "a", Branch: "main"}, fs.ErrInvalid},
		"bad path":         {ctx, OpenWrite{Repo: "a", Branch: "main", Edits: []OpenEdit{{Path: "a/../b"}}}, fs.ErrInvalid},
		"file as a marker": {ctx, OpenWrite{Repo: "a", Branch: "main", Edits: []OpenEdit{{Path: "a/", Entry: put[0].Entry}}}, fs.ErrInvalid},
	} {
		if _, err := w.Write(c.ctx, c.o); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v, want %v", name, err, c.kind)
		}
	}
	if _, err := w.Write(auth.With(t.Context(), auth.Principal{Name: "ci"}), OpenWrite{Repo: "a", Branch: "safe", Edits: put}); err != nil {
		t.Errorf("who may move it: %v", err)
	}
}

// TestMovesSealFirst commits to, resets and deletes branches with open writes:
// none of these is lost.
func TestMovesSealFirst(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := replica(t, objects)
	move(t, d, CreateRepo{Repo: "a"})
	first := mustPut(t, d, "main", "f", "1").ID
	w := writer(t, d, WriterOptions{Manual: true})
	mustOpenPut(t, w, "open", "1")
	if _, err := put(ownerCtx(t), d, CommitOptions{Policy: Rebase}, "committed", "1"); err != nil {
		t.Fatal(err)
	}
	if n := countLog(t, d, "a"); n != 3 || get(t, d, "a:/open") != "1" || get(t, d, "a:/committed") != "1" {
		t.Errorf("%d versions", n)
	}
	mustOpenPut(t, w, "later", "1")
	if _, err := put(ownerCtx(t), d, CommitOptions{Expect: &first}, "x", "1"); !errors.Is(err, ErrConflict) {
		t.Errorf("commit on an old version: %v", err)
	}
	o, _ := d.NewOp()
	at, _ := headNow(t, d, "a", "main")
	mustOpenPut(t, w, "last", "1")
	if _, err := d.Move(ownerCtx(t), Txn{Op: o, Ops: []Op{MoveBranch{Repo: "a", Branch: "main", Expect: at, To: first, Force: true}}}); !errors.Is(err, ErrConflict) {
		t.Errorf("reset of what the caller has not seen: %v", err)
	}
	if get(t, d, "a:/later") != "1" || get(t, d, "a:/last") != "1" {
		t.Error("an open write is lost")
	}
	checkStore(t, objects)
}

// TestSealBesideWrites seals while writers go on, on two processes: every
// acknowledged write is in the end.
func TestSealBesideWrites(t *testing.T) {
	const writers, files = 6, 40
	objects := mem.New(mem.Options{})
	d := replica(t, objects)
	move(t, d, CreateRepo{Repo: "a"})
	ws := []*Writer{writer(t, d, WriterOptions{Manual: true}), writer(t, replica(t, objects), WriterOptions{Manual: true})}
	var wg sync.WaitGroup
	for n := range writers {
		wg.Go(func() {
			for i := range files {
				if err := openPut(ownerCtx(t), ws[n%2], fmt.Sprintf("%d/%d", n, i), "text", nil); err != nil {
					t.Error(err)
				}
				if i%10 == 5 {
					if _, err := ws[n%2].Seal(ownerCtx(t), "a", "main"); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	if _, err := ws[0].Seal(ownerCtx(t), "a", "main"); err != nil {
		t.Fatal(err)
	}
	tr, res, err := Open(ownerCtx(t), d, "a")
	if err != nil || res.Commit.Tree.Files != writers*files {
		t.Errorf("%d files, %v", res.Commit.Tree.Files, err)
	}
	_ = listed(t, tr)
	for e, err := range Log(ownerCtx(t), d, "a", commit.LogOptions{}) {
		if err != nil || len(e.Commit.Parents) > 1 {
			t.Errorf("%+v, %v", e, err)
		}
	}
	checkStore(t, objects)
}

// TestSealByItself lets time, numbers and a marker seal.
func TestSealByItself(t *testing.T) {
	of := map[string]*Sealing{
		"the branch's idle": {Idle: 1}, "the branch's age": {Age: 1}, "the branch's writes": {Writes: 1}, "the branch's marker": {Marker: "f"},
	}
	for name, o := range map[string]WriterOptions{
		"idle":   {SealIdle: time.Millisecond},
		"age":    {SealIdle: time.Hour, SealAge: time.Millisecond},
		"writes": {SealIdle: time.Hour, SealWrites: 1},
		"marker": {SealIdle: time.Hour, Marker: "f"},

		"the branch's idle":   {SealIdle: time.Hour},
		"the branch's age":    {SealIdle: time.Hour},
		"the branch's writes": {SealIdle: time.Hour},
		"the branch's marker": {SealIdle: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := replica(t, mem.New(mem.Options{}))
			move(t, d, CreateRepo{Repo: "a"})
			if s := of[name]; s != nil {
				move(t, d, SetSealing{Repo: "a", Branch: "main", Sealing: s})
			}
			w := writer(t, d, o)
			mustOpenPut(t, w, "dir/f", "1")
			for after := uint64(0); ; {
				if at, _ := headNow(t, d, "a", "main"); !at.IsZero() {
					return
				}
				var err error
				if after, err = d.Watch(ownerCtx(t), after); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestOpenFolds writes so much to one branch that batches are merged and
// folded, and looks at what is visible against a plain map.
func TestOpenFolds(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := replica(t, objects)
	move(t, d, CreateRepo{Repo: "a"})
	w := writer(t, d, WriterOptions{Manual: true})
	ctx := ownerCtx(t)
	want := map[string]bool{}
	folded := false
	for i := range 60 {
		o := OpenWrite{Repo: "a", Branch: "main"}
		for j := range 150 {
			path := fmt.Sprintf("d%d/%d", j%7, (i*150+j*j)%4999)
			e := OpenEdit{Path: path}
			if (i+j)%5 > 0 {
				e.Entry = &tree.Entry{Kind: tree.File}
			}
			want[path] = e.Entry != nil
			o.Edits = append(o.Edits, e)
		}
		if _, err := w.Write(ctx, o); err != nil {
			t.Fatal(err)
		}
		r, _ := d.Root(ctx)
		now := r.Open[OpenKey("a", "main")]
		folded = folded || now.Tree != nil
		if len(now.Batches) > openCompact+1 {
			t.Fatalf("%d batches", len(now.Batches))
		}
		if i%13 == 0 {
			compare(t, d, want)
		}
	}
	if !folded {
		t.Error("nothing was folded")
	}
	compare(t, replica(t, objects), want)
	checkStore(t, objects)
}

func compare(t *testing.T, d *Direct, want map[string]bool) {
	t.Helper()
	got := map[string]bool{}
	for p := range strings.FieldsSeq(seen(t, d)) {
		got[p] = true
	}
	for p, there := range want {
		if there != got[p] {
			t.Fatalf("%s: visible %v, want %v", p, got[p], there)
		}
	}
}

func TestSetSealing(t *testing.T) {
	d := replica(t, mem.New(mem.Options{}))
	move(t, d, CreateRepo{Repo: "a"})
	set := func(branch string, s *Sealing) error {
		op, _ := d.NewOp()
		_, err := d.Move(ownerCtx(t), Txn{Op: op, Ops: []Op{SetSealing{Repo: "a", Branch: branch, Sealing: s}}})
		return err
	}
	for name, c := range map[string]struct {
		branch string
		s      *Sealing
		kind   error
	}{
		"no branch": {"x", &Sealing{Idle: 1}, ErrRefNotFound}, "nothing": {"main", &Sealing{}, fs.ErrInvalid},
		"negative": {"main", &Sealing{Writes: -1}, fs.ErrInvalid}, "two days": {"main", &Sealing{Age: 48 * 3_600_000}, fs.ErrInvalid},
		"a path": {"main", &Sealing{Marker: "a/b"}, fs.ErrInvalid}, "no name": {"main", &Sealing{Marker: ".."}, fs.ErrInvalid},
	} {
		if err := set(c.branch, c.s); !errors.Is(err, c.kind) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if r, _ := d.Root(ownerCtx(t)); len(r.Features) != 0 {
		t.Errorf("features %v of a store that has none", r.Features)
	}
	if err := set("main", &Sealing{Marker: "-"}); err != nil {
		t.Error(err)
	}
	if err := set("main", nil); err != nil {
		t.Error(err)
	}
	if r, _ := d.Root(ownerCtx(t)); r.Repos["a"].Branches["main"].Seal != nil {
		t.Error("it is still set")
	}
}

// TestGroupLosesABranch writes to two branches at once, one of which goes: the
// writes to the other are made.
func TestGroupLosesABranch(t *testing.T) {
	d := replica(t, mem.New(mem.Options{}))
	move(t, d, CreateRepo{Repo: "a"}, CreateBranch{Repo: "a", Branch: "dev"})
	w := writer(t, d, WriterOptions{Manual: true})
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			branch := []string{"main", "dev"}[i%2]
			_, err := w.Write(ownerCtx(t), OpenWrite{Repo: "a", Branch: branch, Edits: []OpenEdit{{Path: fmt.Sprint(i), Entry: &tree.Entry{Kind: tree.File}}}})
			if err != nil && (branch == "main" || !errors.Is(err, ErrRefNotFound)) {
				t.Errorf("%s: %v", branch, err)
			}
			if i == 11 {
				v, err := SealFirst(ownerCtx(t), d, fixedOp(9), "a", "dev")
				if err != nil {
					t.Error(err)
					return
				}
				op, _ := d.NewOp()
				// It may be written to meanwhile, and is there still then.
				_, _ = d.Move(ownerCtx(t), Txn{Op: op, Ops: []Op{DeleteBranch{Repo: "a", Branch: "dev", Expect: v.Repos["a"].Branches["dev"].Commit}}})
			}
		})
	}
	wg.Wait()
	if n := len(strings.Fields(seen(t, d))); n != 20 {
		t.Errorf("%d files on main", n)
	}
}

func TestOpsOfOpenCommitsGoFirst(t *testing.T) {
	d := replica(t, mem.New(mem.Options{}))
	move(t, d, CreateRepo{Repo: "a"})
	o, _ := d.NewOp()
	if _, err := d.Move(ownerCtx(t), Txn{Op: o, Ops: []Op{CreateBranch{Repo: "a", Branch: "b"}}}); err != nil {
		t.Fatal(err)
	}
	w := writer(t, d, WriterOptions{Manual: true})
	for i := range OpsMax + 10 {
		if err := openDelete(ownerCtx(t), w, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	r, _ := d.Root(ownerCtx(t))
	if _, ok := r.FindOp(o); !ok || len(r.Ops) != openOpsMax+3 {
		t.Errorf("remembered: %v, %d operations", ok, len(r.Ops))
	}
	if m := reflog(t, d, "a", "b"); len(m) != 1 {
		t.Errorf("reflog across open commits: %+v", m)
	}
}

// BenchmarkOpenPut writes files of 4 KiB to a folder, 16 at a time.
func BenchmarkOpenPut(b *testing.B) {
	objects, err := disk.Create(b.Context(), b.TempDir(), disk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer objects.Close()
	d := replica(b, objects)
	move(b, d, CreateRepo{Repo: "a"})
	w := NewWriter(ownerCtx(b), d, WriterOptions{})
	defer w.Close()
	next := make(chan int)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			buf := make([]byte, 4096)
			for i := range next {
				_, _ = rand.Read(buf)
				if err := openPut(ownerCtx(b), w, fmt.Sprintf("f%d", i), string(buf), nil); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.ResetTimer()
	for i := range b.N {
		next <- i
	}
	close(next)
	wg.Wait()
	r, _ := d.Root(ownerCtx(b))
	b.ReportMetric(float64(b.N)/float64(r.Gen), "puts/swap")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "puts/s")
}

// TestUploadAfterClose refuses to write through what was closed, and takes
// writes that it accepted to their end.
func TestUploadAfterClose(t *testing.T) {
	ctx := ownerCtx(t)
	d := replica(t, mem.New(mem.Options{}))
	move(t, d, CreateRepo{Repo: "a"})
	w := NewWriter(ctx, d, WriterOptions{Manual: true})
	closed, err := w.Upload(ctx)
	if err != nil {
		t.Fatal(err)
	}
	open, err := w.Upload(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := closed.Close(); err != nil {
			t.Fatal(err)
		}
	}
	remove := OpenWrite{Repo: "a", Branch: "main", Edits: []OpenEdit{{Path: "gone"}}}
	if _, err := closed.Write(ctx, remove); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("write through a closed upload: %v", err)
	}
	if _, err := closed.Content(ctx, strings.NewReader("x")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("content through a closed upload: %v", err)
	}
	if _, err := open.Write(ctx, remove); err != nil {
		t.Errorf("write: %v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := open.Write(ctx, remove); !errors.Is(err, ErrWriterClosed) {
		t.Errorf("write after the writer was closed: %v", err)
	}
	if err := open.Close(); err != nil {
		t.Error(err)
	}
}
