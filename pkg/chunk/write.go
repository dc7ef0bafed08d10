package chunk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
)

// Writer stores streams as Contents. It keeps its buffers from one stream to
// the next; any number of goroutines may write through it at once. While one
// stream is written it holds at most 4 chunks.
type Writer struct {
	store  Store
	params Params
	states sync.Pool // of *writeState
}

// putsMax is how many chunks of one stream are hashed and put at once: enough
// to keep two cores busy while the stream is cut.
const putsMax = 4

// NewWriter returns a Writer that puts into s the chunks that p cuts. It fails
// as [Params.Validate] does.
func NewWriter(s Store, p Params) (*Writer, error) {
	pol, err := p.check()
	if err != nil {
		return nil, err
	}
	w := &Writer{store: s, params: p}
	w.states.New = func() any { return &writeState{split: splitter{params: p, pol: pol}} }
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
	st := w.states.Get().(*writeState)
	defer w.states.Put(st)

	// A stream of at most MinSize bytes is one chunk: nothing to cut.
	head, done, err := readHead(r, st.head[:0], w.params.MinSize+1)
	st.head = head[:0]
	switch {
	case err != nil:
		return Content{}, fmt.Errorf("read the stream to store: %w", err)
	case done && len(head) == 0:
		return Content{}, nil
	case done && len(head) <= w.params.MinSize:
		id, err := w.store.Put(ctx, Data, head)
		if err != nil {
			return Content{}, err
		}
		return Content{ID: id, Size: int64(len(head))}, nil
	}
	st.split.reset(io.MultiReader(bytes.NewReader(head), r))
	defer func() { st.split.src.r = nil }() // the pool must not keep the caller's stream
	return st.write(ctx, w.store)
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

// writeState is what one stream needs while it is written.
type writeState struct {
	split splitter
	head  []byte   // the stream's first bytes
	free  [][]byte // chunk buffers
}

// put is a chunk on its way into the store.
type put struct {
	data []byte
	id   ID
	err  error
	done chan struct{}
}

// write cuts the stream and puts its chunks, up to putsMax at once, and lists
// them in order.
func (st *writeState) write(ctx context.Context, s Store) (Content, error) {
	list := listBuilder{store: s}
	var inFlight []*put
	collect := func() error { // the oldest put
		p := inFlight[0]
		inFlight = inFlight[1:]
		<-p.done
		st.free = append(st.free, p.data)
		if p.err != nil {
			return p.err
		}
		return list.add(ctx, listEntry{ID: p.id, Size: int64(len(p.data))})
	}
	err := st.cut(func(data []byte) error {
		p := &put{data: data, done: make(chan struct{})}
		go func() {
			defer close(p.done)
			p.id, p.err = s.Put(ctx, Data, p.data)
		}()
		inFlight = append(inFlight, p)
		if len(inFlight) < putsMax {
			return nil
		}
		return collect()
	})
	for len(inFlight) > 0 { // also after an error: no put outlives the call
		if e := collect(); err == nil {
			err = e
		}
	}
	if err != nil {
		return Content{}, err
	}
	return list.finish(ctx)
}

// cut calls fn with each chunk of the stream, in a free buffer.
func (st *writeState) cut(fn func([]byte) error) error {
	for {
		var buf []byte
		if n := len(st.free); n > 0 {
			buf, st.free = st.free[n-1], st.free[:n-1]
		} else {
			buf = make([]byte, 0, min(st.split.params.MaxSize, st.split.params.MinSize*3/2+1<<st.split.params.Bits))
		}
		data, err := st.split.Next(buf)
		if errors.Is(err, io.EOF) {
			st.free = append(st.free, buf)
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(data); err != nil {
			return err
		}
	}
}
