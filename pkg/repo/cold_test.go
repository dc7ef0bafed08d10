package repo

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/tree"
)

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

// fillIndex attaches segments that name chunks which are nowhere.
func fillIndex(t testing.TB, d *Direct, segments, chunks, each int) {
	t.Helper()
	ctx := ownerCtx(t)
	c, err := d.Collector(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var add []Segment
	for s := range segments {
		var footers []pack.Footer
		for i := 0; i < chunks; i++ {
			if i%each == 0 {
				footers = append(footers, pack.Footer{Key: fmt.Sprintf("packs/%s/%08d", c.Name, s*chunks+i), Size: pack.PackSizeMax})
			}
			f := &footers[len(footers)-1]
			id := chunk.Data.Sum(binary.BigEndian.AppendUint64(nil, uint64(s*chunks+i)))
			f.Entries = append(f.Entries, pack.Entry{ID: id, Kind: chunk.Data, Offset: 16, Stored: 9, Plain: 9})
		}
		key, err := d.Packs().IndexPacks(ctx, c.Name, s, footers)
		if err != nil {
			t.Fatal(err)
		}
		add = append(add, Segment{Key: key, Chunks: int64(chunks)})
	}
	op, err := d.NewOp()
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Collect(ctx, op, func(context.Context, *Root) (Collection, error) {
		return Collection{Start: c.Start, Add: add}, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestColdCommit: a client without anything commits one file into a store of
// many files and of half a million chunks, in one segment or in as many as a
// root may have.
func TestColdCommit(t *testing.T) {
	for name, index := range map[string]struct{ segments, chunks int }{
		"one segment":   {1, 400_000},
		"many segments": {segmentsForce - 4, 400_000 / segmentsForce},
	} {
		t.Run(name, func(t *testing.T) {
			objects := &counted{Store: mem.New(mem.Options{})}
			d := newDirect(t, objects, 1)
			move(t, d, CreateRepo{Repo: "a"})
			var edits []tree.Edit
			for i := range 20_000 {
				edits = append(edits, tree.Edit{Op: tree.Put, Path: fmt.Sprintf("d%02d/f%05d", i/500, i), Entry: tree.Entry{Kind: tree.File}})
			}
			op, err := d.NewOp()
			if err != nil {
				t.Fatal(err)
			}
			o := CommitOptions{Repo: "a", Op: op, Time: d.o.Now()}
			if _, err := Commit(ownerCtx(t), d, o, func(ctx context.Context, dr *Draft) (tree.Root, error) { return dr.Apply(ctx, edits) }); err != nil {
				t.Fatal(err)
			}
			fillIndex(t, d, index.segments, index.chunks, 100)

			requests, read := objects.requests.Load(), objects.bytes.Load()
			cold := openDirect(t, objects, 2)
			mustPut(t, cold, "main", "d07/new", "text")
			requests, read = objects.requests.Load()-requests, objects.bytes.Load()-read
			t.Logf("%d requests, %d KiB", requests, read>>10)
			if read > 4<<20 || requests > 300 {
				t.Errorf("a cold commit took %d requests and read %d bytes", requests, read)
			}
		})
	}
}

// TestAffordMerge: a client that has few segments at hand leaves the others
// alone, until the root is nearly full.
func TestAffordMerge(t *testing.T) {
	var all []Segment
	var keys []string
	far := map[string]int64{}
	for i := range segmentsForce + 1 {
		key := fmt.Sprint(i)
		all, keys, far[key] = append(all, Segment{Key: key}), append(keys, key), mergeFetchMax/10
	}
	for _, tt := range []struct {
		name  string
		all   []Segment
		far   map[string]int64
		merge int
	}{
		{"all at hand", all[:40], nil, 30},
		{"none at hand", all[:40], far, 10},
		{"all large", all[:40], map[string]int64{"5": mergeFetchMax + 1}, 0},
		{"one large", all[:40], map[string]int64{"20": mergeFetchMax + 1}, 20},
		{"full", all, far, 30},
	} {
		if got := affordMerge(tt.all, slices.Clone(keys[:30]), tt.far); len(got) != tt.merge {
			t.Errorf("%s: %d segments, want %d", tt.name, len(got), tt.merge)
		}
	}
}
