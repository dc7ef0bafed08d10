package s3repo_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
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
			"authorize":      inView.Authorize(t.Context(), s3proxy.Access{Principal: auth.Owner, Operation: "GetObject", Bucket: "r"}),
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
