package pack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/chunktest"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
)

// folder returns a store in a folder, where segments are mapped in place.
func folder(t *testing.T) (*disk.Store, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "store")
	objects, err := disk.Create(t.Context(), dir, disk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := objects.Close(); err != nil {
			t.Error(err)
		}
	})
	return objects, dir
}

func TestSessionInFolder(t *testing.T) {
	chunktest.Run(t, func(t *testing.T) chunk.Store {
		objects, _ := folder(t)
		return session(t, open(t, objects, Options{PackSize: 100_000, PendingMax: 300}), nil, name1)
	})
}

// TestManyPacksInFolder reads more packs than may be open, from many
// goroutines, while segments come and go.
func TestManyPacksInFolder(t *testing.T) {
	objects, _ := folder(t)
	st := open(t, objects, Options{PackSize: 1, NodeCache: -1})
	s := session(t, st, nil, name1)
	const packs = 2*openFilesMax + 5
	for i := range packs {
		put(t, s, chunk.Data, fmt.Sprint("pack ", i))
	}
	flush(t, s)
	snap := snapshot(t, st, s.Segments()...)
	if runtime.GOOS != "windows" && !snap.segs[0].near().mapped {
		t.Error("the segment is not mapped in place")
	}
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range packs {
				wantText(t, snap, chunk.Data, fmt.Sprint("pack ", (i*7+w)%packs))
			}
		})
	}
	wg.Wait()
	st.files.mu.Lock()
	defer st.files.mu.Unlock()
	if len(st.files.files) > openFilesMax || len(st.files.files) != len(st.files.order) {
		t.Errorf("%d files are open", len(st.files.files))
	}
}

// TestSegmentsAreReleased once no snapshot uses them.
func TestSegmentsAreReleased(t *testing.T) {
	objects, _ := folder(t)
	writer := session(t, open(t, objects, Options{}), nil, name1)
	put(t, writer, chunk.Data, "x")
	flush(t, writer)
	st := open(t, objects, Options{})
	key := writer.Segments()[0]
	func() {
		a, b := snapshot(t, st, key), snapshot(t, st, key)
		if a.segs[0] != b.segs[0] {
			t.Error("one segment was opened twice")
		}
	}()
	for range 10 {
		runtime.GC()
		if st.findOpen(key) == nil {
			wantText(t, snapshot(t, st, key), chunk.Data, "x")
			return
		}
	}
	t.Error("a segment that nobody uses stays")
}

// TestDamagedFolder: truncated, emptied and missing files are named.
func TestDamagedFolder(t *testing.T) {
	objects, dir := folder(t)
	s := session(t, open(t, objects, Options{}), nil, name1)
	id := put(t, s, chunk.Data, "some bytes")
	flush(t, s)
	damage := func(key string, fn func(path string) error, want error) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(key))
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := fn(path); err != nil {
			t.Fatal(err)
		}
		st := open(t, objects, Options{})
		snap, err := st.Snapshot(t.Context(), s.Segments())
		if err == nil {
			_, err = snap.Get(t.Context(), chunk.Data, id)
		}
		if !errors.Is(err, want) || !errors.Is(err, chunk.ErrCorrupt) {
			t.Errorf("%s: %v", key, err)
		}
		if err := os.WriteFile(path, good, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, key := range []string{packKey(name1, 0), segmentKey(name1, 0)} {
		damage(key, func(p string) error { return os.Truncate(p, 0) }, chunk.ErrCorrupt)
		damage(key, func(p string) error { return os.Truncate(p, 20) }, chunk.ErrCorrupt)
		damage(key, os.Remove, ErrMissing)
	}
	wantText(t, snapshot(t, open(t, objects, Options{}), s.Segments()...), chunk.Data, "some bytes")
}
