package repo

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/tree"
)

var errReset = fmt.Errorf("connection reset: %w", objstore.ErrUnknownOutcome)

// onRoot has an effect on the first n swaps of the root.
func onRoot(n int, e fault.Effect) fault.Plan {
	return func(c fault.Call) fault.Effect {
		if c.Kind != fault.Put || c.Key != rootObject || n == 0 {
			return fault.Effect{}
		}
		n--
		return e
	}
}

func faulty(t testing.TB, objects objstore.Store, retry time.Duration, plan fault.Plan) *Direct {
	t.Helper()
	o := testOptions(50)
	o.RetryFor = retry
	f := fault.New(objects, fault.Options{})
	d, err := OpenDirect(ownerCtx(t), f, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	f.Revive(plan)
	return d
}

func TestLostAcknowledgement(t *testing.T) {
	objects := mem.New(mem.Options{})
	move(t, newDirect(t, objects, 1), CreateRepo{Repo: "a"})
	d := faulty(t, objects, time.Hour, onRoot(1, fault.Effect{Err: errReset, Apply: true}))
	res := mustPut(t, d, "main", "f", "text")
	if n := countLog(t, d, "a"); n != 1 || res.Replay {
		t.Errorf("%d versions, %+v", n, res)
	}
	checkStore(t, objects)
}

func TestTroubledSwaps(t *testing.T) {
	for name, e := range map[string]fault.Effect{
		"not sent":  {Err: errReset},
		"throttled": {Err: objstore.ErrThrottled},
		"conflict":  {Err: objstore.ErrPrecondition}, // 409 on the way: the root is where it was
	} {
		objects := mem.New(mem.Options{})
		move(t, newDirect(t, objects, 1), CreateRepo{Repo: "a"})
		d := faulty(t, objects, 1000*time.Hour, onRoot(3, e))
		mustPut(t, d, "main", "f", name)
		if n := countLog(t, d, "a"); n != 1 {
			t.Errorf("%s: %d versions", name, n)
		}
		checkStore(t, objects)
	}
}

func TestDefiniteFailure(t *testing.T) {
	objects := mem.New(mem.Options{})
	move(t, newDirect(t, objects, 1), CreateRepo{Repo: "a"})
	full := errors.New("no space left on device")
	d := faulty(t, objects, time.Hour, onRoot(1, fault.Effect{Err: full}))
	if _, err := put(ownerCtx(t), d, CommitOptions{}, "f", "x"); !errors.Is(err, full) || errors.Is(err, ErrUnknown) {
		t.Errorf("full disk: %v", err)
	}
	if n := countLog(t, d, "a"); n != 0 {
		t.Errorf("%d versions", n)
	}
}

// TestUnknownOutcome loses every answer: the outcome must be reported as
// unknown with the operation ID, and be found by repeating it.
func TestUnknownOutcome(t *testing.T) {
	for _, applied := range []bool{false, true} {
		objects := mem.New(mem.Options{})
		move(t, newDirect(t, objects, 1), CreateRepo{Repo: "a"})
		sent := false
		d := faulty(t, objects, time.Millisecond, func(c fault.Call) fault.Effect {
			if c.Kind == fault.Put && c.Key == rootObject {
				sent = true
				return fault.Effect{Err: errReset, Apply: applied}
			}
			if sent && c.Key == rootObject {
				return fault.Effect{Err: errReset}
			}
			return fault.Effect{}
		})
		o := CommitOptions{Op: fixedOp(1)}
		_, err := put(ownerCtx(t), d, o, "f", "x")
		if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), fixedOp(1).String()) {
			t.Fatalf("applied %v: %v", applied, err)
		}
		again := openDirect(t, objects, 9)
		if n := countLog(t, again, "a"); (n == 1) != applied {
			t.Fatalf("applied %v: %d versions", applied, n)
		}
		res, err := put(ownerCtx(t), again, o, "f", "x")
		if err != nil || applied && !res.Replay {
			t.Errorf("applied %v: repeated: %+v, %v", applied, res, err)
		}
		if n := countLog(t, again, "a"); n != 1 {
			t.Errorf("applied %v: %d versions after the repetition", applied, n)
		}
	}
}

