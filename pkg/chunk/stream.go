package chunk

import (
	"bytes"
	"context"
	"errors"
	"io"
)

// block is a part of a stream in memory, with room in front for what the block
// before it leaves uncut, so that every chunk is contiguous.
type block struct {
	buf   []byte
	room  int // where the block begins in buf
	size  int // its bytes
	own   []int
	ready chan struct{} // closed when own is set
	users int           // puts of its chunks, and the stream while it is not wholly cut
}

// stream is one long stream on its way into the store: blocks are read in
// order, cut side by side, and joined in order; their chunks are put side by
// side and listed in order. One goroutine does all but the cutting and the
// putting.
type stream struct {
	w      *Writer
	src    io.Reader
	eof    bool
	sparse Sparse   // src, if it knows of holes
	slots  int      // blocks that may be taken without asking the Writer
	held   int      // slots and blocks that were taken
	queue  []*block // read, not yet joined
	last   *block   // the one joined last; what is after its last cut is tail
	tail   []byte
	puts   []*put // under way, in order
	list   listBuilder
}

// put is a chunk on its way into the store.
type put struct {
	from *block
	data []byte
	id   ID
	err  error
	done chan struct{}
}

// streamBlocks is how many blocks a stream needs to get on: one whose end is
// not cut yet, and the next.
const streamBlocks = 2

// writeLong stores a stream that begins with head and goes on with r.
func (w *Writer) writeLong(ctx context.Context, head []byte, r io.Reader) (c Content, err error) {
	if err := w.budget.Acquire(ctx, streamBlocks); err != nil {
		return Content{}, err
	}
	src := &source{r: r}
	s := &stream{w: w, src: io.MultiReader(bytes.NewReader(head), src), slots: streamBlocks, held: streamBlocks, list: listBuilder{store: w.store}}
	s.sparse, _ = r.(Sparse)
	err = s.run(ctx)
	if src.failed != nil {
		err = src.failed
	}
	err = s.end(ctx, err)
	w.budget.Release(int64(s.held))
	if err != nil {
		return Content{}, err
	}
	return s.list.finish(ctx)
}

// run reads, cuts and puts the whole stream.
func (s *stream) run(ctx context.Context) error {
	for {
		if err := s.skipHole(ctx); err != nil {
			return err
		}
		if err := s.readAhead(ctx); err != nil {
			return err
		}
		if len(s.queue) == 0 {
			break
		}
		b := s.queue[0]
		s.queue = s.queue[1:]
		<-b.ready
		for _, chunk := range s.join(b) {
			if err := s.put(ctx, b, chunk); err != nil {
				return err
			}
		}
	}
	if len(s.tail) == 0 {
		return nil
	}
	return s.put(ctx, s.last, s.tail)
}

// readAhead reads one block, and more if the Writer has room for them.
func (s *stream) readAhead(ctx context.Context) error {
	for !s.eof && (len(s.queue) == 0 || !s.nearHole()) {
		b, err := s.take(ctx, len(s.queue) == 0)
		if b == nil || err != nil {
			return err
		}
		b.room = s.w.cut.max
		b.size, err = io.ReadFull(s.src, b.buf[b.room:])
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			s.eof, err = true, nil // a failure is remembered by the source
		}
		if err != nil || b.size == 0 {
			s.release(b)
			return err
		}
		b.ready = make(chan struct{})
		go func() {
			defer close(b.ready)
			b.own = s.w.cut.speculate(b.buf[b.room:][:b.size])
		}()
		s.queue = append(s.queue, b)
	}
	return nil
}

// take returns a block with one user, or, unless it must, nil if there is none
// left.
func (s *stream) take(ctx context.Context, must bool) (*block, error) {
	for s.slots == 0 {
		if s.w.budget.TryAcquire(1) {
			s.held++
			s.slots++
			break
		}
		if !must {
			return nil, nil
		}
		if err := s.collect(ctx); err != nil { // frees a block, sooner or later
			return nil, err
		}
	}
	s.slots--
	b := s.w.spare.Get().(*block)
	b.users = 1
	return b, nil
}

// release ends one use of a block.
func (s *stream) release(b *block) {
	if b.users--; b.users > 0 {
		return
	}
	b.own = nil
	s.w.spare.Put(b)
	if s.held > streamBlocks { // others may need it
		s.held--
		s.w.budget.Release(1)
		return
	}
	s.slots++
}

// join cuts the bytes up to the end of b as far as that can be, and returns
// the chunks.
func (s *stream) join(b *block) [][]byte {
	head := len(s.tail)
	data := b.buf[b.room-head : b.room+b.size]
	copy(data, s.tail)
	if s.last != nil {
		s.release(s.last)
	}
	for i := range b.own {
		b.own[i] += head
	}
	var chunks [][]byte
	start := 0
	for _, end := range s.w.cut.join(&span{data: data, head: head, own: b.own}) {
		chunks = append(chunks, data[start:end])
		start = end
	}
	s.last, s.tail = b, data[start:]
	return chunks
}

// put starts to put a chunk, which lies in b.
func (s *stream) put(ctx context.Context, b *block, data []byte) error {
	p := &put{from: b, data: data, done: make(chan struct{})}
	b.users++
	go func() {
		defer close(p.done)
		p.id, p.err = s.w.store.Put(ctx, Data, p.data)
	}()
	s.puts = append(s.puts, p)
	if len(s.puts) < s.w.puts {
		return nil
	}
	return s.collect(ctx)
}

// collect waits for the oldest put and lists its chunk.
func (s *stream) collect(ctx context.Context) error {
	p := s.puts[0]
	s.puts = s.puts[1:]
	<-p.done
	s.release(p.from)
	if p.err != nil {
		return p.err
	}
	return s.list.add(ctx, listEntry{ID: p.id, Size: int64(len(p.data))})
}

// end waits for all that is under way and gives the blocks back. It returns
// err, or the first error of a put.
func (s *stream) end(ctx context.Context, err error) error {
	for len(s.puts) > 0 {
		if perr := s.collect(ctx); err == nil {
			err = perr
		}
	}
	for _, b := range s.queue {
		<-b.ready
		s.release(b)
	}
	if s.last != nil {
		s.release(s.last)
	}
	return err
}
