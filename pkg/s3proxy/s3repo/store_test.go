package s3repo_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

var day = time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)

// anyone lets everybody do everything.
type anyone struct{}

func (anyone) Authorize(context.Context, auth.Principal, auth.Action, auth.Resource) error {
	return nil
}

// store is a store in memory that counts the chunks read from it.
type store struct {
	*repo.Direct
	t     testing.TB
	reads atomic.Int64

	mu  sync.Mutex
	now time.Time

	// What is run once, if set: between what a Look saw and who asked for it, and
	// before a Move of branches or repos is made.
	afterLook, beforeMove func() error

	// between, if set, is run after each Look.
	between func() error
}

// Look lets others come between.
func (s *store) Look(ctx context.Context, name, branch string) (repo.Visible, error) {
	v, err := s.Direct.Look(ctx, name, branch)
	if s.between != nil {
		if err := s.between(); err != nil {
			return repo.Visible{}, err
		}
	}
	return v, errors.Join(err, once(&s.afterLook))
}

// Move lets others come between.
func (s *store) Move(ctx context.Context, t repo.Txn) (repo.Result, error) {
	if err := once(&s.beforeMove); err != nil {
		return repo.Result{}, err
	}
	return s.Direct.Move(ctx, t)
}

func once(f *func() error) error {
	run := *f
	if run == nil {
		return nil
	}
	*f = nil
	return run()
}

func (s *store) tick() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(time.Second)
	return s.now
}

// newStore makes a store with small chunks, so that small files have several.
func newStore(t testing.TB, repos ...string) *store {
	t.Helper()
	s := &store{t: t, now: day}
	p := chunk.DefaultParams()
	p.MinSize, p.Bits, p.MaxSize = 512, 9, 8<<10
	o := repo.Options{Now: s.tick, Rand: rand.NewChaCha8([32]byte{1})}
	d, err := repo.Init(owner(t), mem.New(mem.Options{Now: s.tick}), repo.InitOptions{Options: o, Params: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Direct = d
	for _, name := range repos {
		s.move(repo.CreateRepo{Repo: name})
	}
	return s
}

func owner(t testing.TB) context.Context { return auth.With(t.Context(), auth.Owner) }

func (s *store) move(ops ...repo.Op) {
	s.t.Helper()
	op, err := s.NewOp()
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.Move(owner(s.t), repo.Txn{Op: op, Ops: ops}); err != nil {
		s.t.Fatal(err)
	}
}

func createTag(name, tag string, id commit.ID) repo.Op {
	return repo.CreateTag{Repo: name, Tag: tag, Commit: id}
}

// change commits what f makes.
func (s *store) change(name, branch string, f func(ctx context.Context, d *repo.Draft) (tree.Root, error)) commit.ID {
	s.t.Helper()
	op, err := s.NewOp()
	if err != nil {
		s.t.Fatal(err)
	}
	res, err := repo.Commit(owner(s.t), s.Direct, repo.CommitOptions{Repo: name, Branch: branch, Op: op, Time: s.tick(), AllowEmpty: true}, f)
	if err != nil {
		s.t.Fatal(err)
	}
	return res.ID
}

// edit commits edits.
func (s *store) edit(name, branch string, edits ...tree.Edit) commit.ID {
	s.t.Helper()
	return s.change(name, branch, func(ctx context.Context, d *repo.Draft) (tree.Root, error) { return d.Apply(ctx, edits) })
}

// put commits files, given as content by path.
func (s *store) put(name, branch string, files map[string]string) commit.ID {
	s.t.Helper()
	return s.change(name, branch, func(ctx context.Context, d *repo.Draft) (tree.Root, error) {
		var edits []tree.Edit
		for path, text := range files {
			edits = append(edits, putEdit(ctx, s.t, d, s.Config().Chunker, path, text, tree.Attrs{}))
		}
		slices.SortFunc(edits, func(a, b tree.Edit) int { return strings.Compare(a.Path, b.Path) })
		return d.Apply(ctx, edits)
	})
}

func putEdit(ctx context.Context, t testing.TB, d *repo.Draft, p chunk.Params, path, text string, a tree.Attrs) tree.Edit {
	t.Helper()
	c, err := chunk.WriteContent(ctx, d, p, strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return tree.Edit{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.File, Content: c, Attrs: a}, SetAttrs: !a.IsZero()}
}

// Reader counts what is read.
func (s *store) Reader(ctx context.Context, scope repo.Scope) (chunk.Reader, error) {
	r, err := s.Direct.Reader(ctx, scope)
	return counting{r, &s.reads}, err
}

type counting struct {
	chunk.Reader
	n *atomic.Int64
}

func (c counting) Get(ctx context.Context, kind chunk.Kind, id chunk.ID) ([]byte, error) {
	c.n.Add(1)
	return c.Reader.Get(ctx, kind, id)
}

func newBackend(s repo.Store) *s3repo.Backend { return s3repo.New(s, anyone{}) }

// read returns the object of a key, nil if there is none.
func read(t testing.TB, b s3proxy.Backend, bucket, key string) (string, s3proxy.ObjectInfo, bool) {
	t.Helper()
	o, err := b.Open(t.Context(), s3proxy.ObjectName{Bucket: bucket, Key: key})
	if errors.Is(err, s3proxy.ErrNoSuchKey) || errors.Is(err, s3proxy.ErrNoSuchBucket) {
		return "", s3proxy.ObjectInfo{}, false
	}
	if err != nil {
		t.Fatalf("open %s/%s: %v", bucket, key, err)
	}
	return content(t, o), o.Info(), true
}

func content(t testing.TB, o s3proxy.Object) string {
	t.Helper()
	if o.Info().Size == 0 {
		return ""
	}
	r, err := o.Range(t.Context(), 0, o.Info().Size)
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if _, err := io.Copy(&buf, r); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(r.Close(), o.Close()); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// keys lists what q asks for, page by page: keys and common prefixes as one.
func keys(t testing.TB, b s3proxy.Backend, bucket string, q s3proxy.ListQuery) []string {
	t.Helper()
	if q.MaxKeys == 0 {
		q.MaxKeys = 1000
	}
	got := []string{}
	for {
		page, err := b.List(t.Context(), bucket, q)
		if err != nil {
			t.Fatalf("list %s %+v: %v", bucket, q, err)
		}
		var part []string
		for _, o := range page.Objects {
			part = append(part, o.Key)
		}
		part = append(part, page.CommonPrefixes...)
		slices.Sort(part)
		got = append(got, part...)
		if !page.Truncated {
			return got
		}
		if len(part) != q.MaxKeys || page.Last() <= q.StartAfter {
			t.Fatalf("list %s %+v: a truncated page of %d up to %q", bucket, q, len(part), page.Last())
		}
		q.StartAfter = page.Last()
	}
}
