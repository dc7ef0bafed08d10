package proof

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// seeds returns how many histories a test tries: small in go test, per times
// DVX_SEEDS if that is set.
func seeds(small, per int) int {
	if n, err := strconv.Atoi(os.Getenv("DVX_SEEDS")); err == nil && n > 0 {
		return max(small, per*n)
	}
	return small
}

// seedRange returns the seeds to try: from 1 on, or the one in DVX_SEED.
func seedRange(t testing.TB, count int) (first, end uint64) {
	t.Helper()
	s := os.Getenv("DVX_SEED")
	if s == "" {
		return 1, uint64(count) + 1
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("DVX_SEED: %v", err)
	}
	return n, n + 1
}

// testTime is when every test begins.
func testTime() time.Time { return time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC) }

// clock is a time that moves by a second at each look.
type clock struct{ ticks atomic.Int64 }

func (c *clock) Now() time.Time { return testTime().Add(time.Duration(c.ticks.Add(1)) * time.Second) }

// atOnce is a timer that does not wait.
func atOnce(time.Duration) <-chan time.Time {
	ch := make(chan time.Time, 1)
	ch <- testTime()
	return ch
}

// params cut small chunks, so that small files have several.
func params() chunk.Params {
	p := chunk.DefaultParams()
	p.MinSize, p.Bits, p.MaxSize = 1<<10, 10, 8<<10
	return p
}

// process numbers the processes of a test: no two have the same randomness, so
// names are never used twice.
var process atomic.Uint64

func options(seed uint64) repo.Options {
	var key [32]byte
	for i := range 8 {
		key[i], key[8+i] = byte(seed>>(8*i)), byte(process.Add(1)>>(8*i))
	}
	c := &clock{}
	return repo.Options{Now: c.Now, Rand: rand.NewChaCha8(key), After: atOnce, RetryFor: 1000 * time.Hour}
}

func owner(t testing.TB) context.Context { return auth.With(t.Context(), auth.Owner) }

// create makes a store in objects with a repo named r.
func create(t testing.TB, objects objstore.Store) *repo.Direct {
	t.Helper()
	d, err := repo.Init(owner(t), objects, repo.InitOptions{Options: options(0), Params: params()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	move(t, d, repo.CreateRepo{Repo: "r"})
	return d
}

func open(t testing.TB, objects objstore.Store) *repo.Direct {
	t.Helper()
	d, err := repo.OpenDirect(owner(t), objects, options(0))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

func move(t testing.TB, d *repo.Direct, ops ...repo.Op) {
	t.Helper()
	op, err := d.NewOp()
	if err == nil {
		_, err = d.Move(owner(t), repo.Txn{Op: op, Ops: ops})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// opOf returns the operation ID of number n.
func opOf(n int) repo.OpID {
	o := repo.OpID{1, 2, 3}
	o[13], o[14], o[15] = byte(n>>16), byte(n>>8), byte(n)
	return o
}

// put commits one file to repo r.
func put(ctx context.Context, s repo.Store, op repo.OpID, branch, path, text string) (repo.CommitResult, error) {
	o := repo.CommitOptions{Repo: "r", Branch: branch, Op: op, Time: testTime(), Policy: repo.Rebase}
	return repo.PutFile(ctx, s, o, path, tree.Entry{}, strings.NewReader(text))
}

func mustPut(t testing.TB, d *repo.Direct, branch, path, text string) repo.CommitResult {
	t.Helper()
	op, err := d.NewOp()
	if err != nil {
		t.Fatal(err)
	}
	res, err := put(owner(t), d, op, branch, path, text)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

// read returns a file's bytes.
func read(ctx context.Context, s repo.Store, expr string) (string, error) {
	r, _, err := repo.GetFile(ctx, s, expr)
	if err != nil {
		return "", err
	}
	b, err := io.ReadAll(r)
	return string(b), errors.Join(err, r.Close())
}

// clone copies a store's objects.
func clone(t testing.TB, from objstore.Store) *mem.Store {
	t.Helper()
	to := mem.New(mem.Options{})
	for key, b := range contents(t, from) {
		if _, err := to.Put(t.Context(), key, objstore.Bytes(b), objstore.Condition{}); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// contents returns all objects of a store.
func contents(t testing.TB, s objstore.Store) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil {
			t.Fatal(err)
		}
		b, _, err := objstore.ReadAll(t.Context(), s, info.Key, objstore.Range{}, 1<<30)
		if err != nil {
			t.Fatal(err)
		}
		all[info.Key] = b
	}
	return all
}

// noise returns n bytes that do not compress.
func noise(seed uint64, n int) string {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8), byte(seed >> 16)}).Read(b) // never fails
	return string(b)
}

// workers runs f for 0 ≤ i < n on both cores, and returns the first error.
func workers(n int, f func(i int) error) error {
	const atOnce = 2
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make([]error, atOnce)
	var failed atomic.Bool
	for w := range atOnce {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && !failed.Load(); i = int(next.Add(1)) - 1 {
				if errs[w] = f(i); errs[w] != nil {
					failed.Store(true)
					return
				}
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// figure logs a measured figure, in a form that the acceptance page quotes.
func figure(t testing.TB, format string, args ...any) {
	t.Helper()
	t.Logf("FIGURE %s", fmt.Sprintf(format, args...))
}

// openQuietly opens a store that may be damaged.
func openQuietly(ctx context.Context, objects objstore.Store) (*repo.Direct, error) {
	return repo.OpenDirect(ctx, objects, options(0))
}

// writeText stores a text as the content of a file.
func writeText(ctx context.Context, s chunk.Store, text string) (chunk.Content, error) {
	return chunk.WriteContent(ctx, s, params(), strings.NewReader(text))
}

// countLog returns how many versions r@main has.
func countLog(t testing.TB, s repo.Store) int {
	t.Helper()
	n := 0
	for _, err := range repo.Log(owner(t), s, "r", commit.LogOptions{FirstParent: true}) {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}
