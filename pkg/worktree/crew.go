package worktree

import (
	"context"
	"fmt"
	"io"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// crew is a number of goroutines that stay: one for each file would have to
// grow its stack each time.
type crew struct {
	jobs   chan func() error
	busy   sync.WaitGroup
	cancel context.CancelFunc

	mu  sync.Mutex
	err error // the first of a job
}

// newCrew starts n goroutines. The context ends with the first error of a job.
func newCrew(ctx context.Context, n int) (*crew, context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	c := &crew{jobs: make(chan func() error, n), cancel: cancel}
	for range n {
		c.busy.Go(func() {
			for job := range c.jobs { // also after an error: each job has something to let go of
				if err := job(); err != nil {
					c.fail(err)
				}
			}
		})
	}
	return c, ctx
}

func (c *crew) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
	}
	c.cancel()
}

// do has a job done. Jobs after an error find their context ended.
func (c *crew) do(job func() error) { c.jobs <- job }

// wait waits for all jobs and returns the first error of one.
func (c *crew) wait() error {
	close(c.jobs)
	c.busy.Wait()
	c.cancel()
	return c.err
}

// fileBatch is a number of small files of one folder, whose chunks are fetched
// together.
type fileBatch struct {
	in    *folder
	path  string
	files []tree.Entry
	bytes int64
}

// A batch is full with filesAtOnce files or bytesAtOnce bytes.
const (
	filesAtOnce = 64
	bytesAtOnce = 2 << 20
)

// createLater is later with create, for a file of a new folder.
func (w *layer) createLater(ctx context.Context, f *folder, path string, e tree.Entry) {
	if e.Content.Size == 0 || e.Content.Depth > 0 {
		w.later(ctx, f, path, e, w.create)
		return
	}
	if b := w.batch; b != nil && b.in != f {
		w.flush(ctx)
	}
	if w.batch == nil {
		w.batch = &fileBatch{in: f.hold(), path: path}
	}
	b := w.batch
	b.files = append(b.files, e)
	b.bytes += e.Content.Size
	if len(b.files) == filesAtOnce || b.bytes >= bytesAtOnce {
		w.flush(ctx)
	}
}

// flush has the open batch written by another goroutine.
func (w *layer) flush(ctx context.Context) {
	b := w.batch
	if b == nil {
		return
	}
	w.batch = nil
	w.jobs.do(func() error {
		defer b.in.release()
		ids := make([]chunk.ID, len(b.files))
		for i := range b.files {
			ids[i] = b.files[i].Content.ID
		}
		return chunk.GetMany(ctx, w.r, chunk.Data, ids, func(i int, plain []byte) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			e := &b.files[i]
			stat, err := w.createWith(b.in, e, func(to file) error { return writeWhole(to, plain, e.Content) })
			return w.wrote(b.path, e, stat, err)
		})
	})
}

// writeWhole writes the only chunk of a content.
func writeWhole(to io.Writer, plain []byte, c chunk.Content) error {
	if int64(len(plain)) != c.Size {
		return fmt.Errorf("%v %s: %d bytes where the directory says %d: %w", chunk.Data, c.ID.Short(), len(plain), c.Size, chunk.ErrCorrupt)
	}
	_, err := to.Write(plain)
	return err
}
