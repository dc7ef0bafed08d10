package s3repo_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// benchStore is a store with chunks of the usual sizes.
func benchStore(b *testing.B, files map[string]string) s3proxy.Backend {
	b.Helper()
	s := &store{t: b, now: day}
	o := repo.Options{Now: s.tick, Rand: rand.NewChaCha8([32]byte{1})}
	d, err := repo.Init(owner(b), mem.New(mem.Options{Now: s.tick}), repo.InitOptions{Options: o, Params: chunk.DefaultParams()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close() })
	s.Direct = d
	s.move(repo.CreateRepo{Repo: "r"})
	s.put("r", "main", files)
	return newBackend(d)
}

// BenchmarkGet reads objects whole: what stands between a stored chunk and the
// protocol, hashes included.
func BenchmarkGet(b *testing.B) {
	for _, bm := range []struct {
		name string
		size int
	}{{"4KiB", 4 << 10}, {"64MiB", 64 << 20}} {
		b.Run(bm.name, func(b *testing.B) {
			backend := benchStore(b, map[string]string{"f": random(bm.size, 1)})
			buf := make([]byte, 128<<10)
			b.SetBytes(int64(bm.size))
			for b.Loop() {
				o, err := backend.Open(b.Context(), s3proxy.ObjectName{Bucket: "r", Key: "main/f"})
				if err != nil {
					b.Fatal(err)
				}
				r, err := o.Range(b.Context(), 0, o.Info().Size)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, buf); err != nil || n != int64(bm.size) {
					b.Fatal(n, err)
				}
				_ = r.Close()
			}
		})
	}
}

// BenchmarkList lists a page of 1,000 keys of 100,000.
func BenchmarkList(b *testing.B) {
	files := map[string]string{}
	for i := range 100_000 {
		files[string([]byte{'a' + byte(i/10_000), '/', 'a' + byte(i/1000%10), 'a' + byte(i/100%10), 'a' + byte(i/10%10), 'a' + byte(i%10)})] = ""
	}
	backend := benchStore(b, files)
	for _, delimiter := range []string{"", "/"} {
		b.Run("delimiter="+delimiter, func(b *testing.B) {
			for b.Loop() {
				page, err := backend.List(b.Context(), "r", s3proxy.ListQuery{Prefix: "main/e/", Delimiter: delimiter, MaxKeys: 1000})
				if err != nil || len(page.Objects) != 1000 {
					b.Fatal(len(page.Objects), err)
				}
			}
		})
	}
}

// BenchmarkPut puts small objects from 16 writers into one open branch.
func BenchmarkPut(b *testing.B) {
	w := newWriting(b, "zoo")
	b.SetParallelism(16)
	var n atomic.Int64
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			w.put("main.zoo", fmt.Sprintf("d/%06d", n.Add(1)), "content")
		}
	})
}
