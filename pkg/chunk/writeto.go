package chunk

import (
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// WriteTo implements io.WriterTo: it writes from the position to the end, each
// chunk from the buffer that it was read into and checked in. While one is
// written the next are fetched, at most aheadMax. w must not keep what it is
// given, as the contract of io.Writer says. When it returns nothing is being
// fetched any more.
func (r *ContentReader) WriteTo(w io.Writer) (written int64, err error) {
	begun := r.pos
	defer func() { written = r.pos - begun }()
	r.mu.Lock()
	last := r.last
	r.mu.Unlock()
	if r.pos >= last.start && r.pos < last.end() { // it is at hand
		if err := r.writePart(w, last.extent, last.data); err != nil {
			return 0, err
		}
	}
	var under sync.WaitGroup
	var loans []*loan // in order: of the chunk at the position, and of those behind it
	defer func() {
		for _, l := range loans {
			close(l.back)
		}
		under.Wait()
	}()
	for end := r.pos; r.pos < r.content.Size; {
		for ; len(loans) <= aheadMax && end < r.content.Size; end = loans[len(loans)-1].end() {
			e, err := r.locate(end)
			if err != nil {
				return 0, err
			}
			l := &loan{extent: e, ready: make(chan struct{}), back: make(chan struct{})}
			under.Go(func() { r.lend(l) })
			loans = append(loans, l)
		}
		l := loans[0]
		select {
		case <-l.ready:
		case <-r.ctx.Done():
			return 0, r.ctx.Err()
		}
		if l.err != nil {
			return 0, l.err
		}
		err := r.writePart(w, l.extent, l.data)
		loans = loans[1:]
		close(l.back)
		if err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// writePart writes what follows the position in a chunk, and moves on.
func (r *ContentReader) writePart(w io.Writer, e extent, data []byte) error {
	n, err := w.Write(data[r.pos-e.start:])
	r.pos += int64(n)
	if err == nil && r.pos < e.end() {
		err = io.ErrShortWrite
	}
	return err
}

// loan is a chunk whose buffer is lent: data, or err, is set once ready is
// closed, and data is of no use any more once back is.
type loan struct {
	extent
	data        []byte
	err         error
	ready, back chan struct{}
}

// lend fetches the chunk of l, and keeps its bytes until they are given back:
// whoever writes them may still do so when the context has ended.
func (r *ContentReader) lend(l *loan) {
	lent := false
	fn := func(_ int, plain []byte) error {
		if err := l.check(plain); err != nil {
			return err
		}
		l.data, lent = plain, true
		close(l.ready)
		<-l.back
		return nil
	}
	var err error
	if r.content.Depth == DepthReference {
		var data []byte
		if data, err = r.fetchOutside(l.extent); err == nil {
			err = fn(0, data)
		}
	} else {
		err = GetMany(r.ctx, r.src, Data, []ID{l.id}, fn)
	}
	if !lent {
		l.err = err
		close(l.ready)
	}
}

// ReadOnce is ReadAt of at most the rest of the chunk that covers off, for who
// must hold nothing between two reads: the chunk is fetched and checked each
// time, and only what fits into p is kept of it.
func (r *ContentReader) ReadOnce(p []byte, off int64) (n int, err error) {
	switch {
	case off < 0:
		return 0, fmt.Errorf("read at offset %d: %w", off, fs.ErrInvalid)
	case len(p) == 0:
		return 0, nil
	case off >= r.content.Size:
		return 0, io.EOF
	}
	e, err := r.locate(off)
	if err != nil {
		return 0, err
	}
	fn := func(_ int, plain []byte) error {
		if err := e.check(plain); err != nil {
			return err
		}
		n = copy(p, plain[off-e.start:])
		return nil
	}
	if r.content.Depth != DepthReference {
		err = GetMany(r.ctx, r.src, Data, []ID{e.id}, fn)
		return n, err
	}
	data, err := r.fetchOutside(e)
	if err == nil {
		err = fn(0, data)
	}
	return n, err
}

// Drop lets go of the chunks that the reader has at hand or on their way, which
// are fetched again when they are wanted.
func (r *ContentReader) Drop() {
	r.fetches.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last, r.ahead = loaded{}, nil
}
