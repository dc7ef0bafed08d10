//go:build unix

package vfs

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestLockEndsWithClose closes a locked file that a child process has as well,
// as any has that is being started meanwhile.
func TestLockEndsWithClose(t *testing.T) {
	fsys, err := OpenOS(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer fsys.Close()
	open := func() File {
		f, err := fsys.OpenFile("lock", os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	take := func(f File) bool {
		ok, err := f.Lock(false)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	first, second := open(), open()
	defer second.Close()
	if !take(first) || take(second) {
		t.Fatal("a lock is not held by the first that asks, and by it alone")
	}
	fd, err := unix.Dup(int(first.(*osFile).Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if !take(second) {
		t.Error("the lock outlived its file's Close")
	}
}
