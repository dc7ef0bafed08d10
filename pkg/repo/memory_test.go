package repo

import (
	"crypto/rand"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore/mem"
)

type marks struct {
	m      Mark
	before func() // what happens before it answers
}

func (m *marks) Seen(string) (Mark, bool) {
	if m.before != nil {
		m.before()
	}
	return m.m, m.m.Gen > 0
}

func (m *marks) Remember(x Mark) {
	if x.Gen > m.m.Gen {
		m.m = x
	}
}

func (m *marks) String() string { return "FILE" }

// TestRollback opens stores that were set back, replaced, or have gone on.
func TestRollback(t *testing.T) {
	objects := mem.New(mem.Options{})
	d := newDirect(t, objects, 1)
	move(t, d, CreateRepo{Repo: "a"})
	early := clone(t, objects)
	m := &marks{}
	open := func(objects *mem.Store) (*Direct, error) {
		o := testOptions(2)
		o.Memory = m
		d, err := OpenDirect(ownerCtx(t), objects, o)
		if err == nil {
			t.Cleanup(func() { d.Close() })
		}
		return d, err
	}
	seen, err := open(objects)
	if err != nil {
		t.Fatal(err)
	}
	move(t, seen, CreateBranch{Repo: "a", Branch: "seen"})
	if m.m.Gen != 3 {
		t.Fatalf("%+v is remembered", m.m)
	}
	if _, err := open(early); !errors.Is(err, ErrRollback) {
		t.Errorf("an old copy: %v", err)
	}
	fork := openDirect(t, early, 3)
	for _, name := range []string{"of-the-same-generation", "that-has-gone-on"} {
		move(t, fork, CreateBranch{Repo: "a", Branch: name})
		if _, err := open(early); !errors.Is(err, ErrRollback) {
			t.Errorf("a fork, %s: %v", name, err)
		}
	}
	move(t, openDirect(t, objects, 4), DeleteBranch{Repo: "a", Branch: "seen"})
	if _, err := open(objects); err != nil || m.m.Gen != 4 {
		t.Errorf("the same store later: %+v, %v", m.m, err)
	}
}

// TestNoRollback lets another process move the root while a store is opened.
func TestNoRollback(t *testing.T) {
	objects := mem.New(mem.Options{})
	m := &marks{}
	o := testOptions(1)
	o.Memory = m
	d, err := Init(ownerCtx(t), objects, InitOptions{Options: o})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	move(t, d, CreateRepo{Repo: "a"})
	m.before = func() { move(t, d, CreateBranch{Repo: "a", Branch: "b"}) }
	o = testOptions(2)
	o.Memory = m
	again, err := OpenDirect(ownerCtx(t), objects, o)
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if m.m.Gen != 3 {
		t.Errorf("%+v is remembered", m.m)
	}
}

// TestMemoryOfOpenWrites counts how often a memory is told of roots that move
// open commits: once a second, of those that do more at once, and of the last.
func TestMemoryOfOpenWrites(t *testing.T) {
	objects := mem.New(mem.Options{})
	move(t, replica(t, objects), CreateRepo{Repo: "a"})
	m := &marks{}
	var mu sync.Mutex
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	o := Options{Rand: rand.Reader, RetryFor: time.Minute, Memory: m, Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}}
	d, err := OpenDirect(ownerCtx(t), objects, o)
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter(ownerCtx(t), d, WriterOptions{Manual: true})
	put := func(name string, after time.Duration, remembered bool) {
		t.Helper()
		mu.Lock()
		now = now.Add(after)
		mu.Unlock()
		if err := openPut(ownerCtx(t), w, name, "x", nil); err != nil {
			t.Fatal(err)
		}
		if gen := d.newest().root.Gen; (m.m.Gen == gen) != remembered {
			t.Errorf("%s: generation %d is remembered of %d", name, m.m.Gen, gen)
		}
	}
	put("first", tellEvery, true)
	put("soon", tellEvery/2, false)
	put("later", tellEvery/2, true)
	put("set back", -time.Hour, true)
	put("again", tellEvery/2, false)
	if _, err := w.Seal(ownerCtx(t), "a", "main"); err != nil || m.m.Gen != d.newest().root.Gen {
		t.Errorf("after a seal generation %d is remembered of %d, %v", m.m.Gen, d.newest().root.Gen, err)
	}
	put("after the seal", 0, false)
	if err := errors.Join(w.Close(), d.Close()); err != nil || m.m.Gen != d.newest().root.Gen {
		t.Errorf("closed, generation %d is remembered of %d, %v", m.m.Gen, d.newest().root.Gen, err)
	}
}
