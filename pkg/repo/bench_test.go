package repo

import (
	"context"
	"fmt"
	"io"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/disk"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/tree"
)

// BenchmarkCommit commits one small file after another.
func BenchmarkCommit(b *testing.B) {
	for name, open := range map[string]func() objstore.Store{
		"mem": func() objstore.Store { return mem.New(mem.Options{}) },
		"disk": func() objstore.Store {
			s, err := disk.Create(b.Context(), b.TempDir(), disk.Options{})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { s.Close() })
			return s
		},
	} {
		b.Run(name, func(b *testing.B) {
			d := newDirect(b, open(), 1)
			d.o.After = time.After
			move(b, d, CreateRepo{Repo: "a"})
			for i := 0; b.Loop(); i++ {
				mustPut(b, d, "main", fmt.Sprintf("d%d/f%d", i%100, i), fmt.Sprint(i))
			}
		})
	}
}

// tally counts what is written through it.
type tally struct {
	objstore.Store
	objects, bytes atomic.Int64
	keys           func(key string, size int64)
}

// Unwrap lets files be read as files.
func (c *tally) Unwrap() objstore.Store { return c.Store }

// Put implements objstore.Store.
func (c *tally) Put(ctx context.Context, key string, body *io.SectionReader, cond objstore.Condition) (objstore.Info, error) {
	c.objects.Add(1)
	c.bytes.Add(body.Size())
	if c.keys != nil {
		c.keys(key, body.Size())
	}
	return c.Store.Put(ctx, key, body, cond)
}

// BenchmarkPutAmongMany puts one small file into a repo of 1,000,000 files in
// a folder: in a store that is open ("warm"), and as a process that opens it
// first ("cold"). It says how many objects and bytes a commit writes.
func BenchmarkPutAmongMany(b *testing.B) {
	s, err := disk.Create(b.Context(), b.TempDir(), disk.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	objects := &tally{Store: s}
	d := newDirect(b, objects, 1)
	d.o.After = time.After
	move(b, d, CreateRepo{Repo: "a"})
	o, err := d.NewOp()
	if err != nil {
		b.Fatal(err)
	}
	_, err = Commit(ownerCtx(b), d, CommitOptions{Repo: "a", Op: o, Time: testTime}, func(ctx context.Context, dr *Draft) (tree.Root, error) {
		edits := make([]tree.Edit, 0, 1_000_000)
		for i := range cap(edits) {
			edits = append(edits, tree.Edit{Op: tree.Put, Path: fmt.Sprintf("d%03d/f%06d", i/1000, i), Entry: tree.Entry{Kind: tree.File, Exec: i%3 == 0}})
		}
		return dr.Apply(ctx, edits)
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("a commit of 1,000,000 empty files: %d objects, %d bytes", objects.objects.Load(), objects.bytes.Load())
	n := 0
	measure := func(b *testing.B, d func() *Direct) {
		before, size := objects.objects.Load(), objects.bytes.Load()
		runs := 0
		for b.Loop() {
			mustPut(b, d(), "main", fmt.Sprintf("d%03d/f%06d", n*7919%1000, n), fmt.Sprint(n))
			n++
			runs++
		}
		b.ReportMetric(float64(objects.objects.Load()-before)/float64(runs), "objects/op")
		b.ReportMetric(float64(objects.bytes.Load()-size)/float64(runs), "written-B/op")
	}
	b.Run("warm", func(b *testing.B) { measure(b, func() *Direct { return d }) })
	b.Run("cold", func(b *testing.B) {
		measure(b, func() *Direct { return openDirect(b, objects, uint64(n+1000)) })
	})
	objects.keys = func(key string, size int64) { b.Logf("%s: %d bytes", key, size) }
	mustPut(b, d, "main", "once/more", "text")
}
