package lease

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

func newBoard(t *testing.T) *Board {
	t.Helper()
	b, err := New(Options{Now: time.Now, Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func admit(t *testing.T, b *Board, id string) Key {
	t.Helper()
	k, err := b.Admit(Worker{ID: id, Pool: "p"})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// outcome is what a Run came to.
type outcome struct {
	result task.Result
	err    error
}

func start(ctx context.Context, b *Board, pool Pool, t task.Task, s chunk.Store) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		r, err := b.Run(ctx, pool, t, s)
		done <- outcome{r, err}
	}()
	return done
}

func take(t *testing.T, b *Board, k Key) Lease {
	t.Helper()
	leases, err := b.Take(t.Context(), k, 1)
	if err != nil || len(leases) != 1 {
		t.Fatalf("took %v, %v", leases, err)
	}
	return leases[0]
}

// directory stores a directory of one file and returns it.
func directory(t *testing.T, s chunk.Store, text string) tree.Root {
	t.Helper()
	id, err := s.Put(t.Context(), chunk.Data, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	b := tree.NewBuilder(s)
	if err := b.Add(t.Context(), "a/f", tree.Entry{Kind: tree.File, Content: chunk.Content{ID: id, Size: int64(len(text))}}); err != nil {
		t.Fatal(err)
	}
	root, err := b.Finish(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// leased is the store of a lease, as a worker has it.
type leased struct {
	b     *Board
	k     Key
	token uint64
}

func (l leased) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	return l.b.Read(ctx, l.k, l.token, kind, id)
}

func (l leased) Put(ctx context.Context, kind chunk.Kind, data []byte) (chunk.ID, error) {
	return l.b.Write(ctx, l.k, l.token, kind, data)
}

func (leased) Flush(context.Context) error { return nil }

func TestATaskGoesToOneWorkerAndComesBack(t *testing.T) {
	b, s := newBoard(t), &chunk.Mem{}
	k := admit(t, b, "w")
	done := start(t.Context(), b, "p", task.Task{Key: memo.Key{1}}, s)
	l := take(t, b, k)
	if l.Task.Key != (memo.Key{1}) {
		t.Fatalf("leased %v", l.Task.Key)
	}
	r := task.Result{Outcome: task.Succeeded, Output: directory(t, leased{b, k, l.Token}, "hello")}
	if err := b.Report(t.Context(), k, l.Token, r, ""); err != nil {
		t.Fatal(err)
	}
	if got := <-done; got.err != nil || got.result.Output != r.Output {
		t.Errorf("%+v", got)
	}
	if err := b.Report(t.Context(), k, l.Token, r, ""); !errors.Is(err, ErrGone) {
		t.Errorf("a second report: %v, want ErrGone", err)
	}
}

func TestOtherPoolsTasksAreNotTaken(t *testing.T) {
	b := newBoard(t)
	k := admit(t, b, "w")
	ctx, cancel := context.WithCancel(t.Context())
	done := start(ctx, b, "other", task.Task{}, &chunk.Mem{})
	short, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if leases, err := b.Take(short, k, 1); err != nil || len(leases) != 0 {
		t.Errorf("took %v, %v", leases, err)
	}
	cancel()
	if got := <-done; !errors.Is(got.err, context.Canceled) {
		t.Errorf("%v", got.err)
	}
	if d, _ := b.Demand(); d["other"].Waiting != 0 {
		t.Errorf("what was withdrawn still waits: %+v", d)
	}
}

// A worker that was given up reports too late: nothing of it counts.
func TestZombieReportsNothing(t *testing.T) {
	b, s := newBoard(t), &chunk.Mem{}
	zombie := admit(t, b, "zombie")
	done := start(t.Context(), b, "p", task.Task{}, s)
	l := take(t, b, zombie)
	b.Lost("zombie", "its node is gone")
	if got := <-done; got.err == nil || !strings.Contains(got.err.Error(), "its node is gone") {
		t.Fatalf("%v", got.err)
	}
	if err := b.Report(t.Context(), zombie, l.Token, task.Result{}, ""); !errors.Is(err, ErrGone) {
		t.Errorf("report: %v, want ErrGone", err)
	}
	if _, err := b.Write(t.Context(), zombie, l.Token, chunk.Data, []byte("x")); !errors.Is(err, ErrGone) {
		t.Errorf("write: %v, want ErrGone", err)
	}
	// It is admitted again, and its old lease stays ended.
	again := admit(t, b, "zombie")
	if err := b.Report(t.Context(), again, l.Token, task.Result{}, ""); !errors.Is(err, ErrGone) {
		t.Errorf("report with a new key: %v, want ErrGone", err)
	}
}

func TestCancelIsHeardWithTheNextBeat(t *testing.T) {
	b := newBoard(t)
	k := admit(t, b, "w")
	ctx, cancel := context.WithCancel(t.Context())
	done := start(ctx, b, "p", task.Task{}, &chunk.Mem{})
	l := take(t, b, k)
	if ended, leave, err := b.Beat(k, []uint64{l.Token}); err != nil || leave || len(ended) != 0 {
		t.Fatalf("ended %v, leave %v, %v", ended, leave, err)
	}
	cancel()
	<-done
	if ended, _, err := b.Beat(k, []uint64{l.Token}); err != nil || len(ended) != 1 || ended[0] != l.Token {
		t.Errorf("ended %v, %v", ended, err)
	}
	b.Leave("w")
	if _, leave, err := b.Beat(k, nil); err != nil || !leave {
		t.Errorf("leave %v, %v", leave, err)
	}
	if leases, err := b.Take(t.Context(), k, 1); err != nil || len(leases) != 0 {
		t.Errorf("a worker that is to leave took %v, %v", leases, err)
	}
}

// A worker that never heard of a lease, or has forgotten it, does not keep it.
func TestUnnamedLeasesWaitAgain(t *testing.T) {
	b, s := newBoard(t), &chunk.Mem{}
	k := admit(t, b, "w")
	done := start(t.Context(), b, "p", task.Task{Attempt: 1}, s)
	known := take(t, b, k)
	start(t.Context(), b, "p", task.Task{Attempt: 2}, s)
	lost := take(t, b, k)
	beat := func() {
		t.Helper()
		if ended, _, err := b.Beat(k, []uint64{known.Token}); err != nil || len(ended) > 0 {
			t.Fatalf("ended %v, %v", ended, err)
		}
	}
	for range unnamedMax - 1 {
		beat()
	}
	if d, _ := b.Demand(); d["p"].Waiting != 0 || d["p"].Leased != 2 {
		t.Fatalf("before the last beat: %+v", d)
	}
	k = admit(t, b, "w") // the process began anew
	beat()
	if d, _ := b.Demand(); d["p"].Waiting != 1 || d["p"].Leased != 1 {
		t.Fatalf("after it: %+v", d)
	}
	again := take(t, b, admit(t, b, "other"))
	if again.Task.Attempt != 2 || again.Token == lost.Token {
		t.Errorf("leased again: %+v", again)
	}
	if err := b.Report(t.Context(), k, lost.Token, task.Result{}, ""); !errors.Is(err, ErrGone) {
		t.Errorf("the lease that was lost: %v, want ErrGone", err)
	}
	if err := b.Report(t.Context(), k, known.Token, task.Result{Outcome: task.Failed}, ""); err != nil {
		t.Error(err)
	}
	if got := <-done; got.err != nil {
		t.Error(got.err)
	}
}

func TestSilentWorkersAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(t)
		silent, loud := admit(t, b, "silent"), admit(t, b, "loud")
		done := start(t.Context(), b, "p", task.Task{}, &chunk.Mem{})
		synctest.Wait()
		take(t, b, silent)
		time.Sleep(Patience)
		b.Expire()
		if _, _, err := b.Beat(loud, nil); err != nil {
			t.Errorf("after exactly its patience: %v", err)
		}
		time.Sleep(time.Second)
		b.Expire()
		if got := <-done; got.err == nil || !strings.Contains(got.err.Error(), "no sign of life") {
			t.Errorf("%v", got.err)
		}
		if _, _, err := b.Beat(loud, nil); err != nil {
			t.Errorf("the worker that beat: %v", err)
		}
		if _, _, err := b.Beat(silent, nil); !errors.Is(err, ErrGone) {
			t.Errorf("the silent worker: %v, want ErrGone", err)
		}
	})
}

func TestRefuseEndsWhatWaits(t *testing.T) {
	b := newBoard(t)
	k := admit(t, b, "w")
	leasedOut := start(t.Context(), b, "p", task.Task{}, &chunk.Mem{})
	l := take(t, b, k)
	waiting := start(t.Context(), b, "p", task.Task{}, &chunk.Mem{})
	for d, changed := b.Demand(); d["p"].Waiting == 0; d, changed = b.Demand() {
		<-changed
	}
	b.Refuse("p", "image x can't be pulled")
	if got := <-waiting; got.err == nil || got.err.Error() != "image x can't be pulled" {
		t.Errorf("%v", got.err)
	}
	if err := b.Report(t.Context(), k, l.Token, task.Result{Outcome: task.Failed}, ""); err != nil {
		t.Errorf("what a worker has is not refused: %v", err)
	}
	<-leasedOut
}

// What a lease opens: the task's inputs and code and what is below them, what
// was written through it, and nothing else of the store.
func TestScope(t *testing.T) {
	b, s := newBoard(t), &chunk.Mem{}
	secret := directory(t, s, "a secret")
	input, code := directory(t, s, "an input"), directory(t, s, "the code")
	k := admit(t, b, "w")
	start(t.Context(), b, "p", task.Task{
		Code:   code,
		Inputs: []task.Input{{Name: "in", Items: []task.Item{{Path: "d", Entry: tree.Entry{Name: "d", Kind: tree.Dir, Dir: input}}}}},
	}, s)
	l := take(t, b, k)
	mine := leased{b, k, l.Token}
	text := func(root tree.Root) (string, error) {
		e, err := tree.Open(mine, root).Lookup(t.Context(), "a/f")
		if err != nil {
			return "", err
		}
		c, err := mine.Get(t.Context(), chunk.Data, e.Content.ID)
		return string(c), err
	}
	for _, root := range []tree.Root{input, code} {
		if _, err := text(root); err != nil {
			t.Errorf("a part of the task: %v", err)
		}
	}
	if got, err := text(secret); !errors.Is(err, ErrScope) {
		t.Errorf("another directory: %q, %v", got, err)
	}
	if _, err := mine.Get(t.Context(), chunk.Data, chunk.Data.Sum([]byte("a secret"))); !errors.Is(err, ErrScope) {
		t.Errorf("a chunk by its ID: %v", err)
	}
	node, err := s.Get(t.Context(), chunk.Node, chunk.ID(secret.ID))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mine.Put(t.Context(), chunk.Node, node); !errors.Is(err, ErrScope) {
		t.Errorf("a directory of chunks that the task does not have: %v", err)
	}
	for _, r := range []task.Result{
		{Outcome: task.Succeeded, Output: secret},
		{Outcome: task.Failed, Log: chunk.Content{ID: chunk.Data.Sum([]byte("a secret")), Size: 8}},
	} {
		o, err := b.offer(k, l.Token)
		if err != nil {
			t.Fatal(err)
		}
		if err := o.believe(t.Context(), r); !errors.Is(err, ErrScope) {
			t.Errorf("a result that it did not write: %v", err)
		}
	}
}

// A directory that says of itself what its entries do not make is refused,
// although its bytes are what their hash says.
func TestFalseOutputIsNotBelieved(t *testing.T) {
	b, s := newBoard(t), &chunk.Mem{}
	k := admit(t, b, "w")
	done := start(t.Context(), b, "p", task.Task{}, s)
	l := take(t, b, k)
	out := directory(t, leased{b, k, l.Token}, "hello")
	out.Files++
	if err := b.Report(t.Context(), k, l.Token, task.Result{Outcome: task.Succeeded, Output: out}, ""); err != nil {
		t.Fatal(err)
	}
	if got := <-done; !errors.Is(got.err, chunk.ErrCorrupt) {
		t.Errorf("%v, want chunk.ErrCorrupt", got.err)
	}
}

// Many workers, some of which are lost with what they have: every task is
// answered once, and no lease is given twice.
func TestManyWorkers(t *testing.T) {
	const tasks, workers = 500, 8
	b, s := newBoard(t), &chunk.Mem{}
	var mu sync.Mutex
	seen := map[uint64]bool{}
	ctx, stop := context.WithCancel(t.Context())
	var crew sync.WaitGroup
	for i := range workers {
		k := admit(t, b, string(rune('a'+i)))
		crew.Go(func() {
			for n := 0; ; n++ {
				leases, err := b.Take(ctx, k, 3)
				if err != nil || ctx.Err() != nil {
					return
				}
				for _, l := range leases {
					mu.Lock()
					if seen[l.Token] {
						t.Errorf("lease %d was given twice", l.Token)
					}
					seen[l.Token] = true
					mu.Unlock()
					if i == 0 && n == 20 {
						b.Lost("a", "lost")
						return
					}
					if err := b.Report(ctx, k, l.Token, task.Result{Outcome: task.Failed}, ""); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	var all sync.WaitGroup
	for i := range tasks {
		all.Go(func() {
			for {
				_, err := b.Run(t.Context(), "p", task.Task{Attempt: i}, s)
				if err == nil {
					return
				}
				if err.Error() != "lost" {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	stop()
	crew.Wait()
	if d, _ := b.Demand(); d["p"].Waiting+d["p"].Leased != 0 {
		t.Errorf("left over: %+v", d)
	}
}

func TestKeysAreSecrets(t *testing.T) {
	b, err := New(Options{Now: time.Now, Rand: bytes.NewReader(nil)})
	if err != nil {
		t.Fatal(err)
	}
	if k, err := b.Admit(Worker{ID: "w"}); err == nil {
		t.Errorf("key %q without a source of secrets", k)
	}
	if _, err := b.Take(t.Context(), "", 1); !errors.Is(err, ErrGone) {
		t.Errorf("the empty key: %v", err)
	}
}
