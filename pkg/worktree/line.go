package worktree

import (
	"context"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// sighting is what a scan found at one path.
type sighting struct {
	path    string // of a file
	stat    Stat
	content chunk.Content
	known   bool         // the content is that of a file that looks like stat
	change  *tree.Change // nil if there is none
	toRead  *toRead      // the file must be read first
}

// setChange says what differs. Its argument is copied, so that nothing of a
// file that did not change has to live on the heap.
func (f *sighting) setChange(c tree.Change) { f.change = &c }

// toRead is a file that must be read.
type toRead struct {
	in  *folder // held until then
	old *tree.Entry
	now tree.Entry // all but what reading tells
}

// newToRead holds the folder. What it is given is copied: the caller's is gone
// when the file is read.
func newToRead(in *folder, now, old *tree.Entry) *toRead {
	t := &toRead{in: in.hold(), now: *now}
	if old != nil {
		was := *old
		t.old = &was
	}
	return t
}

// line hands what was found from the walk to who wants it, in order, and has
// files read on the way: in batches, since most files are small. It holds a
// bounded number of batches.
type line struct {
	ctx   context.Context //nolint:containedctx // of one scan, which the line lives as long as
	open  *batch
	order chan *batch // in the order of the walk
	work  chan *batch // those with files to read
	jobs  sync.WaitGroup
}

// batch is a part of what was found.
type batch struct {
	found []sighting
	bytes int64 // to be read
	reads bool
	err   error // of reading; it ends the batch
	done  chan struct{}
}

// A batch is full with batchMax paths, or with files of batchBytes to read.
const (
	batchMax   = 64
	batchBytes = 1 << 20
)

// newLine starts workers goroutines that read files.
func newLine(ctx context.Context, workers int, read func(context.Context, *sighting) error) *line {
	// As many batches wait as keep the workers busy while one reads a large file.
	l := &line{ctx: ctx, order: make(chan *batch, 16*workers), work: make(chan *batch, 16*workers)}
	for range workers {
		l.jobs.Go(func() {
			for b := range l.work {
				b.read(ctx, read)
			}
		})
	}
	return l
}

// read reads the files of a batch.
func (b *batch) read(ctx context.Context, read func(context.Context, *sighting) error) {
	defer close(b.done)
	for i := range b.found {
		f := &b.found[i]
		if f.toRead == nil {
			continue
		}
		if b.err == nil {
			b.err = ctx.Err()
		}
		if b.err == nil {
			b.err = read(ctx, f)
		}
		f.toRead.in.release()
		f.toRead = nil
	}
}

// drop lets go of the folders of a batch that nobody reads.
func (b *batch) drop() {
	for i := range b.found {
		if t := b.found[i].toRead; t != nil {
			t.in.release()
		}
	}
}

// add appends what was found; of a file to be read size is the length. It is
// for the walking goroutine.
func (l *line) add(f sighting, size int64) error {
	if l.open == nil {
		l.open = &batch{found: make([]sighting, 0, batchMax), done: make(chan struct{})}
	}
	b := l.open
	b.found = append(b.found, f)
	b.bytes += size
	b.reads = b.reads || f.toRead != nil
	if len(b.found) == batchMax || b.bytes >= batchBytes {
		return l.flush()
	}
	return nil
}

// flush hands on the open batch.
func (l *line) flush() error {
	b := l.open
	l.open = nil
	if b == nil {
		return nil
	}
	if !b.reads {
		close(b.done)
	}
	select {
	case l.order <- b:
	case <-l.ctx.Done():
		b.drop()
		return l.ctx.Err()
	}
	if b.reads {
		l.work <- b // there is always room soon: workers take all until the end
	}
	return nil
}

// end says that nothing more will be found.
func (l *line) end() {
	_ = l.flush() // only if the scan has failed already
	close(l.order)
	close(l.work)
}

// each calls fn with all that was found, in order, until it returns false or a
// file can't be read.
func (l *line) each(fn func(*sighting) bool) error {
	for b := range l.order {
		<-b.done
		if b.err != nil {
			return b.err
		}
		for i := range b.found {
			if !fn(&b.found[i]) {
				return errEnough
			}
		}
	}
	return nil
}

// wait returns once all work has ended. Whoever calls it has ended the context
// or taken all that was found.
func (l *line) wait() {
	for b := range l.order {
		<-b.done
	}
	l.jobs.Wait()
}
