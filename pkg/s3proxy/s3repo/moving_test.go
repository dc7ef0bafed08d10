package s3repo_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// What one request reads is of one version, while the branch moves as fast as
// it can: every commit gives all files the same content.
func TestMovingBranchIsNotTorn(t *testing.T) {
	s := newStore(t, "r")
	write := func(n int) {
		text := strings.Repeat(fmt.Sprintf("version %d\n", n), 500)
		s.put("r", "main", map[string]string{"a": text, "d/b": text, "z": text})
	}
	write(0)
	b := newBackend(s)
	seen := map[string]bool{}
	look := func() {
		page, err := b.List(t.Context(), "r", s3proxy.ListQuery{Prefix: "main/", MaxKeys: 10})
		if err != nil || len(page.Objects) != 3 {
			t.Fatalf("list: %+v, %v", page, err)
		}
		for _, o := range page.Objects {
			if o.ETag != page.Objects[0].ETag {
				t.Fatalf("one page lists two versions: %+v", page.Objects)
			}
		}
		seen[page.Objects[0].ETag] = true
		text, _, ok := read(t, b, "main.r", "d/b")
		if first, _, _ := strings.Cut(text, "\n"); !ok || text != strings.Repeat(first+"\n", 500) {
			t.Fatalf("one object holds two versions:\n%s", text)
		}
	}
	look()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 60 {
			write(n + 1)
		}
	}()
	for moving := true; moving; {
		select {
		case <-done:
			moving = false
		default:
		}
		look()
	}
	if len(seen) < 2 {
		t.Fatalf("the branch stood still: %d versions seen", len(seen))
	}
}

// failing is a store whose view or readers fail.
type failing struct {
	*store
	view, reader error
}

func (f failing) View(ctx context.Context) (*repo.View, error) {
	if f.view != nil {
		return nil, f.view
	}
	return f.store.View(ctx)
}

func (f failing) Reader(ctx context.Context, scope repo.Scope) (chunk.Reader, error) {
	if f.reader != nil {
		return nil, f.reader
	}
	return f.store.Reader(ctx, scope)
}

// The kinds of a store's failures mean something else to a client.
func TestFailuresOfTheStore(t *testing.T) {
	s := newStore(t, "r")
	s.put("r", "main", map[string]string{"f": "x"})
	for _, tt := range []struct {
		name  string
		cause error
		want  error // nil for one without a kind
	}{
		{"no store", repo.ErrNoStore, nil},
		{"no object", objstore.ErrNotFound, nil},
		{"no right to a file", fs.ErrPermission, nil},
		{"asked to slow down", objstore.ErrThrottled, s3proxy.ErrBusy},
		{"denied by the daemon", auth.ErrDenied, auth.ErrDenied},
		{"too late", context.DeadlineExceeded, context.DeadlineExceeded},
	} {
		cause := fmt.Errorf("store: %w", tt.cause)
		inView, inReader := newBackend(failing{store: s, view: cause}), newBackend(failing{store: s, reader: cause})
		_, buckets := inView.ListBuckets(t.Context())
		_, stat := inView.StatBucket(t.Context(), "r")
		_, list := inReader.List(t.Context(), "r", s3proxy.ListQuery{Prefix: "main/", MaxKeys: 1})
		_, search := inReader.StatBucket(t.Context(), "abcdef.r")
		for op, err := range map[string]error{
			"list buckets":   buckets,
			"stat bucket":    stat,
			"open in view":   useAll(t.Context(), inView, "main/f"),
			"open in reader": useAll(t.Context(), inReader, "main/f"),
			"list":           list,
			"search":         search,
			"authorize":      inView.Authorize(t.Context(), s3proxy.Access{Principal: auth.Owner, Operation: "GetObject", Right: rightOf("GetObject"), Bucket: "r"}),
		} {
			switch {
			case err == nil:
				t.Errorf("%s, %s: no error", tt.name, op)
			case tt.want != nil && !errors.Is(err, tt.want):
				t.Errorf("%s, %s: got %v, want %v", tt.name, op, err, tt.want)
			case tt.want == nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)):
				t.Errorf("%s, %s: got %v, which a client takes for an answer", tt.name, op, err)
			}
		}
	}
	gone := newBackend(failing{store: s, reader: repo.ErrRepoNotFound})
	if err := useAll(t.Context(), gone, "main/f"); !errors.Is(err, s3proxy.ErrNoSuchKey) {
		t.Errorf("a repo deleted meanwhile: got %v, want %v", err, s3proxy.ErrNoSuchKey)
	}
}

// slow is a store in which reading some chunks takes until one gives up.
type slow struct {
	*store
	stuck   map[chunk.ID]bool
	running *atomic.Int64
	begun   *atomic.Int64
}

func (s slow) Reader(ctx context.Context, scope repo.Scope) (chunk.Reader, error) {
	r, err := s.store.Reader(ctx, scope)
	return slowReader{r, s}, err
}

type slowReader struct {
	chunk.Reader
	s slow
}

func (r slowReader) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	if kind != chunk.Data {
		return r.Reader.Get(ctx, kind, id)
	}
	r.s.running.Add(1)
	defer r.s.running.Add(-1)
	r.s.begun.Add(1)
	if r.s.stuck[id] {
		<-ctx.Done()
	}
	return r.Reader.Get(ctx, kind, id)
}

// lookup returns what is at a path of main, and its chunks.
func lookup(t *testing.T, s *store, path string) (tree.Entry, chunk.Reader, error) {
	t.Helper()
	chunks, res, err := repo.OpenReader(t.Context(), s.Direct, "r@main")
	if err != nil {
		return tree.Entry{}, nil, err
	}
	e, err := tree.Open(chunks, res.Commit.Tree).Lookup(t.Context(), path)
	return e, chunks, err
}

// Nothing that a request began goes on when it is over.
func TestCloseEndsReadingAhead(t *testing.T) {
	s := newStore(t, "r")
	s.put("r", "main", map[string]string{"f": random(300_000, 1)})
	f, chunks, err := lookup(t, s, "f")
	if err != nil {
		t.Fatal(err)
	}
	sl := slow{s, map[chunk.ID]bool{}, new(atomic.Int64), new(atomic.Int64)}
	var readable int64 // the first two chunks
	n := 0
	err = chunk.VisitContent(t.Context(), chunks, f.Content, func(kind chunk.Kind, id chunk.ID, size int64) error {
		if kind != chunk.Data {
			return nil
		}
		if n++; n <= 2 {
			readable += size
			return nil
		}
		sl.stuck[id] = true
		return nil
	})
	if err != nil || len(sl.stuck) < 3 {
		t.Fatalf("%d chunks, %v", n, err)
	}
	o, err := newBackend(sl).Open(t.Context(), s3proxy.ObjectName{Bucket: "r", Key: "main/f"})
	if err != nil {
		t.Fatal(err)
	}
	r, err := o.Range(t.Context(), 0, o.Info().Size)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, readable)); err != nil { // the second chunk begins reading ahead
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	begun := sl.begun.Load()
	if running := sl.running.Load(); running != 0 {
		t.Errorf("%d reads run after Close", running)
	}
	if _, err := r.Read(make([]byte, 64<<10)); err == nil {
		t.Error("a closed stream goes on")
	}
	if now := sl.begun.Load(); now != begun {
		t.Errorf("%d reads begin after Close", now-begun)
	}
}
