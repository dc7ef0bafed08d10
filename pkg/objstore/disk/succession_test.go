package disk_test

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
)

// dying is a file system on which a process dies, and another goes on.
type dying struct {
	*vfs.Mem
	dead bool
}

var errDead = errors.New("process is dead")

// newDying makes a store whose process dies before the first change that when
// selects; afterwards revive gives the next process's store.
func newDying(t *testing.T, when func(vfs.Op) bool) (d *dying, s *disk.Store) {
	t.Helper()
	d = &dying{}
	armed := false
	d.Mem = vfs.NewMem(vfs.MemOptions{Before: func(op vfs.Op) error {
		if armed && when(op) {
			d.dead = true
		}
		if d.dead {
			return errDead
		}
		return nil
	}})
	s = openMem(t, d.Mem)
	mustPut(t, s, "other/1", "other", objstore.Condition{})
	armed = true
	t.Cleanup(func() { armed = false })
	return d, s
}

// next returns the store as the next process opens it.
func (d *dying) next(t *testing.T) *disk.Store {
	t.Helper()
	if !d.dead {
		t.Fatal("nobody died")
	}
	d.dead = false
	s, err := disk.OpenFS(t.Context(), d.Mem, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// afterPowerLoss opens what is durable and nothing else.
func (d *dying) afterPowerLoss(t *testing.T) *disk.Store {
	t.Helper()
	s, err := disk.OpenFS(t.Context(), d.CrashClone(0, rand.New(rand.NewPCG(1, 1)), vfs.MemOptions{}), disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func once(kind vfs.OpKind, name string) func(vfs.Op) bool {
	done := false
	return func(op vfs.Op) bool {
		if done || op.Kind != kind || op.Name != name {
			return false
		}
		done = true
		return true
	}
}

// TestTakenKeyIsDurable: a writer dies between giving an object its name and
// making that durable. Whoever is then told that the key is taken may rely on it.
func TestTakenKeyIsDurable(t *testing.T) {
	d, s := newDying(t, once(vfs.OpSyncDir, "other"))
	if _, err := s.Put(t.Context(), "other/2", objstore.Bytes([]byte("x")), objstore.Condition{IfAbsent: true}); !errors.Is(err, errDead) {
		t.Fatal(err)
	}
	_, err := d.next(t).Put(t.Context(), "other/2", objstore.Bytes([]byte("x")), objstore.Condition{IfAbsent: true})
	if !errors.Is(err, objstore.ErrPrecondition) {
		t.Fatal(err)
	}
	if _, err := d.afterPowerLoss(t).Stat(t.Context(), "other/2"); err != nil {
		t.Errorf("told to be taken, then lost: %v", err)
	}
}

// TestFolderOfTheDeadIsDurable: a writer dies between making a folder and
// making its name durable. Another's object in it must not go with it.
func TestFolderOfTheDeadIsDurable(t *testing.T) {
	d, s := newDying(t, once(vfs.OpSyncDir, "."))
	if _, err := s.Put(t.Context(), "new/1", objstore.Bytes(nil), objstore.Condition{}); !errors.Is(err, errDead) {
		t.Fatal(err)
	}
	mustPut(t, d.next(t), "new/2", "x", objstore.Condition{IfAbsent: true})
	if _, err := d.afterPowerLoss(t).Stat(t.Context(), "new/2"); err != nil {
		t.Errorf("acknowledged, then lost with its folder: %v", err)
	}
}

// TestDeletionOfTheDeadIsDurable: the same for a repeated Delete.
func TestDeletionOfTheDeadIsDurable(t *testing.T) {
	d, s := newDying(t, once(vfs.OpSyncDir, "other"))
	if err := s.Delete(t.Context(), "other/1"); !errors.Is(err, errDead) {
		t.Fatal(err)
	}
	if err := d.next(t).Delete(t.Context(), "other/1"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.afterPowerLoss(t).Stat(t.Context(), "other/1"); !errors.Is(err, objstore.ErrNotFound) {
		t.Errorf("deleted twice, then back: %v", err)
	}
}

// TestFolderRemovedUnderAWriter: somebody tidies an empty folder away that the
// store knows.
func TestFolderRemovedUnderAWriter(t *testing.T) {
	m := vfs.NewMem(vfs.MemOptions{})
	s := openMem(t, m)
	mustPut(t, s, "a/b/1", "x", objstore.Condition{})
	if err := s.Delete(t.Context(), "a/b/1"); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"a/b", "a"} {
		if err := m.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	mustPut(t, s, "a/b/2", "y", objstore.Condition{IfAbsent: true})
}

// TestNoHardLinks: the error says what the file system lacks, and nothing is left.
func TestNoHardLinks(t *testing.T) {
	m := vfs.NewMem(vfs.MemOptions{Before: func(op vfs.Op) error {
		if op.Kind == vfs.OpLink {
			return syscall.EPERM
		}
		return nil
	}})
	_, err := openMem(t, m).Put(t.Context(), "k", objstore.Bytes(nil), objstore.Condition{IfAbsent: true})
	if !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "hard links") {
		t.Error(err)
	}
	if names := m.Names(); len(names) != 1 {
		t.Errorf("left %q", names)
	}
}
