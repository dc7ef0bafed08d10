package proof

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
)

const (
	clients      = 8
	opsPerClient = 50
)

// call is what a client asks of a branch: a change of it, or where it is.
type call struct {
	branch     string
	kind       string // "create", "move", "delete", "read"
	expect, to commit.ID
}

// answer is what it was told: where the branch is, or how a change ended.
type answer struct {
	at      commit.ID // of a read; zero for no such branch
	ok      bool
	unknown bool // nobody knows: it may be applied at any time from then on
}

// branches is the model: one register per branch, changed only if it is where
// the change expects it.
func branches() porcupine.Model {
	return porcupine.Model{
		Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
			by := map[string][]porcupine.Operation{}
			for _, op := range history {
				b := op.Input.(call).branch
				by[b] = append(by[b], op)
			}
			var parts [][]porcupine.Operation
			for _, part := range by {
				parts = append(parts, part)
			}
			return parts
		},
		Init: func() any { return commit.ID{} },
		Step: func(state, input, output any) (bool, any) {
			at, in, out := state.(commit.ID), input.(call), output.(answer)
			if in.kind == "read" {
				return out.at == at, at
			}
			holds := in.expect == at
			switch {
			case out.unknown && !holds:
				return true, at
			case out.unknown:
				return true, in.to
			case out.ok:
				return holds, in.to
			}
			return !holds, at
		},
	}
}

// TestLinearizable lets processes change and read branches of one store at
// once, over a store that loses answers, and holds what they were told to one
// order of all changes that respects time.
func TestLinearizable(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := create(t, objects)
	var commits []commit.ID
	for i := range 5 {
		commits = append(commits, mustPut(t, d, "main", "f", fmt.Sprint(i)).ID)
	}
	first, end := seedRange(t, seeds(12, 1))
	var unknowns, total atomic.Int64
	err := workers(int(end-first), func(i int) error {
		seed := first + uint64(i)
		history := clientsRun(t, clone(t, objects), commits, seed)
		for _, op := range history {
			if op.Output.(answer).unknown {
				unknowns.Add(1)
			}
		}
		total.Add(int64(len(history)))
		if res := porcupine.CheckOperationsTimeout(branches(), history, 5*time.Minute); res != porcupine.Ok {
			return fmt.Errorf("DVX_SEED=%d: history of %d operations is %s", seed, len(history), res)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	figure(t, "%d concurrent histories, %d operations, %d of unknown outcome: all linearizable", end-first, total.Load(), unknowns.Load())
}

// clientsRun returns what all clients asked and were told.
func clientsRun(t testing.TB, objects *mem.Store, commits []commit.ID, seed uint64) []porcupine.Operation {
	var now atomic.Int64
	var mu sync.Mutex
	var history []porcupine.Operation
	var wg sync.WaitGroup
	for id := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(id)))
			rates := fault.Rates{Throttled: 0.01, NotSent: 0.005, AckLost: 0.005}
			f := fault.New(objects, fault.Options{Plan: fault.Random(rng.Uint64(), rates), Delay: func(context.Context, fault.Call) error {
				runtime.Gosched()
				return nil
			}})
			o := options(seed)
			o.RetryFor = 3 * time.Second // of a clock that moves a second at each look: unknown outcomes stay so
			var d *repo.Direct
			for err := errTimeout; err != nil; {
				if d, err = repo.OpenDirect(owner(t), f, o); errors.Is(err, fs.ErrNotExist) {
					t.Error(err)
					return
				}
			}
			defer d.Close()
			last := map[string]commit.ID{}
			for range opsPerClient {
				in := randomCall(rng, commits, last)
				from := now.Add(1)
				out := ask(owner(t), d, in)
				to := now.Add(1)
				if out.unknown {
					to = math.MaxInt64
				}
				if in.kind == "read" {
					if out.unknown {
						continue
					}
					last[in.branch] = out.at
				}
				mu.Lock()
				history = append(history, porcupine.Operation{ClientId: id, Input: in, Call: from, Output: out, Return: to})
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return history
}

func randomCall(rng *rand.Rand, commits []commit.ID, last map[string]commit.ID) call {
	c := call{branch: fmt.Sprintf("b%d", rng.IntN(3)), kind: "read"}
	if rng.IntN(3) == 0 {
		return c
	}
	c.expect = last[c.branch]
	if rng.IntN(8) == 0 {
		c.expect = commits[rng.IntN(len(commits))]
	}
	switch {
	case c.expect.IsZero():
		c.kind, c.to = "create", commits[rng.IntN(len(commits))]
	case rng.IntN(4) == 0:
		c.kind = "delete"
	default:
		c.kind, c.to = "move", commits[rng.IntN(len(commits))]
	}
	return c
}

// ask carries out a call.
func ask(ctx context.Context, d *repo.Direct, c call) answer {
	if c.kind == "read" {
		v, err := d.View(ctx)
		if err != nil {
			return answer{unknown: true}
		}
		return answer{at: v.Repos["r"].Branches[c.branch].Commit}
	}
	var op repo.Op
	switch c.kind {
	case "create":
		op = repo.CreateBranch{Repo: "r", Branch: c.branch, From: c.to}
	case "delete":
		op = repo.DeleteBranch{Repo: "r", Branch: c.branch, Expect: c.expect}
	default:
		op = repo.MoveBranch{Repo: "r", Branch: c.branch, Expect: c.expect, To: c.to, Force: true}
	}
	id, err := d.NewOp()
	if err == nil {
		_, err = d.Move(ctx, repo.Txn{Op: id, Ops: []repo.Op{op}})
	}
	switch {
	case err == nil:
		return answer{ok: true}
	case errors.Is(err, repo.ErrConflict), errors.Is(err, fs.ErrExist), errors.Is(err, repo.ErrRefNotFound):
		return answer{}
	}
	return answer{unknown: true} // or never tried: which is among what may have happened
}

// TestLinearizableCanFail: the checker refuses a history in which a change is
// lost.
func TestLinearizableCanFail(t *testing.T) {
	a, b := commit.ID{1}, commit.ID{2}
	history := []porcupine.Operation{
		{ClientId: 0, Input: call{branch: "x", kind: "create", to: a}, Call: 1, Output: answer{ok: true}, Return: 2},
		{ClientId: 0, Input: call{branch: "x", kind: "move", expect: a, to: b}, Call: 3, Output: answer{ok: true}, Return: 6},
		{ClientId: 1, Input: call{branch: "x", kind: "read"}, Call: 7, Output: answer{at: a}, Return: 8},
	}
	if porcupine.CheckOperations(branches(), history) {
		t.Error("a lost change was not seen")
	}
	history[2].Call = 4 // it may have read before the change
	if !porcupine.CheckOperations(branches(), history) {
		t.Error("a possible history was refused")
	}
}
