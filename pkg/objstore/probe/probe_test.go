package probe_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/objstore/probe"
	"github.com/dvx-io/dvx/pkg/objstore/retry"
)

func TestGoodStoresPass(t *testing.T) {
	onDisk, err := disk.Create(t.Context(), t.TempDir(), disk.Options{AllowNetworkFS: true})
	if err != nil {
		t.Fatal(err)
	}
	defer onDisk.Close()
	m := vfs.NewMem(vfs.MemOptions{})
	if err := disk.CreateFS(m); err != nil {
		t.Fatal(err)
	}
	inMemory, err := disk.OpenFS(t.Context(), m, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]objstore.Store{
		"mem": mem.New(mem.Options{}), "disk": onDisk, "disk in memory": inMemory,
		"faultless": fault.New(mem.New(mem.Options{}), fault.Options{}),
	} {
		if _, err := s.Put(t.Context(), "root", objstore.Bytes([]byte("precious")), objstore.Condition{}); err != nil {
			t.Fatal(err)
		}
		if err := probe.Run(t.Context(), s, probe.Options{ID: "0123"}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		wantOnlyRoot(t, name, s)
	}
}

func wantOnlyRoot(t *testing.T, name string, s objstore.Store) {
	t.Helper()
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil || info.Key != "root" {
			t.Errorf("%s: the probe left %q, %v", name, info.Key, err)
		}
	}
}

// TestBadStoresAreRejected runs the probe many times on each: a defect that is
// found only at times would be a defect of the probe.
func TestBadStoresAreRejected(t *testing.T) {
	if len(fault.Defects()) != 5 {
		t.Fatalf("%d defects", len(fault.Defects()))
	}
	for _, d := range fault.Defects() {
		for range 20 {
			inner := mem.New(mem.Options{})
			if _, err := inner.Put(t.Context(), "root", objstore.Bytes(nil), objstore.Condition{}); err != nil {
				t.Fatal(err)
			}
			err := probe.Run(t.Context(), fault.Broken(inner, d), probe.Options{ID: "0123"})
			if !errors.Is(err, probe.ErrDefect) {
				t.Fatalf("a store that %s: %v", d, err)
			}
			wantOnlyRoot(t, string(d), inner)
		}
	}
}

// earlyVersions is a store that shows the version of a write before its bytes, to
// whoever reads a key beside its writer.
type earlyVersions struct {
	objstore.Store
	mu    sync.Mutex
	next  objstore.Version
	shown chan struct{} // closed when next was shown
}

func (e *earlyVersions) Put(ctx context.Context, key string, body *io.SectionReader, c objstore.Condition) (objstore.Info, error) {
	if c.IfVersion != "" && strings.HasSuffix(key, "race/read") {
		b, err := io.ReadAll(body)
		if err != nil {
			return objstore.Info{}, err
		}
		twin, err := mem.New(mem.Options{}).Put(ctx, key, objstore.Bytes(b), objstore.Condition{})
		if err != nil {
			return objstore.Info{}, err
		}
		shown := make(chan struct{})
		e.set(twin.Version, shown)
		select {
		case <-shown:
		case <-ctx.Done():
			return objstore.Info{}, ctx.Err()
		}
	}
	return e.Store.Put(ctx, key, body, c)
}

func (e *earlyVersions) set(v objstore.Version, shown chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.next, e.shown = v, shown
}

func (e *earlyVersions) Get(ctx context.Context, key string, r objstore.Range) (io.ReadCloser, objstore.Info, error) {
	rc, info, err := e.Store.Get(ctx, key, r)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.shown != nil {
		info.Version = e.next
		close(e.shown)
		e.shown = nil
	}
	return rc, info, err
}

func TestVersionsBeforeBytesAreRejected(t *testing.T) {
	s := &earlyVersions{Store: mem.New(mem.Options{})}
	err := probe.Run(t.Context(), s, probe.Options{ID: "0123"})
	if !errors.Is(err, probe.ErrDefect) || !strings.Contains(err.Error(), "version") {
		t.Fatal(err)
	}
}

// sending is a store on the other end of a line; a deaf one does not check what
// comes.
type sending struct {
	objstore.Store
	deaf bool
}

func (s *sending) PutDamaged(ctx context.Context, key string) error {
	if !s.deaf {
		return errors.New("bad digest")
	}
	_, err := s.Put(ctx, key, objstore.Bytes([]byte("damaged")), objstore.Condition{})
	return err
}

func TestDamageOnTheWayIsRejected(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		s := retry.New(&sending{Store: mem.New(mem.Options{}), deaf: deaf}, retry.Options{})
		if err := probe.Run(t.Context(), s, probe.Options{ID: "0123"}); errors.Is(err, probe.ErrDefect) != deaf {
			t.Errorf("deaf %v: %v", deaf, err)
		}
	}
}

// TestNamesTheDefect pins what a user reads.
func TestNamesTheDefect(t *testing.T) {
	for d, want := range map[fault.Defect]string{
		fault.IgnoresConditions:  "create only if absent: the store cannot be trusted: creating a key that exists",
		fault.InvertsConditions:  "is the condition inverted?",
		fault.RacesConditions:    "writers were told that they alone had written",
		fault.AcceptsAbsent:      "a key that does not exist",
		fault.ReadsStaleReplicas: "read after write: the store cannot be trusted",
	} {
		err := probe.Run(t.Context(), fault.Broken(mem.New(mem.Options{}), d), probe.Options{ID: "0123"})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("a store that %s: %v, want %q", d, err, want)
		}
	}
}

// TestFailuresAreNoDefects: a store that is full or slow is not a bad one.
func TestFailuresAreNoDefects(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, objstore.ErrThrottled, objstore.ErrUnknownOutcome} {
		calls := 1
		for ; ; calls++ {
			s := fault.New(mem.New(mem.Options{}), fault.Options{Plan: func(c fault.Call) fault.Effect {
				if c.N >= calls && c.Kind == fault.Put {
					return fault.Effect{Err: cause}
				}
				return fault.Effect{}
			}})
			err := probe.Run(t.Context(), s, probe.Options{ID: "0123", Racers: 2, Rounds: 2})
			if err == nil {
				break
			}
			if !errors.Is(err, cause) || errors.Is(err, probe.ErrDefect) {
				t.Fatalf("%v from call %d: %v", cause, calls, err)
			}
		}
		if calls < 20 {
			t.Errorf("the probe passed although puts fail from call %d", calls)
		}
	}
}

func TestCleansUpWhenCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	inner := mem.New(mem.Options{})
	s := fault.New(inner, fault.Options{Plan: func(c fault.Call) fault.Effect {
		if c.N == 40 {
			cancel()
		}
		return fault.Effect{}
	}})
	if err := probe.Run(ctx, s, probe.Options{ID: "0123"}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	wantOnlyRoot(t, "cancelled", inner)
}

func TestBadID(t *testing.T) {
	for _, id := range []string{"", "..", "a b"} {
		if err := probe.Run(t.Context(), mem.New(mem.Options{}), probe.Options{ID: id}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", id, err)
		}
	}
}
