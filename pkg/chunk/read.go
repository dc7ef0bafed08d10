package chunk

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sort"
	"sync"
)

// ContentReader reads the bytes of a Content: as a stream, or anywhere. It
// holds a few list nodes, one chunk and, while it reads in sequence, up to two
// chunks more that it fetches ahead. ReadAt may be called concurrently;
// Read, Seek and WriteTo are for one goroutine.
//
// Lengths are checked against the lists and the Content's size; what does not
// match fails with ErrCorrupt and its bytes are not returned.
type ContentReader struct {
	ctx     context.Context //nolint:containedctx // of OpenContent: the methods of package io have no room for one
	src     Reader
	content Content
	pos     int64          // of Read, Seek and WriteTo
	fetches sync.WaitGroup // under way

	refOnce sync.Once // guards what a content of DepthReference refers to
	ref     Reference
	refErr  error

	mu    sync.Mutex
	nodes []cachedNode // most recently used last, at most nodesMax
	last  loaded       // the chunk read last
	ahead []*fetch     // the chunks after last, in order, at most aheadMax
}

const (
	nodesMax = 2 * DepthMax // list nodes kept: two ways down
	aheadMax = 2            // chunks fetched ahead: hides a store's latency at 3 MiB of memory
)

type cachedNode struct {
	id   ID
	node *listNode
}

// extent is a chunk's place in the file.
type extent struct {
	id    ID
	start int64
	size  int64
}

func (e extent) end() int64 { return e.start + e.size }

// loaded is a chunk with its bytes.
type loaded struct {
	extent
	data []byte
}

// fetch is a chunk on its way; data and err are set once done is closed.
type fetch struct {
	extent
	data []byte
	err  error
	done chan struct{}
}

// OpenContent returns a reader of c's bytes. It fetches nothing yet, and fails
// with fs.ErrInvalid if [CheckContent] does. Every read ends when ctx does. The
// bytes of a Reference are read by what [WithOutside] gave to ctx.
func OpenContent(ctx context.Context, r Reader, c Content) (*ContentReader, error) {
	if err := CheckContent(c); err != nil {
		return nil, err
	}
	return &ContentReader{ctx: ctx, src: r, content: c}, nil
}

// Close waits for what is being fetched ahead, two chunks at most, so that
// nothing of the reader outlives it. The reader must not be used afterwards. A
// reader that was only asked for one chunk, or read to its end, has nothing
// under way.
func (r *ContentReader) Close() error {
	r.fetches.Wait()
	return nil
}

// Size returns the length in bytes.
func (r *ContentReader) Size() int64 { return r.content.Size }

// ReadAt implements io.ReaderAt.
func (r *ContentReader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("read at offset %d: %w", off, fs.ErrInvalid)
	}
	n := 0
	for n < len(p) {
		if off+int64(n) >= r.content.Size {
			return n, io.EOF
		}
		at := off + int64(n)
		e, err := r.chunk(at)
		if err != nil {
			return n, err
		}
		n += copy(p[n:], e.data[at-e.start:])
	}
	return n, nil
}

// Read implements io.Reader. It returns at most the rest of one chunk.
func (r *ContentReader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	if r.pos >= r.content.Size {
		return 0, io.EOF
	}
	e, err := r.chunk(r.pos)
	if err != nil {
		return 0, err
	}
	n := copy(p, e.data[r.pos-e.start:])
	r.pos += int64(n)
	return n, nil
}

// Seek implements io.Seeker.
func (r *ContentReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.content.Size
	default:
		return 0, fmt.Errorf("seek with whence %d: %w", whence, fs.ErrInvalid)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seek to offset %d: %w", offset, fs.ErrInvalid)
	}
	r.pos = offset
	return offset, nil
}

// chunk returns the chunk that covers off. If the reader moves on in sequence,
// it starts to fetch the chunks after that.
func (r *ContentReader) chunk(off int64) (loaded, error) {
	r.mu.Lock()
	last := r.last
	if off >= last.start && off < last.end() {
		r.mu.Unlock()
		return last, nil
	}
	stream := off > 0 && off == last.end()
	f := r.takeAhead(off)
	r.mu.Unlock()
	if err := r.ctx.Err(); err != nil {
		return loaded{}, err // begin nothing: whoever ended it may have waited for what was under way
	}

	if f == nil {
		e, err := r.locate(off)
		if err != nil {
			return loaded{}, err
		}
		f = &fetch{extent: e, done: make(chan struct{})}
		if stream {
			r.fetches.Go(func() { r.fetch(f) })
		} else {
			r.fetch(f)
		}
	}
	if stream {
		if err := r.fetchAhead(f.end()); err != nil {
			return loaded{}, err
		}
	}
	select {
	case <-f.done:
	case <-r.ctx.Done():
		return loaded{}, r.ctx.Err()
	}
	if f.err != nil {
		return loaded{}, f.err
	}
	got := loaded{f.extent, f.data}
	r.mu.Lock()
	r.last = got
	r.mu.Unlock()
	return got, nil
}

// takeAhead removes and returns the fetch that covers off, with those before
// it. Called with the lock held.
func (r *ContentReader) takeAhead(off int64) *fetch {
	for i, f := range r.ahead {
		if off >= f.start && off < f.end() {
			r.ahead = r.ahead[i+1:]
			return f
		}
	}
	r.ahead = nil
	return nil
}