// TestPoison lets a swap that nobody waits for any more arrive late.
func TestPoison(t *testing.T) {
	objects := mem.New(mem.Options{})
	move(t, newDirect(t, objects, 1), CreateRepo{Repo: "a"})
	ctx := ownerCtx(t)
	d := openDirect(t, objects, 2)
	root, err := d.Root(ctx)
	if err != nil {
		t.Fatal(err)
	}
	info, err := objects.Stat(ctx, rootObject)
	if err != nil {
		t.Fatal(err)
	}
	late, _, err := Apply(root, Txn{Op: fixedOp(1), Ops: []Op{CreateRepo{Repo: "late"}}}, envOf("owner"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := EncodeRoot(late)
	if err != nil {
		t.Fatal(err)
	}
	if _, applied, err := d.Poison(ctx, fixedOp(1)); applied || err != nil {
		t.Fatalf("poison: %v, %v", applied, err)
	}
	if _, err := objects.Put(ctx, rootObject, objstore.Bytes(b), objstore.Condition{IfVersion: info.Version}); !errors.Is(err, objstore.ErrPrecondition) {
		t.Errorf("late swap: %v", err)
	}
	if err := moveOp(ctx, d, 2, CreateRepo{Repo: "b"}); err != nil {
		t.Fatal(err)
	}
	if res, applied, err := d.Poison(ctx, fixedOp(2)); !applied || !res.Replay || err != nil {
		t.Errorf("poison of what was applied: %+v, %v, %v", res, applied, err)
	}
}

// TestForgottenOp repeats an operation that the root no longer remembers.
func TestForgottenOp(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	move(t, d, CreateRepo{Repo: "a"})
	ctx := ownerCtx(t)
	base := mustPut(t, d, "main", "f", "0")
	first, err := put(ctx, d, CommitOptions{Op: fixedOp(1)}, "f", "1")
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, d, "main", "f", "2")
	for range OpsMax {
		move(t, d, Protect{Repo: "a", Branch: "main"})
	}
	again, err := d.Move(ctx, Txn{Op: fixedOp(1), Ops: []Op{MoveBranch{Repo: "a", Branch: "main", Expect: base.ID, To: first.ID}}})
	if err != nil || !again.Replay || len(again.Moved) != 1 || again.Moved[0].Commit != first.ID {
		t.Errorf("repeated: %+v, %v", again, err)
	}
	res, err := put(ctx, d, CommitOptions{Op: fixedOp(1)}, "f", "1")
	if err != nil || res.ID != first.ID || !res.Replay {
		t.Errorf("repeated commit: %+v, %v", res, err)
	}
	if _, err := d.Move(ctx, Txn{Op: fixedOp(3), Ops: []Op{MoveBranch{Repo: "a", Branch: "main", Expect: base.ID, To: first.ID}}}); !errors.Is(err, ErrConflict) {
		t.Errorf("another operation: %v", err)
	}
	// A process that slept through more swaps than a root remembers.
	old := openDirect(t, objects, 3)
	at, err := old.load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := moveOp(ctx, d, 5, CreateRepo{Repo: "b"}); err != nil {
		t.Fatal(err)
	}
	for range OpsMax + 10 {
		move(t, d, Protect{Repo: "a", Branch: "main"})
	}
	if _, found, err := old.seek(ctx, fixedOp(5), at); err != nil || found == nil {
		t.Errorf("the chain of roots: %v, %v", found, err)
	}
	if _, found, err := old.seek(ctx, fixedOp(6), at); err != nil || found != nil {
		t.Errorf("the chain of roots has what never was: %v, %v", found, err)
	}
}

// TestFaultsModel commits through a store that fails at random, repeats what
// is unknown, and holds the branch to the list of what was acknowledged.
func TestFaultsModel(t *testing.T) {
	seeds := 30
	if n, err := strconv.Atoi(os.Getenv("DVX_SEEDS")); err == nil && n > 0 {
		seeds = n
	}
	for seed := range seeds {
		objects := mem.New(mem.Options{})
		move(t, newDirect(t, objects, 1), CreateRepo{Repo: "a"})
		rates := fault.Rates{Throttled: 0.03, Failed: 0.02, NotSent: 0.05, AckLost: 0.05}
		f := fault.New(objects, fault.Options{})
		var want []string
		for i := range 6 {
			file := fmt.Sprintf("f%d", i)
			res, err := persist(t, f, uint64(seed), i, file, fault.Random(uint64(seed*100+i), rates))
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			want = append(want, res.ID.String())
		}
		var got []string
		d := openDirect(t, objects, 2)
		for e, err := range Log(ownerCtx(t), d, "a", commit.LogOptions{FirstParent: true}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append([]string{e.ID.String()}, got...)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("seed %d: versions %v, acknowledged %v", seed, got, want)
		}
		checkStore(t, objects)
	}
}

// persist repeats a commit in new processes until it is certain.
func persist(t *testing.T, f *fault.Store, seed uint64, i int, file string, plan fault.Plan) (CommitResult, error) {
	var err error
	for try := range 200 {
		f.Revive(plan)
		o := testOptions(seed<<16 + uint64(i)<<8 + uint64(try))
		var d *Direct
		if d, err = OpenDirect(ownerCtx(t), f, o); err != nil {
			continue
		}
		var res CommitResult
		res, err = put(ownerCtx(t), d, CommitOptions{Op: fixedOp(i + 1)}, file, file)
		d.Close()
		if err == nil {
			return res, nil
		}
	}
	return CommitResult{}, fmt.Errorf("no success in 200 attempts: %w", err)
}

// TestStoreModel runs random operations of two processes against a map from
// branch to files.
func TestStoreModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		ctx := ownerCtx(t)
		objects := mem.New(mem.Options{})
		ds := []*Direct{newDirect(t, objects, 1), openDirect(t, objects, 2)}
		move(t, ds[0], CreateRepo{Repo: "a"})
		model := map[string]map[string]string{"main": {}}
		branch := rapid.SampledFrom([]string{"main", "b1", "b2"})
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			d := ds[rapid.IntRange(0, 1).Draw(rt, "process")]
			b := branch.Draw(rt, "branch")
			files, there := model[b]
			switch rapid.IntRange(0, 3).Draw(rt, "step") {
			case 0, 1:
				name, text := rapid.SampledFrom([]string{"x", "y/z", "y/w"}).Draw(rt, "file"), rapid.StringN(0, 3, 9).Draw(rt, "text")
				if _, err := put(ctx, d, CommitOptions{Branch: b}, name, text); err != nil {
					rt.Fatal(err)
				}
				if !there {
					files = map[string]string{}
					model[b] = files
				}
				files[name] = text
			case 2:
				forkModel(ctx, rt, d, model, b, branch.Draw(rt, "from"))
			case 3:
				if there && b != "main" {
					head, err := headOf(ctx, d, "a@"+b)
					if err != nil {
						rt.Fatal(err)
					}
					move(t, d, DeleteBranch{Repo: "a", Branch: b, Expect: head})
					delete(model, b)
				}
			}
		}
		checkModel(ctx, t, rt, ds[1], model)
	})
}

