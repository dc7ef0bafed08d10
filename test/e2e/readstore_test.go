//go:build e2e

package e2e

import (
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestReadStore gets an old version of 10,000 files out of the bare folder of a
// store, byte for byte, with the script that knows nothing of dvx's code.
func TestReadStore(t *testing.T) {
	python, zstd := tool(t, "python3"), tool(t, "zstd")
	u := newUser(t)
	wc := u.in("data")
	rng := mathrand.New(mathrand.NewPCG(5, 6))
	files := map[string]string{"big.bin": noise(12 << 20), "empty": "", "ünï/cödé & more%20": "x"}
	for i := range 10_000 {
		files[fmt.Sprintf("%02d/%02d/%d.txt", i%40, i%9, i)] = fmt.Sprintf("%d %x\n", i, rng.Uint64())
	}
	wc.write(files)
	if err := os.Symlink("big.bin", wc.path("link")); err != nil {
		t.Fatal(err)
	}
	wc.dvx("init")
	wc.dvx("commit", "-m", "first")
	const versions = 6
	old := 1 + rng.IntN(versions-1)
	for v := range versions {
		if v == old {
			copyFolder(t, wc.path("."), u.path("kept"))
		}
		change := map[string]string{fmt.Sprintf("new-%d", v): "new"}
		for range 50 {
			i := rng.IntN(10_000)
			change[fmt.Sprintf("%02d/%02d/%d.txt", i%40, i%9, i)] = fmt.Sprintf("version %d\n", v)
		}
		wc.write(change)
		if err := os.RemoveAll(wc.path(fmt.Sprintf("%02d", v))); err != nil {
			t.Fatal(err)
		}
		wc.dvx("commit", "-m", fmt.Sprint("version ", v+1))
	}
	history := wc.history("data@main")
	id := history[len(history)-1-old].ID
	if err := os.RemoveAll(u.path("kept", ".dvx")); err != nil {
		t.Fatal(err)
	}
	bare := u.path("bare")
	copyFolder(t, wc.path(".dvx", "store"), bare)

	script := filepath.Join(moduleRoot(t), "contrib", "read_store.py")
	alone := u.in("elsewhere").with("PATH", filepath.Dir(zstd)+":/usr/bin:/bin")
	began := time.Now()
	alone.run(python, script, bare, "data@"+id, "--out", u.path("out"))
	took := time.Since(began)
	sameFolders(t, u.path("kept"), u.path("out"))
	figure(t, "version %d of %d, 10,000 files, written out of the bare folder in %.1f s", old+1, versions+1, took.Seconds())
}
