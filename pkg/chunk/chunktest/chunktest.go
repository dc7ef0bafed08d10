package chunktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/dvx-io/dvx/pkg/chunk"
)

// Run tests stores that open returns; each is empty and used by one subtest.
func Run(t *testing.T, open func(t *testing.T) chunk.Store) {
	for name, test := range map[string]func(*testing.T, chunk.Store){
		"RoundTrip":   testRoundTrip,
		"Kinds":       testKinds,
		"NotFound":    testNotFound,
		"Ownership":   testOwnership,
		"Limits":      testLimits,
		"Context":     testContext,
		"Concurrency": testConcurrency,
		"Content":     testContent,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func mustPut(t *testing.T, s chunk.Store, k chunk.Kind, data []byte) chunk.ID {
	t.Helper()
	id, err := s.Put(t.Context(), k, data)
	if err != nil {
		t.Fatalf("put %v of %d bytes: %v", k, len(data), err)
	}
	if want := k.Sum(data); id != want {
		t.Fatalf("put %v of %d bytes: id %v, want %v", k, len(data), id, want)
	}
	return id
}

func wantGet(t *testing.T, s chunk.Store, k chunk.Kind, want []byte) {
	t.Helper()
	got, err := s.Get(t.Context(), k, k.Sum(want))
	if err != nil {
		t.Errorf("get %v of %d bytes: %v", k, len(want), err)
	} else if !bytes.Equal(got, want) {
		t.Errorf("get %v of %d bytes: other bytes", k, len(want))
	}
}

// samples are chunks that compress well, badly and not at all.
func samples() [][]byte {
	random := make([]byte, 100_000)
	var key [32]byte
	_, _ = rand.NewChaCha8(key).Read(random) // never fails
	return [][]byte{
		{},
		{0},
		[]byte("hello"), bytes.Repeat([]byte("hello "), 10_000),
		random, random[:1000], make([]byte, 1<<20), append(random[:50_000:50_000], make([]byte, 2000)...),
	}
}

func testRoundTrip(t *testing.T, s chunk.Store) {
	kinds := []chunk.Kind{chunk.Data, chunk.List, chunk.Node, chunk.Commit}
	check := func() {
		t.Helper()
		for _, k := range kinds {
			for _, b := range samples() {
				wantGet(t, s, k, b)
			}
		}
	}
	for _, k := range kinds {
		for _, b := range samples() {
			mustPut(t, s, k, b)
			wantGet(t, s, k, b)
			mustPut(t, s, k, b)
		}
	}
	check()
	for range 2 { // the second has nothing to do
		if err := s.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		check()
	}
	mustPut(t, s, chunk.Data, []byte("after the flush"))
	wantGet(t, s, chunk.Data, []byte("after the flush"))
	mustPut(t, s, chunk.Data, samples()[3])
	check()
}

func testKinds(t *testing.T, s chunk.Store) {
	b := []byte("the same bytes")
	id := mustPut(t, s, chunk.Data, b)
	if _, err := s.Get(t.Context(), chunk.Node, id); !errors.Is(err, chunk.ErrNotFound) {
		t.Errorf("a data chunk read as a node: %v", err)
	}
	mustPut(t, s, chunk.Node, b)
	wantGet(t, s, chunk.Node, b)
	wantGet(t, s, chunk.Data, b)
}

func testNotFound(t *testing.T, s chunk.Store) {
	mustPut(t, s, chunk.Data, []byte("something else"))
	_, err := s.Get(t.Context(), chunk.Data, chunk.Data.Sum([]byte("absent")))
	if !errors.Is(err, chunk.ErrNotFound) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := s.Get(t.Context(), chunk.Data, chunk.ID{}); !errors.Is(err, chunk.ErrNotFound) {
		t.Errorf("zero id: %v", err)
	}
}

func testOwnership(t *testing.T, s chunk.Store) {
	for _, k := range []chunk.Kind{chunk.Data, chunk.Node} {
		want := bytes.Repeat([]byte{7, 8, 9}, 1000)
		mine := bytes.Clone(want)
		id := mustPut(t, s, k, mine)
		clear(mine)
		wantGet(t, s, k, want)
		got, err := s.Get(t.Context(), k, id)
		if err != nil {
			t.Fatal(err)
		}
		clear(got)
		wantGet(t, s, k, want)
	}
}

func testLimits(t *testing.T, s chunk.Store) {
	big := make([]byte, chunk.MetaSizeMax+1)
	for _, k := range []chunk.Kind{chunk.Data, chunk.List, chunk.Node, chunk.Commit} {
		limit := chunk.SizeMax
		if k.Meta() {
			limit = chunk.MetaSizeMax
		}
		if _, err := s.Put(t.Context(), k, big[:limit+1]); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("put %v of %d bytes: %v", k, limit+1, err)
		}
	}
	mustPut(t, s, chunk.Data, big[:chunk.SizeMax])
	mustPut(t, s, chunk.Node, big[:chunk.MetaSizeMax])
	wantGet(t, s, chunk.Data, big[:chunk.SizeMax])
	wantGet(t, s, chunk.Node, big[:chunk.MetaSizeMax])
}

func testContext(t *testing.T, s chunk.Store) {
	id := mustPut(t, s, chunk.Data, []byte("x"))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Get(ctx, chunk.Data, id); !errors.Is(err, context.Canceled) {
		t.Errorf("get: %v", err)
	}
	if _, err := s.Put(ctx, chunk.Data, []byte("y")); !errors.Is(err, context.Canceled) {
		t.Errorf("put: %v", err)
	}
	if err := s.Flush(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("flush: %v", err)
	}
	wantGet(t, s, chunk.Data, []byte("x"))
}

func testConcurrency(t *testing.T, s chunk.Store) {
	const writers, each = 8, 200
	body := func(i int) []byte { return bytes.Repeat(fmt.Append(nil, "chunk ", i, " "), i%100) }
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				n := (i*7 + w*each/4) % (each * 2) // what others put too
				kind := chunk.Data
				if n%3 == 0 {
					kind = chunk.Node
				}
				if _, err := s.Put(t.Context(), kind, body(n)); err != nil {
					t.Errorf("put: %v", err)
					return
				}
				wantGet(t, s, kind, body(n))
				if i%50 == 49 {
					if err := s.Flush(t.Context()); err != nil {
						t.Errorf("flush: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func testContent(t *testing.T, s chunk.Store) {
	p := chunk.DefaultParams()
	p.MinSize, p.Bits, p.MaxSize = 256, 8, 4096
	data := bytes.Repeat(samples()[4], 3)
	c, err := chunk.WriteContent(t.Context(), s, p, bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := chunk.OpenContent(t.Context(), s, c)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := r.WriteTo(&out); err != nil || !bytes.Equal(out.Bytes(), data) {
		t.Errorf("read back %d of %d bytes, %v", out.Len(), len(data), err)
	}
}
