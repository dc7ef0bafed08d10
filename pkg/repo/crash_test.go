package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/tree"
)

// scenario is something that a process does to a store and may be killed at.
// Done again with the same operation IDs it gives the same result.
type scenario struct {
	name  string
	setup func(t testing.TB, d *Direct)
	run   func(ctx context.Context, d *Direct) (result string, err error)
	final map[string]string // afterwards: file expressions, or "log REF" with a number of versions
}

func fixedOp(n int) OpID {
	o := OpID{1, 2, 3}
	o[14], o[15] = byte(n>>8), byte(n)
	return o
}

func putOp(ctx context.Context, d *Direct, n int, o CommitOptions, path, text string) (string, error) {
	o.Op = fixedOp(n)
	res, err := put(ctx, d, o, path, text)
	return res.ID.String(), err
}

func moveOp(ctx context.Context, d *Direct, n int, ops ...Op) error {
	_, err := d.Move(ctx, Txn{Op: fixedOp(n), Ops: ops})
	return err
}

func headOf(ctx context.Context, d *Direct, expr string) (commit.ID, error) {
	res, err := Resolve(ctx, d, expr)
	return res.ID, err
}

func seq(steps ...func() error) error {
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

func scenarios() []scenario {
	repoA := func(t testing.TB, d *Direct) { move(t, d, CreateRepo{Repo: "a"}) }
	history := func(t testing.TB, d *Direct) {
		repoA(t, d)
		mustPut(t, d, "main", "dir/f", "one")
		mustPut(t, d, "main", "dir/g", "two")
	}
	return []scenario{
		{
			name: "first commit", setup: func(testing.TB, *Direct) {},
			run: func(ctx context.Context, d *Direct) (id string, err error) {
				return id, seq(
					func() error { return moveOp(ctx, d, 1, CreateRepo{Repo: "a"}) },
					func() error { id, err = putOp(ctx, d, 2, CommitOptions{}, "f", "text"); return err },
				)
			},
			final: map[string]string{"a:/f": "text", "log a": "1"},
		},
		{
			name: "incremental", setup: history,
			run: func(ctx context.Context, d *Direct) (string, error) {
				return putOp(ctx, d, 1, CommitOptions{}, "dir/f", strings.Repeat("long", 1<<16))
			},
			final: map[string]string{"a:/dir/f": strings.Repeat("long", 1<<16), "a:/dir/g": "two", "log a": "3"},
		},
		{
			name: "two commits", setup: history,
			run: func(ctx context.Context, d *Direct) (id string, err error) {
				return id, seq(
					func() error { _, err := putOp(ctx, d, 1, CommitOptions{}, "x", "1"); return err },
					func() error { id, err = putOp(ctx, d, 2, CommitOptions{}, "x", "2"); return err },
				)
			},
			final: map[string]string{"a:/x": "2", "a@main~1:/x": "1", "log a": "4"},
		},
		{
			name: "branches", setup: history,
			run: func(ctx context.Context, d *Direct) (id string, err error) {
				head, err := headOf(ctx, d, "a@main")
				if err != nil {
					return "", err
				}
				return id, seq(
					func() error { return moveOp(ctx, d, 1, CreateBranch{Repo: "a", Branch: "dev", From: head}) },
					func() error { id, err = putOp(ctx, d, 2, CommitOptions{Branch: "dev"}, "x", "1"); return err },
					func() error {
						return moveOp(ctx, d, 3, CreateTag{Repo: "a", Tag: "v1", Commit: head}, CreateBranch{Repo: "a", Branch: "tmp", From: head})
					},
					func() error { return moveOp(ctx, d, 4, DeleteBranch{Repo: "a", Branch: "tmp", Expect: head}) },
				)
			},
			final: map[string]string{"a@dev:/x": "1", "a@v1:/dir/f": "one", "log a@dev": "3", "log a@main": "2"},
		},
		{
			name: "rebase", setup: history,
			run: func(ctx context.Context, d *Direct) (string, error) {
				return putOp(ctx, d, 1, CommitOptions{Policy: Rebase}, "x", "1")
			},
			final: map[string]string{"a:/x": "1", "a:/theirs": "theirs", "log a": "4"},
		},
		{
			name: "overwrite", setup: history,
			run: func(ctx context.Context, d *Direct) (string, error) {
				return putOp(ctx, d, 1, CommitOptions{Policy: Overwrite}, "dir/f", "mine")
			},
			final: map[string]string{"a:/dir/f": "mine", "a@main~1:/theirs": "theirs", "log a": "4"},
		},
		{
			name: "merge", setup: func(t testing.TB, d *Direct) {
				history(t, d)
				mustPut(t, d, "dev", "x", "1")
			},
			run: func(ctx context.Context, d *Direct) (string, error) {
				dev, err := headOf(ctx, d, "a@dev~0")
				if err != nil {
					return "", err
				}
				return putOp(ctx, d, 1, CommitOptions{Merged: []commit.ID{dev}}, "x", "1")
			},
			final: map[string]string{"a:/x": "1", "a@main^2:/x": "1", "a@main^1:/dir/f": "one", "log a": "3"},
		},
		{
			name: "segment merge", setup: func(t testing.TB, d *Direct) {
				history(t, d)
				loose(t, d, segmentsMerge)
			},
			run: func(ctx context.Context, d *Direct) (string, error) {
				return putOp(ctx, d, 1, CommitOptions{}, "x", "1")
			},
			final: map[string]string{"a:/x": "1", "a:/dir/f": "one", "log a": "3"},
		},
		{
			name: "checkpoint", setup: history,
			run: func(ctx context.Context, d *Direct) (string, error) {
				return checkpoint(ctx, d)
			},
			final: map[string]string{"a@main:/x": "1", "log a@main": "3", "log p@main": "1"},
		},
		{
			name: "open writes", setup: history,
			run: func(ctx context.Context, d *Direct) (string, error) {
				return openWrites(ctx, d, false)
			},
			final: map[string]string{"log a@main": "2", "a@main:/dir/g": "two"},
		},
		{
			name: "sealed writes", setup: history,
			run: func(ctx context.Context, d *Direct) (string, error) {
				return openWrites(ctx, d, true)
			},
			final: map[string]string{"a@main:/open/1": "open/1", "a@main:/dir/g": "two"},
		},
		{
			name: "commit over open writes", setup: history,
			run: func(ctx context.Context, d *Direct) (string, error) {
				if _, err := openWrites(ctx, d, false); err != nil {
					return "", err
				}
				return putOp(ctx, d, 1, CommitOptions{Policy: Rebase}, "x", "1")
			},
			final: map[string]string{"a@main:/open/1": "open/1", "a@main:/x": "1"},
		},
		{
			name: "undo", setup: history,
			run: func(ctx context.Context, d *Direct) (string, error) {
				m, err := Undo(ctx, d, UndoOptions{Repo: "a", Branch: "main", Op: fixedOp(1), Gen: 4})
				return m.To.String(), err
			},
			final: map[string]string{"a@main:/dir/f": "one", "log a@main": "1"},
		},
		{
			name: "two sessions", setup: history,
			run: func(ctx context.Context, d *Direct) (string, error) {
				return interleaved(ctx, d)
			},
			final: map[string]string{"a@main:/x": "1", "a@other:/y": "2", "log a@main": "3", "log a@other": "3"},
		},
	}
}

// loose publishes n chunks that nothing names, in a segment each.
func loose(t testing.TB, d *Direct, n int) {
	ctx := ownerCtx(t)
	s, err := d.Session(ctx, Scope{Repo: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for i := range n {
		if _, err := s.Put(ctx, chunk.Data, []byte(fmt.Sprint("loose ", i))); err != nil {
			t.Fatal(err)
		}
		o, err := d.NewOp()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.PublishWith(ctx, s, Txn{Op: o}, Attachments{}); err != nil {
			t.Fatal(err)
		}
	}
}

// checkpoint publishes from one session: memo and history alone, then a spec
// with them, then a commit.
func checkpoint(ctx context.Context, d *Direct) (string, error) {
	s, err := d.Session(ctx, Scope{Repo: "a", Branch: "main"})
	if err != nil {
		return "", err
	}
	defer s.Close()
	if _, err := d.PublishWith(ctx, s, Txn{Op: fixedOp(1)}, Attachments{AddMemo: []string{"memo/1"}}); err != nil {
		return "", err
	}
	root, err := tree.Empty(ctx, s)
	if err != nil {
		return "", err
	}
	id, err := commit.Save(ctx, s, commit.Commit{Tree: root, Author: "x", Time: testTime, Op: fixedOp(2).String()})
	if err != nil {
		return "", err
	}
	t := Txn{Op: fixedOp(2), Ops: []Op{MoveSpec{Repo: "p", Branch: "main", To: id}, MoveBranch{Repo: "p", Branch: "main", To: id}}}
	if _, err := d.PublishWith(ctx, s, t, Attachments{AddHistory: []string{"history/1"}, DropMemo: []string{"memo/1"}}); err != nil {
		return "", err
	}
	return putOp(ctx, d, 3, CommitOptions{}, "x", "1")
}

// openWrites writes to the open commit of a@main, and seals it if asked to. It
// returns the content that is visible then.
func openWrites(ctx context.Context, d *Direct, seal bool) (string, error) {
	w := NewWriter(ctx, d, WriterOptions{Manual: true})
	defer w.Close()
	if err := openPut(ctx, w, "open/1", "open/1", nil); err != nil {
		return "", err
	}
	if err := openDelete(ctx, w, "dir/f"); err != nil {
		return "", err
	}
	if seal {
		if _, err := w.Seal(ctx, "a", "main"); err != nil {
			return "", err
		}
	}
	v, err := Look(ctx, d, "a", "main")
	if err != nil {
		return "", err
	}
	e, err := v.Tree().Lookup(ctx, "open/1")
	return fmt.Sprint(v.Root.Content, e.Content), err
}

// interleaved commits to two branches from two sessions that overlap.
func interleaved(ctx context.Context, d *Direct) (id string, err error) {
	_, err = headOf(ctx, d, "a@v0")
	if errors.Is(err, ErrRefNotFound) {
		head, herr := headOf(ctx, d, "a@main")
		if herr != nil {
			return "", herr
		}
		err = moveOp(ctx, d, 1, CreateBranch{Repo: "a", Branch: "other", From: head}, CreateTag{Repo: "a", Tag: "v0", Commit: head})
	}
	if err != nil {
		return "", err
	}
	o := CommitOptions{Repo: "a", Branch: "main", Op: fixedOp(2), Time: testTime}
	res, err := Commit(ctx, d, o, func(ctx context.Context, dr *Draft) (tree.Root, error) {
		if _, err := putOp(ctx, d, 3, CommitOptions{Branch: "other"}, "y", "2"); err != nil {
			return tree.Root{}, err
		}
		c, err := chunk.WriteContent(ctx, dr, d.Config().Chunker, strings.NewReader("1"))
		if err != nil {
			return tree.Root{}, err
		}
		return dr.Apply(ctx, []tree.Edit{{Op: tree.Put, Path: "x", Entry: tree.Entry{Kind: tree.File, Content: c}}})
	})
	return res.ID.String(), err
}

// racer commits to the same branch while the scenarios "rebase" and
// "overwrite" write their packs: they lose their first swap.
func racer(t testing.TB, objects *mem.Store, name string) func(fault.Call) {
	var mu sync.Mutex
	raced := false
	return func(c fault.Call) {
		mu.Lock()
		defer mu.Unlock()
		if name != "rebase" && name != "overwrite" || raced || c.Kind != fault.Put || !strings.HasPrefix(c.Key, "packs/") {
			return
		}
		raced = true
		d, err := OpenDirect(ownerCtx(t), objects, testOptions(77))
		if err != nil {
			t.Error(err)
			return
		}
		defer d.Close()
		if head, err := Resolve(ownerCtx(t), d, "a@main"); err != nil || head.Commit.Tree.Files != 2 {
			return // a repetition: they have committed
		}
		if _, err := put(ownerCtx(t), d, CommitOptions{}, "theirs", "theirs"); err != nil {
			t.Error(err)
		}
	}
}

// TestCrashPoints kills each scenario at each of its store calls: before the
// call, after it took effect, and in the middle of a write. Then it opens the
// store, checks all that it reaches, repeats the scenario with the same
// operation IDs and checks that it took effect once. DVX_SEEDS, a number, adds
// a twenty-fifth of that many double crashes per point, where the repetition is
// killed too: 500 make 12,000 of them in a minute.
func TestCrashPoints(t *testing.T) {
	seeds, _ := strconv.Atoi(os.Getenv("DVX_SEEDS"))
	doubles := (seeds + 24) / 25
	points, ran := 0, 0
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			ran++
			before := prepared(t, sc)
			calls, want := crashRun(t, sc, clone(t, before), nil)
			for k := 1; k <= calls; k++ {
				for kind, plan := range map[string]fault.Plan{
					"before": fault.CrashAt(k, false), "after": fault.CrashAt(k, true),
				} {
					points += crashPoint(t, sc, before, fmt.Sprintf("%s call %d", kind, k), plan, want, doubles)
				}
			}
		})
	}
	t.Logf("%d crash points", points)
	if ran == len(scenarios()) && points < 500 {
		t.Errorf("only %d crash points", points)
	}
}

