package disk_test

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
)

// togetherFS makes the first sync of a folder wait until all of n files have
// their names, so that the others' syncs queue up behind it.
type togetherFS struct {
	*vfs.Mem
	n     int
	fails bool // the second sync does

	mu     sync.Mutex
	linked int
	syncs  int
	all    chan struct{}
}

func (t *togetherFS) OpenFile(name string, flag int, perm fs.FileMode) (vfs.File, error) {
	f, err := t.Mem.OpenFile(name, flag, perm)
	if err != nil || name != "packs/x" {
		return f, err
	}
	return &togetherFile{File: f, t: t}, nil
}

func (t *togetherFS) Link(oldname, newname string) error {
	err := t.Mem.Link(oldname, newname)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.linked++; t.linked == t.n {
		close(t.all)
	}
	return err
}

type togetherFile struct {
	vfs.File
	t *togetherFS
}

func (f *togetherFile) Sync() error {
	f.t.mu.Lock()
	f.t.syncs++
	n := f.t.syncs
	f.t.mu.Unlock()
	if n == 1 {
		<-f.t.all
	}
	if n == 2 && f.t.fails {
		return syscall.EIO
	}
	return f.File.Sync()
}

// TestSyncsTogether: of n objects that get their names at once, the first is
// made durable by its own sync and all others by one more; if that fails, it
// fails for all of them, though a third might succeed.
func TestSyncsTogether(t *testing.T) {
	const n = 20
	for _, fails := range []bool{false, true} {
		fsys := &togetherFS{Mem: vfs.NewMem(vfs.MemOptions{}), n: n, fails: fails, all: make(chan struct{})}
		if err := disk.CreateFS(fsys); err != nil {
			t.Fatal(err)
		}
		s, err := disk.OpenFS(t.Context(), fsys, disk.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		errs := make([]error, n)
		for i := range n {
			wg.Go(func() {
				_, errs[i] = s.Put(t.Context(), fmt.Sprintf("packs/x/%d", i), objstore.Bytes([]byte("body")), objstore.Condition{IfAbsent: true})
			})
		}
		wg.Wait()
		// Who was late to name its file may have synced before the others.
		if fsys.syncs > n/2 {
			t.Errorf("%d syncs for %d objects", fsys.syncs, n)
		}
		failed := 0
		after, err := disk.OpenFS(t.Context(), fsys.CrashClone(0, rand.New(rand.NewPCG(1, 1)), vfs.MemOptions{}), disk.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for i, err := range errs {
			if err != nil {
				failed++
				if !errors.Is(err, syscall.EIO) || objstore.OutcomeOf(err) != objstore.OutcomeUnknown {
					t.Error(err)
				}
			} else if _, err := after.Stat(t.Context(), fmt.Sprintf("packs/x/%d", i)); err != nil {
				t.Errorf("acknowledged and lost: %v", err)
			}
		}
		if fails != (failed > 1) || !fails && failed > 0 {
			t.Errorf("%d puts failed, want some: %v", failed, fails)
		}
	}
}

// TestTopFoldersAreSyncedOnce: a process that finds the folders of a store there
// makes their names durable with one sync.
func TestTopFoldersAreSyncedOnce(t *testing.T) {
	syncs := 0
	m := vfs.NewMem(vfs.MemOptions{After: func(op vfs.Op) {
		if op.Kind == vfs.OpSyncDir && op.Name == "." {
			syncs++
		}
	}})
	s := openMem(t, m)
	top := []string{"packs", "idx", "roots", "sessions"}
	for _, name := range top {
		mustPut(t, s, name+"/1", "x", objstore.Condition{})
	}
	s, err := disk.OpenFS(t.Context(), m, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	syncs = 0
	for _, name := range top {
		mustPut(t, s, name+"/2", "x", objstore.Condition{})
	}
	if syncs != 1 {
		t.Errorf("%d syncs of the top folder", syncs)
	}
}
