package disk_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/objstore/disk/vfs"
	"github.com/dvx-io/dvx/pkg/objstore/fault"
	"github.com/dvx-io/dvx/pkg/objstore/retry"
)

var ioErrors = []error{syscall.ENOSPC, syscall.EIO, syscall.EDQUOT}

func create(t *testing.T, dir string, o disk.Options) *disk.Store {
	t.Helper()
	o.AllowNetworkFS = true
	s, err := disk.Create(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func mustPut(t *testing.T, s objstore.Store, key, body string, c objstore.Condition) objstore.Info {
	t.Helper()
	info, err := s.Put(t.Context(), key, objstore.Bytes([]byte(body)), c)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func TestOpenNeedsAStore(t *testing.T) {
	dir := t.TempDir()
	o := disk.Options{AllowNetworkFS: true}
	if _, err := disk.Open(t.Context(), filepath.Join(dir, "none"), o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no folder: %v", err)
	}
	if _, err := disk.Open(t.Context(), dir, o); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("not a store: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("opening made %v, %v", entries, err)
	}
	mustPut(t, create(t, filepath.Join(dir, "a/b"), o), "k", "x", objstore.Condition{})
	s, err := disk.Open(t.Context(), filepath.Join(dir, "a/b"), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if b, _, err := objstore.ReadAll(t.Context(), s, "k", objstore.Range{}, 10); err != nil || string(b) != "x" {
		t.Errorf("reopened: %q, %v", b, err)
	}
}

func TestFolderIsTheLayout(t *testing.T) {
	dir := t.TempDir()
	s := create(t, dir, disk.Options{})
	mustPut(t, s, "packs/1-a/0", "pack", objstore.Condition{IfAbsent: true})
	mustPut(t, s, "root", "root", objstore.Condition{IfAbsent: true})
	b, err := os.ReadFile(filepath.Join(dir, "packs/1-a/0"))
	if err != nil || string(b) != "pack" {
		t.Errorf("file of a pack: %q, %v", b, err)
	}
	info, err := os.Stat(filepath.Join(dir, "packs/1-a/0"))
	if err != nil || info.Mode().Perm()&0o222 != vfs.PermObject&0o222 {
		t.Errorf("mode of a pack: %v, %v", info.Mode(), err)
	}
	left, err := os.ReadDir(filepath.Join(dir, "tmp"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files left: %v, %v", left, err)
	}
}

func TestOwnNamesAreNoKeys(t *testing.T) {
	s := create(t, t.TempDir(), disk.Options{})
	for _, key := range []string{"lock", "tmp", "tmp/x", "LOCK", "Tmp/x", "lock/x"} {
		if _, err := s.Put(t.Context(), key, objstore.Bytes(nil), objstore.Condition{}); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("put %s: %v", key, err)
		}
		if err := s.Delete(t.Context(), key); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("delete %s: %v", key, err)
		}
	}
	mustPut(t, s, "locks/x", "x", objstore.Condition{})
}

func TestKeyThatIsAFolderOfAnother(t *testing.T) {
	for name, s := range map[string]*disk.Store{
		"os":  create(t, t.TempDir(), disk.Options{}),
		"mem": openMem(t, vfs.NewMem(vfs.MemOptions{})),
	} {
		mustPut(t, s, "a/b", "x", objstore.Condition{})
		for _, key := range []string{"a", "a/b/c", "a/b/c/d"} {
			for _, c := range []objstore.Condition{{}, {IfAbsent: true}} {
				if _, err := s.Put(t.Context(), key, objstore.Bytes(nil), c); !errors.Is(err, fs.ErrInvalid) {
					t.Errorf("%s: put %s beside a/b with %+v: %v", name, key, c, err)
				}
			}
			if err := s.Delete(t.Context(), key); err != nil {
				t.Errorf("%s: delete %s: %v", name, key, err)
			}
		}
		if b, _, err := objstore.ReadAll(t.Context(), s, "a/b", objstore.Range{}, 10); err != nil || string(b) != "x" {
			t.Errorf("%s: a/b: %q, %v", name, b, err)
		}
	}
}

func TestLinksOutOfTheFolder(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	s := create(t, dir, disk.Options{})
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "packs")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(outside, "secret"), filepath.Join(dir, "root")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"packs/secret", "root"} {
		if _, _, err := s.Get(t.Context(), key, objstore.Range{}); err == nil {
			t.Errorf("%s was read through a link", key)
		}
	}
	if _, err := s.Put(t.Context(), "packs/new", objstore.Bytes([]byte("x")), objstore.Condition{}); err == nil {
		t.Error("an object was written through a link")
	}
	if entries, err := os.ReadDir(outside); err != nil || len(entries) != 1 {
		t.Errorf("outside: %v, %v", entries, err)
	}
}

// TestSweep checks that Open removes old temporary files, and neither young
// ones nor those of a living writer.
func TestSweep(t *testing.T) {
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	m := vfs.NewMem(vfs.MemOptions{Now: clock})
	openMem(t, m)
	temp := func(name string) vfs.File {
		f, err := m.OpenFile("tmp/"+name, os.O_WRONLY|os.O_CREATE, 0o444)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	temp("dead").Close()
	if locked, err := temp("alive").Lock(false); err != nil || !locked {
		t.Fatal(locked, err)
	}
	now = now.Add(24*time.Hour + 1)
	temp("young").Close()
	if _, err := disk.OpenFS(t.Context(), m, disk.Options{Now: clock}); err != nil {
		t.Fatal(err)
	}
	if got, want := m.Names(), []string{"lock", "tmp/alive", "tmp/young"}; !slices.Equal(got, want) {
		t.Errorf("files %q, want %q", got, want)
	}
}

// TestTemporaryFileSweptUnderAWriter takes a writer's temporary file away just
// before it is linked: the Put starts anew.
func TestTemporaryFileSweptUnderAWriter(t *testing.T) {
	var m *vfs.Mem
	taken := false
	m = vfs.NewMem(vfs.MemOptions{Before: func(op vfs.Op) error {
		if op.Kind == vfs.OpLink && !taken {
			taken = true
			for _, name := range m.Names() {
				if strings.HasPrefix(name, "tmp/") {
					return m.Remove(name)
				}
			}
		}
		return nil
	}})
	s := openMem(t, m)
	mustPut(t, s, "packs/0", "whole", objstore.Condition{IfAbsent: true})
	if b, _, err := objstore.ReadAll(t.Context(), s, "packs/0", objstore.Range{}, 10); err != nil || string(b) != "whole" || !taken {
		t.Errorf("%q, %v, taken %t", b, err, taken)
	}
}

// TestTwoProcesses lets two stores on one folder, which share nothing but it,
// count together.
func TestTwoProcesses(t *testing.T) {
	dir := t.TempDir()
	a := create(t, dir, disk.Options{})
	b := create(t, dir, disk.Options{})
	mustPut(t, a, "root", strings.Repeat("x", 0), objstore.Condition{IfAbsent: true})
	const each = 15
	done := make(chan error, 4)
	for i := range 4 {
		s := []*disk.Store{a, b}[i%2]
		go func() {
			for n := 0; n < each; {
				body, info, err := objstore.ReadAll(t.Context(), s, "root", objstore.Range{}, 1000)
				if err != nil {
					done <- err
					return
				}
				_, err = s.Put(t.Context(), "root", objstore.Bytes(append(body, 'x')), objstore.Condition{IfVersion: info.Version})
				if err == nil {
					n++
				} else if !errors.Is(err, objstore.ErrPrecondition) {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if info, err := a.Stat(t.Context(), "root"); err != nil || info.Size != 4*each {
		t.Errorf("%d swaps counted, want %d: %v", info.Size, 4*each, err)
	}
}

// TestWaitForTheLockEnds holds the lock as another process would and checks
// that a waiting Put ends with its context, changes nothing, and that the lock
// is free again later.
func TestWaitForTheLockEnds(t *testing.T) {
	for name, open := range map[string]func() (vfs.FS, objstore.Store){
		"mem": func() (vfs.FS, objstore.Store) {
			m := vfs.NewMem(vfs.MemOptions{})
			return m, openMem(t, m)
		},
		"os": func() (vfs.FS, objstore.Store) {
			dir := t.TempDir()
			s := create(t, dir, disk.Options{})
			fsys, err := vfs.OpenOS(dir)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { fsys.Close() })
			return fsys, s
		},
	} {
		fsys, s := open()
		v := mustPut(t, s, "root", "old", objstore.Condition{})
		f, err := fsys.OpenFile("lock", os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		if locked, err := f.Lock(true); err != nil || !locked {
			t.Fatal(locked, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err = s.Put(ctx, "root", objstore.Bytes([]byte("new")), objstore.Condition{IfVersion: v.Version})
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.Delete(ctx, "root"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: delete: %v", name, err)
		}
		cancel()
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		mustPut(t, s, "root", "new", objstore.Condition{IfVersion: v.Version})
	}
}

func TestOpenFileOfMemoryIsUnsupported(t *testing.T) {
	s := openMem(t, vfs.NewMem(vfs.MemOptions{}))
	mustPut(t, s, "k", "x", objstore.Condition{})
	if _, err := s.OpenFile(t.Context(), "k"); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

// TestOpenFileThroughADecorator: what waits out failures does not hide files;
// what makes failures does, lest it be passed by.
func TestOpenFileThroughADecorator(t *testing.T) {
	s := create(t, t.TempDir(), disk.Options{})
	mustPut(t, s, "k", "x", objstore.Condition{})
	f, err := objstore.OpenFile(t.Context(), retry.New(s, retry.Options{}), "k")
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if _, err := objstore.OpenFile(t.Context(), fault.New(s, fault.Options{}), "k"); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("through a fault store: %v", err)
	}
}
