package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// TestMakeFolder: the name of each folder that is made is synced, from the top,
// and that of the store's own also if it was there.
func TestMakeFolder(t *testing.T) {
	top := t.TempDir()
	at := func(names ...string) string { return filepath.Join(append([]string{top}, names...)...) }
	var synced []string
	record := func(dir string) error {
		synced = append(synced, dir)
		return syncFolder(dir)
	}
	for _, want := range [][]string{{top, at("a"), at("a", "b")}, {at("a", "b")}} {
		synced = nil
		if err := makeFolder(at("a", "b", "c"), record); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(synced, want) {
			t.Errorf("synced %q, want %q", synced, want)
		}
	}
	if info, err := os.Stat(at("a", "b", "c")); err != nil || !info.IsDir() {
		t.Errorf("the folder: %v, %v", info, err)
	}
	if err := os.WriteFile(at("file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{at("file"), at("file", "x")} {
		if err := makeFolder(dir, record); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("%s: %v", dir, err)
		}
	}
	denied := func(string) error { return fs.ErrPermission }
	if err := makeFolder(at("a", "b"), denied); err != nil {
		t.Errorf("a folder in one that may not be read: %v", err)
	}
	if err := makeFolder(at("a", "new"), denied); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("a new one there: %v", err)
	}
	failed := errors.New("no sync")
	if err := makeFolder(at("d", "e"), func(string) error { return failed }); !errors.Is(err, failed) {
		t.Errorf("failed sync: %v", err)
	}
}
