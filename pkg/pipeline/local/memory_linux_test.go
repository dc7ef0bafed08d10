package local

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestMemoryFolder: a folder in memory is its owner's while that lives, and is
// removed, read-only folders in it too, by whoever comes when it is dead.
func TestMemoryFolder(t *testing.T) {
	root := t.TempDir()
	for _, name := range []string{"dvx-1-live", "dvx-1-dead/slot-0/task/in", "other"} {
		if err := os.MkdirAll(filepath.Join(root, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	dead := filepath.Join(root, "dvx-1-dead")
	if err := os.Chmod(filepath.Join(dead, "slot-0", "task"), 0o500); err != nil {
		t.Fatal(err)
	}
	live := lockMemory(filepath.Join(root, "dvx-1-live"))
	if live == nil {
		t.Fatal("a folder can't be had")
	}
	if lockMemory(live.dir) != nil {
		t.Error("a folder is had twice")
	}
	removeDead(root, "dvx-1-")
	if _, err := os.Lstat(dead); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a dead owner's folder: %v", err)
	}
	for _, name := range []string{live.dir, filepath.Join(root, "other")} {
		if _, err := os.Lstat(name); err != nil {
			t.Error(err)
		}
	}
	if err := live.remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(live.dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an ended owner's folder: %v", err)
	}
}
