package repo

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/tree"
)

func absent(there *tree.Entry) error {
	if there != nil {
		return fs.ErrExist
	}
	return nil
}

// TestRefusalByTheOwnGroup refuses a write because of another of its group,
// which then is not made.
func TestRefusalByTheOwnGroup(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := replica(t, objects)
	move(t, d, CreateRepo{Repo: "a"})
	w, other := writer(t, d, WriterOptions{Manual: true}), writer(t, replica(t, objects), WriterOptions{Manual: true})
	asked := 0
	first := func(*tree.Entry) error {
		if asked++; asked > 1 {
			return fs.ErrPermission
		}
		mustOpenPut(t, other, "between", "1") // so that the group is built anew
		return nil
	}
	u, err := w.Upload(ownerCtx(t))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	var group []*pendingWrite
	for _, check := range []func(*tree.Entry) error{first, absent} {
		p, err := w.prepare(ownerCtx(t), u.s, OpenWrite{Repo: "a", Branch: "main", Edits: []OpenEdit{
			{Path: "f", Entry: &tree.Entry{Kind: tree.File}, Check: check},
		}})
		if err != nil {
			t.Fatal(err)
		}
		group = append(group, p)
	}
	w.commitGroup(ownerCtx(t), group)
	if asked != 2 || !errors.Is(group[0].err, fs.ErrPermission) {
		t.Errorf("asked %d times: %v", asked, group[0].err)
	}
	if group[1].err != nil {
		t.Errorf("refused for a file that is not there: %v", group[1].err)
	}
	if got := seen(t, d); !strings.Contains(got, "f") {
		t.Errorf("visible: %q", got)
	}
}

// TestOpeningASessionHoldsNobodyUp opens a session while a write goes on that
// has one, and while others wait for the new one.
func TestOpeningASessionHoldsNobodyUp(t *testing.T) {
	entered, gate := make(chan struct{}), make(chan struct{})
	var sessions atomic.Int32 // opened since the gate is closed
	var closed atomic.Bool
	objects := fault.New(mem.New(mem.Options{}), fault.Options{Delay: func(_ context.Context, c fault.Call) error {
		if closed.Load() && c.Kind == fault.Put && strings.HasPrefix(c.Key, SessionPrefix) && c.Cond.IfAbsent {
			if sessions.Add(1) == 1 {
				close(entered)
			}
			<-gate
		}
		return nil
	}})
	d := replica(t, objects)
	move(t, d, CreateRepo{Repo: "a"})
	w := writer(t, d, WriterOptions{Manual: true})
	u, err := w.Upload(ownerCtx(t))
	if err != nil {
		t.Fatal(err)
	}
	defer u.Close()
	u.s.mu.Lock()
	u.s.doom = true // for new uploads
	u.s.mu.Unlock()
	closed.Store(true)
	var waiting sync.WaitGroup
	for i := range 4 {
		waiting.Go(func() {
			if err := openPut(ownerCtx(t), w, fmt.Sprint(i), "x", nil); err != nil {
				t.Error(err)
			}
		})
	}
	<-entered
	if _, err := u.Write(ownerCtx(t), OpenWrite{Repo: "a", Branch: "main", Edits: []OpenEdit{{Path: "f", Entry: &tree.Entry{Kind: tree.File}}}}); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(ownerCtx(t))
	cancel()
	if _, err := w.Upload(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("who does not wait any more: %v", err)
	}
	close(gate)
	waiting.Wait()
	if n := sessions.Load(); n != 1 {
		t.Errorf("%d sessions were opened", n)
	}
}

// TestOneBranchTooMany writes to one branch more than may be open: its write is
// to be made again later, and those of its group are made.
func TestOneBranchTooMany(t *testing.T) {
	d := replica(t, mem.New(mem.Options{}))
	ops := []Op{CreateRepo{Repo: "a"}}
	for i := range OpenMax {
		ops = append(ops, CreateBranch{Repo: "a", Branch: fmt.Sprint("b", i)})
	}
	move(t, d, ops...)
	w := writer(t, d, WriterOptions{Manual: true})
	write := func(branch string) error {
		_, err := w.Write(ownerCtx(t), OpenWrite{Repo: "a", Branch: branch, Edits: []OpenEdit{{Path: "f", Entry: &tree.Entry{Kind: tree.File}}}})
		return err
	}
	var wg sync.WaitGroup
	var late atomic.Pointer[string] // the branch that was too many
	for i := range OpenMax + 1 {
		branch := fmt.Sprint("b", i)
		if i == OpenMax {
			branch = "main"
		}
		wg.Go(func() {
			err := write(branch)
			if errors.Is(err, objstore.ErrThrottled) && late.CompareAndSwap(nil, &branch) {
				return
			}
			if err != nil {
				t.Errorf("%s: %v", branch, err)
			}
		})
	}
	wg.Wait()
	if late.Load() == nil {
		t.Fatalf("more than %d branches are open", OpenMax)
	}
	one := "b0"
	if *late.Load() == one {
		one = "b1"
	}
	if _, err := w.Seal(ownerCtx(t), "a", one); err != nil {
		t.Fatal(err)
	}
	if err := write(*late.Load()); err != nil {
		t.Errorf("after a seal: %v", err)
	}
}