func prepared(t testing.TB, sc scenario) *mem.Store {
	objects := mem.New(mem.Options{})
	d, err := Init(ownerCtx(t), objects, InitOptions{Options: testOptions(1)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	sc.setup(t, d)
	return objects
}

func clone(t testing.TB, from *mem.Store) *mem.Store {
	to := mem.New(mem.Options{})
	for info, err := range from.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := objstore.ReadAll(t.Context(), from, info.Key, objstore.Range{}, 1<<30)
		if err == nil {
			_, err = to.Put(t.Context(), info.Key, objstore.Bytes(b), objstore.Condition{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// seed is another one for each process: names are never used twice.
var seed uint64

// crashRun runs the scenario once and returns how many calls it made.
func crashRun(t testing.TB, sc scenario, objects *mem.Store, plan fault.Plan) (calls int, result string) {
	t.Helper()
	race := racer(t, objects, sc.name)
	faulty := fault.New(objects, fault.Options{Plan: plan, Delay: func(_ context.Context, c fault.Call) error {
		race(c)
		return nil
	}})
	seed++
	o := testOptions(1000 + seed)
	o.RetryFor = 1 // ns: a crashed process does not try again
	d, err := OpenDirect(ownerCtx(t), faulty, o)
	if err == nil {
		result, err = sc.run(ownerCtx(t), d)
		_ = d.Close()
	}
	if err != nil && !faulty.Crashed() {
		t.Fatalf("without a crash: %v", err)
	}
	if faulty.Crashed() {
		result = ""
	}
	return faulty.Count(), result
}

func crashPoint(t *testing.T, sc scenario, before *mem.Store, name string, plan fault.Plan, want string, doubles int) int {
	t.Helper()
	objects := clone(t, before)
	crashRun(t, sc, objects, plan)
	checkStore(t, objects)
	for i := range doubles {
		crashRun(t, sc, objects, fault.CrashAt(1+i*7, i%2 == 0))
		checkStore(t, objects)
	}
	_, again := crashRun(t, sc, objects, nil)
	_, third := crashRun(t, sc, objects, nil)
	if again != third {
		t.Errorf("%s: %s, then %s", name, again, third)
	}
	if again == "" || want == "" {
		t.Errorf("%s: no result", name)
	}
	checkStore(t, objects)
	d, err := OpenDirect(ownerCtx(t), objects, testOptions(8))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for expr, want := range sc.final {
		if ref, ok := strings.CutPrefix(expr, "log "); ok {
			if n := strconv.Itoa(countLog(t, d, ref)); n != want {
				t.Errorf("%s: %s versions of %s, want %s", name, n, ref, want)
			}
		} else if strings.Contains(expr, ":/") {
			if got := get(t, d, expr); got != want {
				t.Errorf("%s: %s is %.40q, want %.40q", name, expr, got, want)
			}
		}
	}
	return 1 + doubles
}

// TestInitCrashPoints kills Init at each call; afterwards Init makes the store,
// or there is one.
func TestInitCrashPoints(t *testing.T) {
	for k := 1; ; k++ {
		for _, applied := range []bool{false, true} {
			objects := mem.New(mem.Options{})
			f := fault.New(objects, fault.Options{Plan: fault.CrashAt(k, applied)})
			d, err := Init(ownerCtx(t), f, InitOptions{Options: testOptions(1)})
			if err == nil {
				d.Close()
				return
			}
			d, err = Init(ownerCtx(t), objects, InitOptions{Options: testOptions(2)})
			if errors.Is(err, fs.ErrExist) {
				d, err = OpenDirect(ownerCtx(t), objects, testOptions(3))
			}
			if err != nil {
				t.Fatalf("crash at call %d, applied %v: %v", k, applied, err)
			}
			move(t, d, CreateRepo{Repo: "a"})
			d.Close()
			if root := checkStore(t, objects); root.Gen != 2 {
				t.Errorf("crash at call %d, applied %v: generation %d", k, applied, root.Gen)
			}
		}
	}
}