func forkModel(ctx context.Context, t *rapid.T, d *Direct, model map[string]map[string]string, b, from string) {
	o, err := d.NewOp()
	if err != nil {
		t.Fatal(err)
	}
	head, err := headOf(ctx, d, "a@"+from)
	files, fromThere := model[from]
	if (err == nil) != fromThere {
		t.Fatalf("branch %s: %v", from, err)
	}
	if !fromThere {
		return
	}
	_, there := model[b]
	_, err = d.Move(ctx, Txn{Op: o, Ops: []Op{CreateBranch{Repo: "a", Branch: b, From: head}}})
	if (err == nil) != !there {
		t.Fatalf("create %s from %s: %v", b, from, err)
	}
	if err == nil {
		model[b] = map[string]string{}
		for k, v := range files {
			model[b][k] = v
		}
	}
}

func checkModel(ctx context.Context, tt *testing.T, t *rapid.T, d *Direct, model map[string]map[string]string) {
	v, err := d.View(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Repos["a"].Branches) != len(model) {
		t.Fatalf("branches %v, want %v", v.Repos["a"].Branches, model)
	}
	for b, files := range model {
		tr, _, err := Open(ctx, d, "a@"+b)
		if err != nil {
			t.Fatal(err)
		}
		if tr.Root().Files != int64(len(files)) {
			t.Fatalf("%s has %d files, want %v", b, tr.Root().Files, files)
		}
		for name, text := range files {
			if got := get(tt, d, "a@"+b+":/"+name); got != text {
				t.Fatalf("%s:/%s is %q, want %q", b, name, got, text)
			}
		}
	}
}

// TestCarryOn repeats a commit whose first attempt died right before the swap:
// what it prepared is carried on, and the commit is the first attempt's. The
// second store hides what was moved, as a daemon may.
func TestCarryOn(t *testing.T) {
	for _, hide := range []bool{false, true} {
		objects := mem.New(mem.Options{})
		move(t, newDirect(t, objects, 1), CreateRepo{Repo: "a"})
		d := faulty(t, objects, time.Millisecond, func(c fault.Call) fault.Effect {
			return fault.Effect{Crash: c.Kind == fault.Put && c.Key == rootObject}
		})
		o := CommitOptions{Repo: "a", Op: fixedOp(1), Time: testTime, Message: "first attempt"}
		if _, err := put(ownerCtx(t), d, o, "f", "x"); !errors.Is(err, ErrUnknown) {
			t.Fatal(err)
		}
		again := Store(openDirect(t, objects, 2))
		if hide {
			again = hiding{again}
		}
		o.Message = "second attempt"
		res, err := PutFile(ownerCtx(t), again, o, "f", tree.Entry{}, strings.NewReader("x"))
		if err != nil || !res.Replay || res.Commit.Message != "first attempt" {
			t.Fatalf("hide %v: %+v, %v", hide, res, err)
		}
		if head, err := Resolve(ownerCtx(t), again, "a"); err != nil || head.ID != res.ID {
			t.Errorf("hide %v: head %v, %v, want %v", hide, head.ID, err, res.ID)
		}
		checkStore(t, objects)
	}
}

// hiding is a Store whose results say less.
type hiding struct{ Store }

func (h hiding) Session(ctx context.Context, s Scope) (Session, error) {
	in, err := h.Store.Session(ctx, s)
	return hidingSession{in}, err
}

type hidingSession struct{ Session }

func (h hidingSession) Publish(ctx context.Context, t Txn) (Result, error) {
	res, err := h.Session.Publish(ctx, t)
	res.Moved = nil
	return res, err
}
