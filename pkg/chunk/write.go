package chunk

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Writer stores streams as Contents. It keeps its buffers from one stream to
// the next; any number of goroutines may write through it at once. All streams
// together hold at most ten blocks of twice the largest chunk, four on two
// processors.
type Writer struct {
	store  Store
	cut    cutter
	block  int // bytes that a long stream is read in
	puts   int // chunks of one stream that are hashed and put at once
	blocks int
	budget *semaphore.Weighted // of blocks
	heads  sync.Pool           // of *[]byte: first bytes of streams
	spare  sync.Pool           // of *block
}

// coresMax bounds the processors that one Writer makes use of, and so its
// memory: they take in more than any disk gives.
const coresMax = 8

// NewWriter returns a Writer that puts into s the chunks that p cuts. It fails
// as [Params.Validate] does.
func NewWriter(s Store, p Params) (*Writer, error) {
	pol, err := p.check()
	if err != nil {
		return nil, err
	}
	cores := min(runtime.GOMAXPROCS(0), coresMax)
	w := &Writer{
		store: s, cut: cutter{p.newRabin(pol)}, block: max(p.MaxSize, 64<<10),
		puts: 2 + cores, blocks: 2 + cores,
	}
	w.budget = semaphore.NewWeighted(int64(w.blocks))
	w.heads.New = func() any { return new([]byte) }
	w.spare.New = func() any { return &block{buf: make([]byte, p.MaxSize+w.block)} }
	return w, nil
}

// WriteContent stores the bytes of r up to io.EOF, as [Writer.WriteContent]
// does. Who stores many files shares one Writer.
func WriteContent(ctx context.Context, s Store, p Params, r io.Reader) (Content, error) {
	w, err := NewWriter(s, p)
	if err != nil {
		return Content{}, err
	}
	return w.WriteContent(ctx, r)
}

// WriteContent stores the bytes of r up to io.EOF and returns their Content.
// Any other error of r is returned and the chunks put so far stay behind
// unnamed. The chunks are durable after the store's Flush.
func (w *Writer) WriteContent(ctx context.Context, r io.Reader) (Content, error) {
	buf := w.heads.Get().(*[]byte)
	defer w.heads.Put(buf)

	// A stream of at most min bytes is one chunk: nothing to cut.
	head, done, err := readHead(r, (*buf)[:0], w.cut.min+1)
	*buf = head
	switch {
	case err != nil:
		return Content{}, fmt.Errorf("read the stream to store: %w", err)
	case done && len(head) == 0:
		return Content{}, nil
	case done && len(head) <= w.cut.min:
		id, err := w.store.Put(ctx, Data, head)
		if err != nil {
			return Content{}, err
		}
		return Content{ID: id, Size: int64(len(head))}, nil
	}
	return w.writeLong(ctx, head, r)
}

// readHead reads up to limit bytes into buf, which grows as the stream turns
// out longer, and reports whether the stream ended.
func readHead(r io.Reader, buf []byte, limit int) (head []byte, done bool, err error) {
	if cap(buf) == 0 {
		buf = make([]byte, 0, min(limit, 16<<10))
	}
	for empty := 0; len(buf) < limit; {
		if len(buf) == cap(buf) {
			bigger := make([]byte, len(buf), min(limit, 4*cap(buf)))
			copy(bigger, buf)
			buf = bigger
		}
		n, err := r.Read(buf[len(buf):min(cap(buf), limit)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, true, nil
		}
		if err != nil {
			return buf, false, err
		}
		if n > 0 {
			empty = 0
		} else if empty++; empty >= emptyReadsMax {
			return buf, false, io.ErrNoProgress
		}
	}
	return buf, false, nil
}
