package chunk

import (
	"context"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"
)

// HoleWriter is implemented by what chunks are written to where bytes that were
// never written are zero, as in a new file: the holes of what was stored then
// take no room again.
type HoleWriter interface {
	io.WriterAt

	// Hole says that the n bytes from off on are zero. It is called as WriteAt is.
	Hole(off, n int64) error
}

// CopyContent reads up to copyLanes runs of chunks at once, each of runBytes of
// plain bytes or runChunks chunks: two cores are busy while a disk or a server
// is waited for, with some 16 MiB.
const (
	copyLanes = 4
	runBytes  = 4 << 20
	runChunks = 64
)

// CopyContent writes the bytes of c, each to its offset in w, in no order:
// chunks are fetched and verified beside each other. w.WriteAt is called by one
// goroutine at a time. It fails with fs.ErrInvalid if [CheckContent] does;
// after an error w has some of the bytes, never wrong ones. No call of it is
// under way once it has returned.
func CopyContent(ctx context.Context, r Reader, w io.WriterAt, c Content) error {
	if c.Depth == DepthReference {
		return copyOutside(ctx, r, w, c)
	}
	lanes, lctx := errgroup.WithContext(ctx)
	lanes.SetLimit(copyLanes)
	p := &copier{src: r, to: w}
	p.holes, _ = w.(HoleWriter)
	next := &copyRun{}
	start := func() {
		run := next
		next = &copyRun{at: run.end()}
		if len(run.ids) > 0 {
			lanes.Go(func() error { return p.copy(lctx, run) })
		}
	}
	err := VisitContent(lctx, r, c, func(kind Kind, id ID, size int64) error {
		if kind != Data {
			return nil
		}
		if p.isHole(id, size) {
			start()
			next.at += size
			return p.hole(next.at-size, size)
		}
		if next.full(size) {
			start()
		}
		next.ids = append(next.ids, id)
		next.sizes = append(next.sizes, size)
		next.bytes += size
		return lctx.Err()
	})
	if err == nil {
		start()
	}
	if lerr := lanes.Wait(); lerr != nil {
		return lerr // err may be only that the context ended with it
	}
	return err
}

// copyOutside writes the bytes that a reference names.
func copyOutside(ctx context.Context, r Reader, w io.WriterAt, c Content) error {
	in, err := OpenContent(ctx, r, c)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	_, err = in.WriteTo(io.NewOffsetWriter(w, 0))
	return err
}

// copyRun is a number of chunks that follow each other.
type copyRun struct {
	at    int64 // offset of the first
	ids   []ID
	sizes []int64
	bytes int64
}

func (r *copyRun) end() int64 { return r.at + r.bytes }

// full reports whether a chunk of size bytes belongs to the next run.
func (r *copyRun) full(size int64) bool {
	return len(r.ids) > 0 && (r.bytes+size > runBytes || len(r.ids) == runChunks)
}

// copier writes runs of chunks.
type copier struct {
	src Reader

	mu    sync.Mutex // a file system writes one stretch of a file at a time, and lets others burn time meanwhile
	to    io.WriterAt
	holes HoleWriter // to, if it is one
	zeros extent     // the last chunk of which all bytes were zero, wherever it was
}

// isHole reports whether a chunk is known to be of size zeros, which need not be
// written.
func (p *copier) isHole(id ID, size int64) bool {
	if p.holes == nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return id == p.zeros.id && size == p.zeros.size
}

func (p *copier) hole(at, size int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.holes.Hole(at, size)
}

// write writes a chunk that was fetched.
func (p *copier) write(id ID, plain []byte, at int64) error {
	zero := p.holes != nil && isZero(plain)
	p.mu.Lock()
	defer p.mu.Unlock()
	if zero {
		p.zeros = extent{id: id, size: int64(len(plain))}
		return p.holes.Hole(at, int64(len(plain)))
	}
	_, err := p.to.WriteAt(plain, at)
	return err
}

func (p *copier) copy(ctx context.Context, run *copyRun) error {
	offsets, at := make([]int64, len(run.ids)), run.at
	for i, size := range run.sizes {
		offsets[i], at = at, at+size
	}
	return GetMany(ctx, p.src, Data, run.ids, func(i int, plain []byte) error {
		if int64(len(plain)) != run.sizes[i] {
			return fmt.Errorf("%v %s: %d bytes where the list says %d: %w", Data, run.ids[i].Short(), len(plain), run.sizes[i], ErrCorrupt)
		}
		return p.write(run.ids[i], plain, offsets[i])
	})
}
