//go:build scale

package scale

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/repo"
)

const (
	indexed     = 10_000_000 // chunks in the made-up index
	perSegment  = 1_000_000
	perPack     = 16 // as of large files, whose packs are many
	filesBeside = 100_000
)

// indexVariable names the folder of a store whose index children of the tests
// fill and merge.
const indexVariable = "DVX_SCALE_INDEX"

// open opens the store in dir. With distant set its objects are no local files
// as far as the store can see, and what is read is counted.
func open(tb testing.TB, dir string, distant bool) (*repo.Direct, *counted) {
	tb.Helper()
	objects, err := disk.Open(tb.Context(), dir, disk.Options{Now: time.Now})
	if err != nil {
		tb.Fatal(err)
	}
	var s objstore.Store = objects
	c := &counted{Store: objects}
	if distant {
		s = c
	}
	d, err := repo.OpenDirect(tb.Context(), s, repo.Options{Now: time.Now, Rand: rand.Reader})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		_ = d.Close()
		_ = objects.Close()
	})
	return d, c
}

// counted is a store that counts what is read from it.
type counted struct {
	objstore.Store
	requests, bytes atomic.Int64
}

func (c *counted) Get(ctx context.Context, key string, r objstore.Range) (io.ReadCloser, objstore.Info, error) {
	c.requests.Add(1)
	rc, info, err := c.Store.Get(ctx, key, r)
	if err == nil {
		rc = &countedBody{rc, &c.bytes}
	}
	return rc, info, err
}

type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}

func indexDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv(indexVariable)
	if dir == "" {
		t.Skip("it is run by the other tests")
	}
	return dir
}

// TestFillIndex makes a store of some files, and an index of chunks that are
// nowhere, in ten segments of a million.
func TestFillIndex(t *testing.T) {
	d := newStore(t, indexDir(t))
	commitFiles(t, d, path, filesBeside, 1, 0)
	replaceIndex(t, d, func(session string, _ *repo.Root) (drop []string, add []repo.Segment) {
		for s := range indexed / perSegment {
			var footers []pack.Footer
			for i := range perSegment {
				n := s*perSegment + i
				if i%perPack == 0 {
					footers = append(footers, pack.Footer{Key: fmt.Sprintf("packs/%s/%08d", session, n/perPack), Size: pack.PackSizeMax})
				}
				f := &footers[len(footers)-1]
				id := chunk.Data.Sum(binary.BigEndian.AppendUint64(nil, uint64(n)<<32))
				f.Entries = append(f.Entries, pack.Entry{ID: id, Kind: chunk.Data, Offset: 16, Stored: 9, Plain: 9})
			}
			key, err := d.Packs().IndexPacks(t.Context(), session, s, footers)
			if err != nil {
				t.Fatal(err)
			}
			add = append(add, repo.Segment{Key: key, Chunks: perSegment})
		}
		return nil, add
	})
}

// TestMergeIndex merges the segments of that store into one.
func TestMergeIndex(t *testing.T) {
	d, _ := open(t, indexDir(t), false)
	replaceIndex(t, d, func(session string, root *repo.Root) (drop []string, add []repo.Segment) {
		var chunks int64
		for _, s := range root.Segments {
			if s.Chunks == perSegment {
				drop = append(drop, s.Key)
				chunks += s.Chunks
			}
		}
		key, err := d.Packs().MergeSegments(t.Context(), session, 0, drop)
		if err != nil {
			t.Fatal(err)
		}
		return drop, []repo.Segment{{Key: key, Chunks: chunks}}
	})
}

// replaceIndex changes the segments that the root names.
func replaceIndex(t *testing.T, d *repo.Direct, change func(session string, root *repo.Root) (drop []string, add []repo.Segment)) {
	t.Helper()
	ctx := asOwner(t)
	c, err := d.Collector(ctx)
	if err != nil {
		t.Fatal(err)
	}
	op, err := d.NewOp()
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Collect(ctx, op, func(_ context.Context, root *repo.Root) (repo.Collection, error) {
		drop, add := change(c.Name, root)
		return repo.Collection{Start: c.Start, Drop: drop, Add: add}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// child runs one of the tests above as a process of its own.
func child(t *testing.T, test, dir string) measured {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run", "^"+test+"$")
	cmd.Env = append(os.Environ(), indexVariable+"="+dir)
	return measure(t, cmd)
}

// TestIndex holds a store of ten million chunks to what a client may take: one
// that has nothing, over a network, and one on the store's own machine.
func TestIndex(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "store")
	made := child(t, "TestFillIndex", dir)
	t.Logf("made an index of %d chunks in %v", indexed, made.took)
	cold(t, dir, "ten segments")
	merged := child(t, "TestMergeIndex", dir)
	t.Logf("merged it in %v, %d MiB", merged.took, merged.rss>>20)
	if merged.rss > 200<<20 {
		t.Errorf("merging took %d MiB", merged.rss>>20)
	}
	cold(t, dir, "one segment")

	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("some text"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"put", file, "data@main:/000/050/put"},
		{"cat", "data@main:/" + path(54_321)},
	} {
		m := run(t, dir, args...)
		t.Logf("dvx %s: %v, %d MiB", args[0], m.took, m.rss>>20)
		if m.rss > 100<<20 {
			t.Errorf("dvx %s took %d MiB", args[0], m.rss>>20)
		}
	}
}

// cold commits one file with a client that has nothing.
func cold(t *testing.T, dir, what string) {
	t.Helper()
	d, c := open(t, dir, true)
	start := time.Now()
	commitFiles(t, d, path, filesBeside, filesBeside, byte(len(what)))
	t.Logf("%s: a cold commit of one file read %d KiB in %d requests, %v", what, c.bytes.Load()>>10, c.requests.Load(), time.Since(start))
	if c.bytes.Load() > 8<<20 || c.requests.Load() > 200 {
		t.Errorf("%s: %d bytes in %d requests", what, c.bytes.Load(), c.requests.Load())
	}
}
