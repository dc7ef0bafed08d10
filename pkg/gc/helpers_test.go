package gc

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/mem"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// world is a store in memory with a clock that tests move.
type world struct {
	t       testing.TB
	objects *mem.Store
	clock   *clock
	seed    uint64
	pack    pack.Options
	fatal   func(format string, args ...any)
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

// Now moves on a millisecond with every look.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Millisecond)
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, fatal: t.Fatalf, clock: &clock{now: time.Date(2026, 11, 20, 9, 0, 0, 0, time.UTC)}}
	w.objects = mem.New(mem.Options{Now: w.clock.Now})
	d, err := repo.Init(w.ctx(), w.objects, repo.InitOptions{Options: w.options(), Params: smallChunks()})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return w
}

// smallChunks cut files of some KiB into several chunks.
func smallChunks() chunk.Params {
	p := chunk.DefaultParams()
	p.MinSize, p.Bits, p.MaxSize = 1<<10, 10, 8<<10
	return p
}

func (w *world) ctx() context.Context { return auth.With(w.t.Context(), auth.Owner) }

func (w *world) options() repo.Options {
	w.seed++
	var key [32]byte
	key[0], key[1] = byte(w.seed), byte(w.seed>>8)
	return repo.Options{
		Now: w.clock.Now, Rand: rand.NewChaCha8(key), RetryFor: 1000 * time.Hour, Pack: w.pack,
		After: func(time.Duration) <-chan time.Time {
			c := make(chan time.Time, 1)
			c <- time.Time{}
			return c
		},
	}
}

// open opens the store, or the one that objects wraps.
func (w *world) open(objects objstore.Store) *repo.Direct {
	w.t.Helper()
	return w.openFor(objects, 1000*time.Hour)
}

// openFor opens the store for somebody of that patience.
func (w *world) openFor(objects objstore.Store, retryFor time.Duration) *repo.Direct {
	w.t.Helper()
	if objects == nil {
		objects = w.objects
	}
	o := w.options()
	o.RetryFor = retryFor
	d, err := repo.OpenDirect(w.ctx(), objects, o)
	if err != nil {
		w.fatal("%v", err)
	}
	w.t.Cleanup(func() { _ = d.Close() })
	return d
}

func (w *world) move(d *repo.Direct, ops ...repo.Op) {
	w.t.Helper()
	op, err := d.NewOp()
	if err == nil {
		_, err = d.Move(w.ctx(), repo.Txn{Op: op, Ops: ops})
	}
	if err != nil {
		w.fatal("%v", err)
	}
}

// write commits edits to a branch: a text for each path, "" to delete it.
func write(ctx context.Context, d *repo.Direct, now time.Time, name, branch string, files map[string]string) (commit.ID, error) {
	op, err := d.NewOp()
	if err != nil {
		return commit.ID{}, err
	}
	o := repo.CommitOptions{Repo: name, Branch: branch, Op: op, Author: "t", Time: now, Policy: repo.Rebase}
	res, err := repo.Commit(ctx, d, o, func(ctx context.Context, dr *repo.Draft) (tree.Root, error) {
		var edits []tree.Edit
		for path, text := range files {
			if text == "" {
				edits = append(edits, tree.Edit{Op: tree.Delete, Path: path})
				continue
			}
			c, err := chunk.WriteContent(ctx, dr, d.Config().Chunker, strings.NewReader(text))
			if err != nil {
				return tree.Root{}, err
			}
			edits = append(edits, tree.Edit{Op: tree.Put, Path: path, Entry: tree.Entry{Kind: tree.File, Content: c}})
		}
		return dr.Apply(ctx, edits)
	})
	return res.ID, err
}

func (w *world) write(d *repo.Direct, name, branch string, files map[string]string) commit.ID {
	w.t.Helper()
	id, err := write(w.ctx(), d, w.clock.Now(), name, branch, files)
	if err != nil {
		w.fatal("%v", err)
	}
	return id
}

func (w *world) read(d *repo.Direct, expr string) string {
	w.t.Helper()
	r, _, err := repo.GetFile(w.ctx(), d, expr)
	if err != nil {
		w.fatal("%v", err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		w.fatal("%v", err)
	}
	return string(b)
}

// text returns n letters that are not like those of another seed.
func text(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 7))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + r.IntN(26))
	}
	return fmt.Sprint(seed, ":", string(b))
}

func (w *world) collect(d *repo.Direct, o Options) Report {
	w.t.Helper()
	o.Now = w.clock.Now
	r, err := Collect(w.ctx(), d, o)
	if err != nil {
		w.fatal("%v", err)
	}
	return r
}

// keys lists the objects below a prefix.
func (w *world) keys(prefix string) []string {
	w.t.Helper()
	var keys []string
	for info, err := range w.objects.List(w.t.Context(), prefix, "") {
		if err != nil {
			w.fatal("%v", err)
		}
		keys = append(keys, info.Key)
	}
	return keys
}

// holds reports whether a pack of the store holds the bytes.
func (w *world) holds(needle string) bool {
	w.t.Helper()
	st, err := pack.New(w.objects, pack.Options{})
	if err != nil {
		w.fatal("%v", err)
	}
	defer st.Close()
	found := false
	for _, key := range w.keys(pack.PackPrefix) {
		err := st.ReadChunks(w.t.Context(), key, func(*pack.Entry) (bool, error) { return true, nil }, func(_ *pack.Entry, plain []byte) error {
			found = found || strings.Contains(string(plain), needle)
			return nil
		})
		if err != nil {
			w.fatal("%v", err)
		}
	}
	return found
}

// addMemo publishes memo record n with an output.
func (w *world) addMemo(d *repo.Direct, out tree.Root, n int) {
	w.t.Helper()
	root, err := d.Root(w.ctx())
	if err != nil {
		w.fatal("%v", err)
	}
	rec := memo.Record{Output: out, Started: w.clock.Now(), Ended: w.clock.Now()}
	rec.Key[0], rec.Key[1] = byte(n), 1
	b, err := memo.EncodeSegment([]memo.Record{rec})
	if err != nil {
		w.fatal("%v", err)
	}
	key := fmt.Sprintf("memo/%012d-%d", root.Gen, n)
	if _, err := w.objects.Put(w.ctx(), key, objstore.Bytes(b), objstore.Condition{IfAbsent: true}); err != nil {
		w.fatal("%v", err)
	}
	op, err := d.NewOp()
	if err == nil {
		_, err = d.PublishWith(w.ctx(), nil, repo.Txn{Op: op}, repo.Attachments{AddMemo: []string{key}})
	}
	if err != nil {
		w.fatal("%v", err)
	}
}
