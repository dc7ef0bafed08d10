package gc

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// named returns the commits that the names and pins of a root keep.
func named(root *repo.Root) []commit.ID {
	var ids []commit.ID
	add := func(id commit.ID) {
		if !id.IsZero() {
			ids = append(ids, id)
		}
	}
	for _, r := range root.Repos {
		for _, b := range r.Branches {
			add(b.Commit)
		}
		for _, b := range r.Specs {
			add(b.Commit)
		}
		for _, t := range r.Tags {
			add(t.Commit)
		}
	}
	for _, p := range root.Pins {
		add(p.Commit)
	}
	return ids
}

// reached returns what a root keeps: the commits that it names, and the writes
// to its branches that are not sealed.
func reached(root *repo.Root) []task {
	var tasks []task
	for _, id := range named(root) {
		tasks = append(tasks, task{Ref: commitRef(id)})
	}
	for _, o := range root.Open {
		for _, t := range o.Trees() {
			tasks = append(tasks, task{Ref: nodeRef(t)})
		}
	}
	return tasks
}

// batchMax is how many tasks the readers below hand on at once.
const batchMax = 4096

// batches hands tasks on in batches.
type batches struct {
	tasks []task
	mark  func([]task) error
}

func (b *batches) add(refs ...chunk.Ref) error {
	for _, r := range refs {
		if r.ID.IsZero() {
			continue
		}
		b.tasks = append(b.tasks, task{Ref: r})
	}
	if len(b.tasks) < batchMax {
		return nil
	}
	return b.flush()
}

func (b *batches) flush() error {
	tasks := b.tasks
	b.tasks = nil
	if len(tasks) == 0 {
		return nil
	}
	return b.mark(tasks)
}

// eachRecord calls fn for the records of a memo segment.
func eachRecord(ctx context.Context, objects objstore.Store, key string, fn func(memo.Record) error) (err error) {
	r, size, err := openObject(ctx, objects, key)
	if err != nil {
		return fmt.Errorf("memo segment %s: %w", key, err)
	}
	if c, ok := r.(io.Closer); ok {
		defer func() { err = errors.Join(err, c.Close()) }()
	}
	s, err := memo.OpenSegment(r, size)
	if err != nil {
		return fmt.Errorf("memo segment %s: %w", key, err)
	}
	for rec, err := range s.All() {
		if err == nil {
			err = fn(rec)
		}
		if err != nil {
			return fmt.Errorf("memo segment %s: %w", key, err)
		}
	}
	return ctx.Err()
}

// openObject returns the bytes of an object where they lie if they are a file,
// else in memory.
func openObject(ctx context.Context, objects objstore.Store, key string) (io.ReaderAt, int64, error) {
	f, err := objstore.OpenFile(ctx, objects, key)
	if errors.Is(err, errors.ErrUnsupported) {
		b, _, err := objstore.ReadAll(ctx, objects, key, objstore.Range{}, memo.SegmentSizeMax)
		return bytes.NewReader(b), int64(len(b)), err
	}
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return nil, 0, errors.Join(err, f.Close())
	}
	return f, info.Size(), nil
}

// memoRefs returns what a record names.
func memoRefs(r memo.Record) []chunk.Ref {
	refs := []chunk.Ref{nodeRef(tree.Root{ID: r.Output.ID})}
	if log, ok := r.Log.Ref(); ok {
		refs = append(refs, log)
	}
	return refs
}

// historySizeMax bounds a history segment: its two sections at their largest.
const historySizeMax = 2*history.SectionSizeMax + 1<<20

// eachAttempt calls fn for the attempts of a history segment.
func eachAttempt(ctx context.Context, objects objstore.Store, key string, fn func(history.Attempt) error) error {
	b, _, err := objstore.ReadAll(ctx, objects, key, objstore.Range{}, historySizeMax)
	if err != nil {
		return fmt.Errorf("history segment %s: %w", key, err)
	}
	s, err := history.Decode(b)
	if err == nil {
		err = s.Attempts(fn)
	}
	if err != nil {
		return fmt.Errorf("history segment %s: %w", key, err)
	}
	return nil
}

// readMany reads objects, several at a time, and calls fn for each, one call
// at a time and in no order. An object that is gone is left out.
func readMany(parent context.Context, objects objstore.Store, keys []string, workers int, limit int64, fn func(key string, b []byte) error) error {
	g, ctx := errgroup.WithContext(parent)
	g.SetLimit(max(1, workers))
	var mu sync.Mutex
	for _, key := range keys {
		if ctx.Err() != nil {
			break
		}
		g.Go(func() error {
			b, _, err := objstore.ReadAll(ctx, objects, key, objstore.Range{}, limit)
			if errors.Is(err, objstore.ErrNotFound) {
				return nil
			}
			if err == nil {
				mu.Lock()
				defer mu.Unlock()
				err = fn(key, b)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
			return nil
		})
	}
	return errors.Join(g.Wait(), context.Cause(parent))
}
