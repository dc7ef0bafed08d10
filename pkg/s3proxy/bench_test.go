package s3proxy_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3mem"
)

// sink is a ResponseWriter that keeps nothing.
type sink struct{ header http.Header }

func (s sink) Header() http.Header         { return s.header }
func (s sink) Write(p []byte) (int, error) { return len(p), nil }
func (s sink) WriteHeader(int)             {}

// BenchmarkSmallGet is the proxy's own cost of one signed GET of 4 KiB.
func BenchmarkSmallGet(b *testing.B) {
	benchmark(b, helloTarget, 4096)
}

// BenchmarkBigGet is the proxy's own cost of moving bytes.
func BenchmarkBigGet(b *testing.B) {
	b.SetBytes(64 << 20)
	benchmark(b, helloTarget, 64<<20)
}

// BenchmarkListPage is the cost of a page of 1,000 of 100,000 keys.
func BenchmarkListPage(b *testing.B) {
	benchmark(b, "/bkt?list-type=2&encoding-type=url&start-after=key-050000", 0)
}

func benchmark(b *testing.B, target string, size int) {
	s := s3mem.New(testNow.UTC)
	if err := s.CreateBucket(context.Background(), "bkt"); err != nil {
		b.Fatal(err)
	}
	for i := range 100_000 {
		if err := s.Add("bkt", s3proxy.ObjectInfo{Key: fmt.Sprintf("key-%06d", i), ETag: "e-1"}, nil); err != nil {
			b.Fatal(err)
		}
		if size > 0 {
			break
		}
	}
	if err := s.Add("bkt", s3proxy.ObjectInfo{Key: "hello.txt"}, make([]byte, size)); err != nil {
		b.Fatal(err)
	}
	h := newHandler(b, s, s3proxy.Options{})
	r := attempt{target: target}.byHeader(b)
	for b.Loop() {
		h.ServeHTTP(sink{http.Header{}}, r)
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			b.Fatal(err)
		}
	}
}
