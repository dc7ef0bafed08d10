package repo

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

// TestLease lets a long upload renew its lease, and grow too old.
func TestLease(t *testing.T) {
	c := &clock{now: testTime}
	objects := mem.New(mem.Options{Now: c.Now})
	o := testOptions(1)
	o.Now = c.Now
	d, err := Init(ownerCtx(t), objects, InitOptions{Options: o})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	move(t, d, CreateRepo{Repo: "a"})
	s, err := d.Session(ownerCtx(t), Scope{Repo: "a"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	written := func() (infos []objstore.Info) {
		for info, err := range objects.List(ownerCtx(t), SessionPrefix, "") {
			if err != nil {
				t.Fatal(err)
			}
			infos = append(infos, info)
		}
		return infos
	}
	put := func(n int) error {
		_, err := s.Put(ownerCtx(t), chunk.Data, fmt.Append(nil, n))
		return err
	}
	first := written()
	for n := range 100 {
		c.mu.Lock()
		c.now = c.now.Add(LeaseRenew / 3)
		c.mu.Unlock()
		if err := put(n); err != nil {
			t.Fatal(err)
		}
		now := written()
		if len(now) != 1 || now[0].Key != first[0].Key || c.Now().Sub(now[0].ModTime) > LeaseRenew+time.Minute {
			t.Fatalf("after %d writes: %+v", n, now)
		}
	}
	c.mu.Lock()
	c.now = c.now.Add(SessionAgeMax)
	c.mu.Unlock()
	if err := put(101); !errors.Is(err, ErrDoomed) {
		t.Errorf("after a week: %v", err)
	}
	op, _ := d.NewOp()
	if _, err := s.Publish(ownerCtx(t), Txn{Op: op, Ops: []Op{CreateBranch{Repo: "a", Branch: "b"}}}); !errors.Is(err, ErrDoomed) {
		t.Errorf("published after a week: %v", err)
	}
}
