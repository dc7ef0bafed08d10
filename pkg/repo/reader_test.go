package repo

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

// TestGetManyGivesOnce: an error of who takes chunks ends a batch, also if it
// is of a kind that a store's own may be; and what is newer than the reader is
// found, without giving anything twice.
func TestGetManyGivesOnce(t *testing.T) {
	ctx := ownerCtx(t)
	d := newDirect(t, mem.New(mem.Options{}), 1)
	move(t, d, CreateRepo{Repo: "a"})
	mustPut(t, d, "main", "a", "one")
	r, err := d.ReadAny(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, d, "main", "b", "two") // the reader does not know of it yet
	ids := []chunk.ID{chunk.Data.Sum([]byte("two")), chunk.Data.Sum([]byte("one")), chunk.Data.Sum([]byte("two"))}
	given := make([]int, len(ids))
	err = chunk.GetMany(ctx, r, chunk.Data, ids, func(i int, plain []byte) error {
		if given[i]++; chunk.Data.Sum(plain) != ids[i] {
			return fmt.Errorf("%d is %q", i, plain)
		}
		return nil
	})
	if want := []int{1, 1, 1}; err != nil || !slices.Equal(given, want) {
		t.Errorf("given %v, %v", given, err)
	}
	calls := 0
	err = chunk.GetMany(ctx, r, chunk.Data, ids, func(int, []byte) error {
		calls++
		return fmt.Errorf("mine: %w", chunk.ErrNotFound)
	})
	if calls != 1 || !errors.Is(err, chunk.ErrNotFound) {
		t.Errorf("%d calls after an error, %v", calls, err)
	}
}

// TestSessionGetMany: a session gives, each once, what it has put and not sealed
// yet, what is in its base, and what others published since.
func TestSessionGetMany(t *testing.T) {
	ctx := ownerCtx(t)
	d := newDirect(t, mem.New(mem.Options{}), 1)
	move(t, d, CreateRepo{Repo: "a"})
	mustPut(t, d, "main", "a", "one")
	s, err := d.Session(ctx, Scope{Repo: "a", Branch: "main"})
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, d, "main", "b", "two")
	if _, err := s.Put(ctx, chunk.Data, []byte("three")); err != nil {
		t.Fatal(err)
	}
	var ids []chunk.ID
	for _, text := range []string{"three", "one", "two", "three", "one"} {
		ids = append(ids, chunk.Data.Sum([]byte(text)))
	}
	given := make([]int, len(ids))
	many, ok := s.(chunk.BatchReader)
	if !ok {
		t.Fatal("a session gets chunks one by one")
	}
	err = many.GetMany(ctx, chunk.Data, ids, func(i int, plain []byte) error {
		if given[i]++; chunk.Data.Sum(plain) != ids[i] {
			return fmt.Errorf("%d is %q", i, plain)
		}
		return nil
	})
	if want := []int{1, 1, 1, 1, 1}; err != nil || !slices.Equal(given, want) {
		t.Errorf("given %v, %v", given, err)
	}
	err = many.GetMany(ctx, chunk.Data, []chunk.ID{ids[0], {1}}, func(int, []byte) error { return nil })
	if !errors.Is(err, chunk.ErrNotFound) {
		t.Errorf("what nobody has: %v", err)
	}
}
