package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/tree"
)

// clock is a time that moves by a second at each look.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Second)
	return c.now
}

// at once is a timer that does not wait.
func atOnce(time.Duration) <-chan time.Time {
	ch := make(chan time.Time, 1)
	ch <- testTime
	return ch
}

func testOptions(seed uint64) Options {
	var key [32]byte
	key[0], key[1], key[2] = byte(seed), byte(seed>>8), byte(seed>>16)
	c := &clock{now: testTime}
	return Options{Now: c.Now, Rand: rand.NewChaCha8(key), After: atOnce, RetryFor: 1000 * time.Hour}
}

func ownerCtx(t testing.TB) context.Context { return auth.With(t.Context(), auth.Owner) }

func newDirect(t testing.TB, objects objstore.Store, seed uint64) *Direct {
	t.Helper()
	d, err := Init(ownerCtx(t), objects, InitOptions{Options: testOptions(seed)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func openDirect(t testing.TB, objects objstore.Store, seed uint64) *Direct {
	t.Helper()
	d, err := OpenDirect(ownerCtx(t), objects, testOptions(seed))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func move(t testing.TB, d *Direct, ops ...Op) {
	t.Helper()
	o, err := d.NewOp()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Move(ownerCtx(t), Txn{Op: o, Ops: ops}); err != nil {
		t.Fatal(err)
	}
}

// put commits one file and returns the result.
func put(ctx context.Context, d *Direct, o CommitOptions, path, text string) (CommitResult, error) {
	if o.Op.IsZero() {
		var err error
		if o.Op, err = d.NewOp(); err != nil {
			return CommitResult{}, err
		}
	}
	if o.Time.IsZero() {
		o.Time = testTime
	}
	if o.Repo == "" {
		o.Repo = "a"
	}
	return PutFile(ctx, d, o, path, tree.Entry{}, strings.NewReader(text))
}

func mustPut(t testing.TB, d *Direct, branch, path, text string) CommitResult {
	t.Helper()
	res, err := put(ownerCtx(t), d, CommitOptions{Branch: branch}, path, text)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func get(t testing.TB, s Store, expr string) string {
	t.Helper()
	r, _, err := GetFile(ownerCtx(t), s, expr)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func eachStore(t *testing.T, f func(t *testing.T, objects objstore.Store)) {
	t.Run("mem", func(t *testing.T) { f(t, mem.New(mem.Options{})) })
	t.Run("disk", func(t *testing.T) {
		s, err := disk.Create(t.Context(), t.TempDir(), disk.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		f(t, s)
	})
}

func TestDirect(t *testing.T) {
	eachStore(t, func(t *testing.T, objects objstore.Store) {
		ctx := ownerCtx(t)
		if _, err := OpenDirect(ctx, objects, testOptions(1)); !errors.Is(err, ErrNoStore) || !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("open of nothing: %v", err)
		}
		d := newDirect(t, objects, 1)
		if _, err := Init(ctx, objects, InitOptions{Options: testOptions(2)}); !errors.Is(err, fs.ErrExist) {
			t.Fatalf("init of a store: %v", err)
		}
		move(t, d, CreateRepo{Repo: "a"})
		first := mustPut(t, d, "", "x/one", "1")
		second := mustPut(t, d, "main", "x/two", "2")
		if first.Branch != "main" || second.Commit.Parents[0] != first.ID || !second.Commit.Time.After(first.Commit.Time) {
			t.Errorf("commits %+v, %+v", first, second)
		}
		same := mustPut(t, d, "main", "x/two", "2")
		if !same.Unchanged || same.ID != second.ID {
			t.Errorf("nothing new: %+v", same)
		}
		move(t, d, CreateBranch{Repo: "a", Branch: "dev", From: first.ID, Fork: "main"}, CreateTag{Repo: "a", Tag: "v1", Commit: second.ID})
		mustPut(t, d, "dev", "x/one", strings.Repeat("long text ", 1e5))

		e := openDirect(t, objects, 3)
		for expr, want := range map[string]string{
			"a:/x/one":                              "1",
			"a@main:/x/two":                         "2",
			"a@v1:/x/one":                           "1",
			"a@dev~1:/x/one":                        "1",
			"a@dev:/x/one":                          strings.Repeat("long text ", 1e5),
			"a@" + second.ID.Short() + ":/x/two":    "2",
			"a@" + first.ID.String() + ":/x/one":    "1",
			"a@main^1:/x/one":                       "1",
			"a@main{2026-11-20T09:00:00Z}:/x/one":   "1",
			"a@main{2026-11-20T09:00:00.5Z}:/x/two": "2",
		} {
			if got := get(t, e, expr); got != want {
				t.Errorf("%s: %.40q, want %.40q", expr, got, want)
			}
		}
		for expr, want := range map[string]error{
			"b":                          ErrRepoNotFound,
			"a@nix":                      ErrRefNotFound,
			"a@v1~2":                     ErrRefNotFound,
			"a@v1^2":                     ErrRefNotFound,
			"a@main{2026-11-19}":         ErrRefNotFound,
			"a@ffffffff":                 ErrRefNotFound,
			"a@main:/x/none":             fs.ErrNotExist,
			"a@main:/x":                  fs.ErrInvalid,
			"a@main":                     fs.ErrInvalid,
			"a@" + first.ID.String()[:5]: ErrRefNotFound,
		} {
			if _, _, err := GetFile(ctx, e, expr); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", expr, err, want)
			}
		}
		var names []string
		for c, err := range Diff(ctx, e, "a@v1~1", "a@v1", tree.DiffOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, c.Kind.String()+" "+c.Path)
		}
		if fmt.Sprint(names) != "[added x/two]" {
			t.Errorf("diff %v", names)
		}
		n := 0
		for entry, err := range Log(ctx, e, "a@dev", commit.LogOptions{}) {
			if err != nil || entry.Commit.Author != "owner" {
				t.Fatal(entry, err)
			}
			n++
		}
		if n != 2 {
			t.Errorf("%d versions on dev", n)
		}
		checkStore(t, objects)
	})
}

// checkStore opens the store anew and reads all that its names reach: every
// commit, every directory in full, every byte.
func checkStore(t testing.TB, objects objstore.Store) *Root {
	t.Helper()
	ctx := ownerCtx(t)
	d := openDirect(t, objects, 999)
	root, err := d.Root(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r, err := d.ReadAny(ctx)
	if err != nil {
		t.Fatal(err)
	}
	seen, trees, chunks := map[commit.ID]bool{}, map[tree.Root]bool{}, map[chunk.ID]bool{}
	visited := func(id chunk.ID) bool {
		was := chunks[id]
		chunks[id] = true
		return was
	}
	for name, repo := range root.Repos {
		for _, head := range heads(repo) {
			for e, err := range commit.Log(ctx, r, head, commit.LogOptions{}) {
				if err != nil {
					t.Fatalf("history of %s: %v", name, err)
				}
				if seen[e.ID] {
					continue
				}
				seen[e.ID] = true
				if err := commit.CheckParents(ctx, r, e.Commit); err != nil {
					t.Fatal(err)
				}
				if trees[e.Commit.Tree] {
					continue
				}
				trees[e.Commit.Tree] = true
				if err := tree.Verify(ctx, r, e.Commit.Tree); err != nil {
					t.Fatal(err)
				}
				if err := tree.Visit(ctx, r, e.Commit.Tree, visited, func(k chunk.Kind, id chunk.ID) error {
					_, err := r.Get(ctx, k, id)
					return err
				}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	checkChain(t, objects, root)
	return root
}

// checkChain follows the copies of the last few roots.
func checkChain(t testing.TB, objects objstore.Store, root *Root) {
	t.Helper()
	prev := Hash{}
	for _, o := range root.Ops[max(0, len(root.Ops)-5):] {
		b, _, err := objstore.ReadAll(t.Context(), objects, rootKey(o.Gen, o.Op), objstore.Range{}, RootSizeMax)
		if err != nil {
			t.Fatal(err)
		}
		r, err := DecodeRoot(b)
		if err != nil {
			t.Fatal(err)
		}
		if !prev.IsZero() && r.Prev != prev || r.Gen != o.Gen {
			t.Fatalf("root %d does not follow root %d", r.Gen, r.Gen-1)
		}
		prev = HashRoot(b)
	}
	now, _, err := objstore.ReadAll(t.Context(), objects, rootObject, objstore.Range{}, RootSizeMax)
	if err != nil || HashRoot(now) != prev {
		t.Fatalf("root %d is not the last copy: %v", root.Gen, err)
	}
}

func TestConcurrentWriters(t *testing.T) {
	eachStore(t, func(t *testing.T, objects objstore.Store) {
		const writers, each = 4, 6
		d := newDirect(t, objects, 1)
		move(t, d, CreateRepo{Repo: "a"})
		var wg sync.WaitGroup
		errs := make(chan error, writers)
		for w := range writers {
			e := openDirect(t, objects, uint64(10+w))
			e.o.After = time.After
			ctx := ownerCtx(t)
			wg.Go(func() {
				for i := range each {
					path := fmt.Sprintf("w%d/%d", w, i)
					if _, err := put(ctx, e, CommitOptions{Branch: "main", Policy: Rebase}, path, path); err != nil {
						errs <- err
						return
					}
				}
			})
		}
		wg.Wait()
		close(errs)
		for err := range errs {
			t.Fatal(err)
		}
		checkStore(t, objects)
		n, newest := 0, commit.Commit{}
		for e, err := range Log(ownerCtx(t), d, "a@main", commit.LogOptions{FirstParent: true}) {
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				newest = e.Commit
			}
			if want := int64(writers*each - n); e.Commit.Tree.Files != want || len(e.Commit.Parents) > 1 {
				t.Fatalf("version %d has %d files, want %d", n, e.Commit.Tree.Files, want)
			}
			n++
		}
		if n != writers*each || newest.Tree.Files != writers*each {
			t.Errorf("%d versions, %d files", n, newest.Tree.Files)
		}
	})
}

func TestCommitPolicies(t *testing.T) {
	for _, c := range []struct {
		policy Policy
		want   string
		err    error
	}{
		{ExpectParent, "theirs", ErrConflict},
		{Rebase, "theirs+ours", nil},
		{Overwrite, "ours", nil},
	} {
		d := newDirect(t, mem.New(mem.Options{}), 1)
		ctx := ownerCtx(t)
		move(t, d, CreateRepo{Repo: "a"})
		mustPut(t, d, "main", "f", "")
		o, err := d.NewOp()
		if err != nil {
			t.Fatal(err)
		}
		raced := false
		res, err := Commit(ctx, d, CommitOptions{Repo: "a", Op: o, Time: testTime, Policy: c.policy}, func(ctx context.Context, dr *Draft) (tree.Root, error) {
			if !raced {
				raced = true
				mustPut(t, d, "main", "theirs", "theirs")
			}
			content, err := chunk.WriteContent(ctx, dr, d.Config().Chunker, strings.NewReader("ours"))
			if err != nil {
				return tree.Root{}, err
			}
			return dr.Apply(ctx, []tree.Edit{{Op: tree.Put, Path: "ours", Entry: tree.Entry{Kind: tree.File, Content: content}}})
		})
		if !errors.Is(err, c.err) {
			t.Fatalf("policy %d: %v", c.policy, err)
		}
		var got []string
		tr, _, err := Open(ctx, d, "a")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"theirs", "ours"} {
			if e, err := tr.Lookup(ctx, name); err == nil {
				got = append(got, name)
				if name == "ours" && c.policy == Rebase && (!e.Attrs.Time.Equal(res.Commit.Time) || e.Attrs.Op != tree.OpID(o)) {
					t.Errorf("policy %d: attributes %+v", c.policy, e.Attrs)
				}
			}
		}
		if s := strings.Join(got, "+"); s != c.want {
			t.Errorf("policy %d: %s, want %s", c.policy, s, c.want)
		}
		if n := countLog(t, d, "a"); c.err == nil && n != 3 {
			t.Errorf("policy %d: %d versions", c.policy, n)
		}
	}
}

func countLog(t testing.TB, s Store, expr string) int {
	t.Helper()
	n := 0
	for _, err := range Log(ownerCtx(t), s, expr, commit.LogOptions{FirstParent: true}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}

func TestSegmentsMerge(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	move(t, d, CreateRepo{Repo: "a"})
	for i := range 2 * segmentsMerge {
		mustPut(t, d, "main", fmt.Sprintf("f%03d", i), fmt.Sprint(i))
		root, err := d.Root(ownerCtx(t))
		if err != nil {
			t.Fatal(err)
		}
		if len(root.Segments) > segmentsMerge {
			t.Fatalf("%d segments after %d commits", len(root.Segments), i+1)
		}
	}
	checkStore(t, objects)
}

func TestChooseMerge(t *testing.T) {
	var all []Segment
	var written, total int64
	for i := range 5000 {
		all = append(all, Segment{Key: fmt.Sprint(i), Chunks: 3})
		total += 3
		if len(all) <= segmentsMerge {
			continue
		}
		from := chooseMerge(all)
		m := Segment{Key: fmt.Sprintf("m%d", i)}
		var rest []Segment
		for _, s := range all {
			if containsAll(from, []string{s.Key}) {
				m.Chunks += s.Chunks
			} else {
				rest = append(rest, s)
			}
		}
		written += m.Chunks
		if all = append(rest, m); len(all) > segmentsKeep+1 {
			t.Fatalf("%d segments are left", len(all))
		}
	}
	if written > 13*total { // log2(5000)
		t.Errorf("%d chunks were merged for %d", written, total)
	}
}

func TestPublishChecks(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	ctx := ownerCtx(t)
	move(t, d, CreateRepo{Repo: "a"}, CreateRepo{Repo: "b"})
	head := mustPut(t, d, "main", "f", "text")
	mustPut(t, d, "main", "g", "text")
	for name, change := range map[string]func(s Session, c *commit.Commit) error{
		"no tree stored": func(_ Session, c *commit.Commit) error {
			c.Tree = tree.Root{ID: tree.ID(fill(1)), Content: tree.ContentID(fill(2))}
			return nil
		},
		"false content ID": func(_ Session, c *commit.Commit) error { c.Tree.Content = tree.ContentID(fill(2)); return nil },
		"false totals":     func(_ Session, c *commit.Commit) error { c.Tree.Files++; return nil },
		"old parent":       func(_ Session, c *commit.Commit) error { c.Parents = []commit.ID{head.ID}; return nil },
		"no parent":        func(_ Session, c *commit.Commit) error { c.Parents = nil; return nil },
		"unknown parent":   func(_ Session, c *commit.Commit) error { c.Parents = append(c.Parents, fill(9)); return nil },
		"as old as its parent": func(_ Session, c *commit.Commit) error {
			p, err := Resolve(ctx, d, "a")
			c.Time = p.Commit.Time
			return err
		},
		"file without bytes": func(s Session, c *commit.Commit) error {
			var err error
			c.Tree, err = tree.Apply(ctx, s, c.Tree, []tree.Edit{{Op: tree.Put, Path: "x", Entry: tree.Entry{
				Kind: tree.File, Content: chunk.Content{ID: chunk.ID(fill(3)), Size: 5},
			}}})
			return err
		},
	} {
		res, err := Resolve(ctx, d, "a")
		if err != nil {
			t.Fatal(err)
		}
		s, err := d.Session(ctx, Scope{Repo: "a", Branch: "main"})
		if err != nil {
			t.Fatal(err)
		}
		o, _ := d.NewOp()
		c := commit.Commit{Tree: res.Commit.Tree, Parents: []commit.ID{res.ID}, Author: "x", Time: res.Commit.Time.Add(time.Second), Op: o.String()}
		if err := change(s, &c); err != nil {
			t.Fatal(err)
		}
		id, err := commit.Save(ctx, s, c)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Publish(ctx, Txn{Op: o, Ops: []Op{MoveBranch{Repo: "a", Branch: "main", Expect: res.ID, To: id}}}); err == nil {
			t.Errorf("%s: published", name)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	o, _ := d.NewOp()
	jo := auth.With(t.Context(), auth.Principal{Name: "jo"})
	if _, err := d.Move(jo, Txn{Op: o, Ops: []Op{CreateBranch{Repo: "b", Branch: "x", From: head.ID}}}); !errors.Is(err, ErrRefNotFound) {
		t.Errorf("branch from another repo's commit: %v", err)
	}
	if _, err := d.Move(t.Context(), Txn{Op: o, Ops: []Op{CreateRepo{Repo: "c"}}}); !errors.Is(err, auth.ErrUnauthenticated) {
		t.Errorf("nobody: %v", err)
	}
	if _, err := d.Move(ctx, Txn{Op: o}); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("no operations: %v", err)
	}
	checkStore(t, objects)
}

func TestPublishWith(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	ctx := ownerCtx(t)
	o, _ := d.NewOp()
	if _, err := d.PublishWith(ctx, nil, Txn{Op: o}, Attachments{AddMemo: []string{"memo/1"}, AddHistory: []string{"history/1"}, Lead: "me"}); err != nil {
		t.Fatal(err)
	}
	s, err := d.Session(ctx, Scope{Repo: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	id, err := s.Put(ctx, chunk.Data, []byte("loose"))
	if err != nil {
		t.Fatal(err)
	}
	o2, _ := d.NewOp()
	if _, err := d.PublishWith(ctx, s, Txn{Op: o2}, Attachments{AddMemo: []string{"memo/2"}, DropMemo: []string{"memo/1"}, Term: 1}); err != nil {
		t.Fatal(err)
	}
	root, err := d.Root(ctx)
	if err != nil || fmt.Sprintf("%v %v %d %s", root.Memo, root.History, root.Term, root.Leader) != "[memo/2] [history/1] 1 me" {
		t.Errorf("root %+v, %v", root, err)
	}
	r, err := openDirect(t, objects, 2).ReadAny(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if b, err := r.Get(ctx, chunk.Data, id); err != nil || !bytes.Equal(b, []byte("loose")) {
		t.Errorf("%q, %v", b, err)
	}
	o3, _ := d.NewOp()
	if _, err := d.PublishWith(ctx, s, Txn{Op: o3}, Attachments{Term: 7}); !errors.Is(err, ErrDeposed) {
		t.Errorf("term 7: %v", err)
	}
}

func TestWatch(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	ctx := ownerCtx(t)
	if gen, err := d.Watch(ctx, 0); err != nil || gen != 1 {
		t.Fatal(gen, err)
	}
	hint := make(chan struct{})
	d.o.Hint = hint
	d.o.After = func(time.Duration) <-chan time.Time { return nil }
	other := openDirect(t, objects, 2)
	done := make(chan uint64)
	go func() {
		gen, err := d.Watch(ctx, 1)
		if err != nil {
			t.Error(err)
		}
		done <- gen
	}()
	hint <- struct{}{} // there is nothing new: it goes on waiting
	move(t, other, CreateRepo{Repo: "a"})
	var gen uint64
	select {
	case hint <- struct{}{}:
		gen = <-done
	case gen = <-done: // the first hint was looked at after the move
	}
	if gen != 2 {
		t.Errorf("generation %d", gen)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := d.Watch(ended, 99); !errors.Is(err, context.Canceled) {
		t.Errorf("watch without time: %v", err)
	}
}
