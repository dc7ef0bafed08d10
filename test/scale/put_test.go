//go:build scale

package scale

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// TestPut puts single files into a store of a million files, each with a
// process of its own, and looks at what that adds to the store.
func TestPut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	makeStore(t, dir, files)
	file := filepath.Join(t.TempDir(), "file")
	var all []time.Duration
	var most int64
	for i := range 9 {
		if err := os.WriteFile(file, fmt.Appendf(nil, "text %d\n", i), 0o666); err != nil {
			t.Fatal(err)
		}
		before := sizeOf(t, dir)
		m := run(t, dir, "put", file, "data@main:/"+path(500_123))
		all = append(all, m.took)
		most = max(most, sizeOf(t, dir)-before)
	}
	slices.Sort(all)
	t.Logf("dvx put: median %v, best %v, at most %d KiB written", all[4], all[0], most>>10)
	if most > 400<<10 {
		t.Errorf("%d bytes written", most)
	}
}

// sizeOf returns the bytes of all files in a folder.
func sizeOf(t *testing.T, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}