// fetchAhead starts to fetch what is missing of the aheadMax chunks from off.
func (r *ContentReader) fetchAhead(off int64) error {
	for {
		r.mu.Lock()
		n := len(r.ahead)
		if n > 0 {
			off = r.ahead[n-1].end()
		}
		r.mu.Unlock()
		if n >= aheadMax || off >= r.content.Size {
			return nil
		}
		e, err := r.locate(off)
		if err != nil {
			return err
		}
		f := &fetch{extent: e, done: make(chan struct{})}
		r.fetches.Go(func() { r.fetch(f) })
		r.mu.Lock()
		r.ahead = append(r.ahead, f)
		r.mu.Unlock()
	}
}

// fetch fetches a chunk.
func (r *ContentReader) fetch(f *fetch) {
	defer close(f.done)
	if r.content.Depth == DepthReference {
		f.data, f.err = r.fetchOutside(f.extent)
		return
	}
	if f.data, f.err = r.src.Get(r.ctx, Data, f.id); f.err == nil {
		f.err = f.check(f.data)
	}
}

// check fails unless data is as long as the list says.
func (e extent) check(data []byte) error {
	if int64(len(data)) == e.size {
		return nil
	}
	return fmt.Errorf("%v %s: %d bytes where the list says %d: %w", Data, e.id.Short(), len(data), e.size, ErrCorrupt)
}

// locate walks down the lists to the chunk that covers off.
func (r *ContentReader) locate(off int64) (extent, error) {
	if r.content.Depth == DepthReference {
		return r.block(off), nil
	}
	e := extent{id: r.content.ID, size: r.content.Size}
	for level := r.content.Depth; level > 0; level-- {
		n, err := r.node(e.id, level, e.size)
		if err != nil {
			return extent{}, err
		}
		i := sort.Search(len(n.ends), func(i int) bool { return off-e.start < n.ends[i] })
		e.id, e.size = n.Entries[i].ID, n.Entries[i].Size
		e.start += n.ends[i] - e.size
	}
	return e, nil
}

// node returns a list node from the cache or the store.
func (r *ContentReader) node(id ID, level uint8, size int64) (*listNode, error) {
	r.mu.Lock()
	for i, c := range r.nodes {
		if c.id == id && c.node.Level == level && c.node.total() == size {
			copy(r.nodes[i:], r.nodes[i+1:])
			r.nodes[len(r.nodes)-1] = c
			r.mu.Unlock()
			return c.node, nil
		}
	}
	r.mu.Unlock()
	n, err := getList(r.ctx, r.src, id, level, size, level == r.content.Depth)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.nodes) == nodesMax {
		copy(r.nodes, r.nodes[1:])
		r.nodes = r.nodes[:nodesMax-1]
	}
	r.nodes = append(r.nodes, cachedNode{id, n})
	return n, nil
}

// getList fetches a list node and holds it to what its parent says of it.
func getList(ctx context.Context, r Reader, id ID, level uint8, size int64, root bool) (*listNode, error) {
	raw, err := r.Get(ctx, List, id)
	if err != nil {
		return nil, err
	}
	n, err := decodeList(raw)
	switch {
	case err != nil:
	case n.Level != level:
		err = fmt.Errorf("level %d instead of %d: %w", n.Level, level, ErrCorrupt)
	case n.total() != size:
		err = fmt.Errorf("covers %d bytes instead of %d: %w", n.total(), size, ErrCorrupt)
	case root && len(n.Entries) < 2:
		err = fmt.Errorf("a list at the top has one entry: %w", ErrCorrupt)
	}
	if err != nil {
		return nil, fmt.Errorf("%v %s: %w", List, id.Short(), err)
	}
	return n, nil
}

// SkipList is what the function given to [VisitContent] returns to skip what
// is below a list node.
var SkipList = errors.New("skip this list")

// VisitContent calls fn for each chunk of c in the order of the file: a list
// node before what is below it, with the plain bytes that each covers. It
// fetches only list nodes, each after fn has seen it (of a Reference, only its
// List chunk is seen), and none for which fn
// returned [SkipList]. Any other error of fn ends the visit and is returned.
func VisitContent(ctx context.Context, r Reader, c Content, fn func(kind Kind, id ID, size int64) error) error {
	if err := CheckContent(c); err != nil {
		return err
	}
	if c.Size == 0 {
		return nil
	}
	if c.Depth == DepthReference {
		if err := fn(List, c.ID, c.Size); err != nil && !errors.Is(err, SkipList) {
			return err
		}
		return nil
	}
	v := visitor{src: r, depth: c.Depth, fn: fn}
	return v.visit(ctx, listEntry{ID: c.ID, Size: c.Size}, c.Depth)
}

type visitor struct {
	src   Reader
	depth uint8
	fn    func(Kind, ID, int64) error
}

func (v *visitor) visit(ctx context.Context, e listEntry, level uint8) error {
	if level == 0 {
		return v.fn(Data, e.ID, e.Size)
	}
	if err := v.fn(List, e.ID, e.Size); err != nil {
		if errors.Is(err, SkipList) {
			return nil
		}
		return err
	}
	n, err := getList(ctx, v.src, e.ID, level, e.Size, level == v.depth)
	if err != nil {
		return err
	}
	for _, child := range n.Entries {
		if err := v.visit(ctx, child, level-1); err != nil {
			return err
		}
	}
	return nil
}
