package s3repo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Open implements s3proxy.Backend.
func (b *Backend) Open(ctx context.Context, name s3proxy.ObjectName) (s3proxy.Object, error) {
	ctx, _ = enter(ctx)
	k, err := b.bucket(ctx, name.Bucket)
	if err != nil {
		return nil, err
	}
	m, path, ok := k.split(name.Key)
	if !ok || path == "" {
		return nil, noKey(name.Key)
	}
	if name.VersionID != "" {
		return k.openVersion(ctx, m, path, name)
	}
	v, err := k.version(ctx, m)
	if isAbsent(err) {
		return nil, noKey(name.Key)
	}
	if err != nil {
		return nil, seal(err)
	}
	e, err := v.lookup(ctx, path)
	if err != nil {
		return nil, seal(err)
	}
	if e == nil {
		return nil, noKey(name.Key)
	}
	return v.newObject(name.Key, e), nil
}

func noKey(key string) error { return fmt.Errorf("key %.300q: %w", key, s3proxy.ErrNoSuchKey) }

// lookup returns the entry that is the object at path, nil if there is none.
func (v *version) lookup(ctx context.Context, path string) (*tree.Entry, error) {
	if tree.CheckPath(path) != nil {
		return nil, nil
	}
	e, err := v.tree.Lookup(ctx, path)
	if errors.Is(err, tree.ErrNotFound) {
		return nil, nil
	}
	if err != nil || e.Kind != tree.Dir {
		return &e, err
	}
	if path[len(path)-1] != '/' {
		return nil, nil
	}
	ok, err := v.isObject(ctx, &e)
	if !ok || err != nil {
		return nil, err
	}
	return &e, nil
}

// object is an opened object. There is nothing to close: its chunks are values.
type object struct {
	info   s3proxy.ObjectInfo
	chunks chunk.Reader
	kind   tree.Kind
	body   // as it is stored
}

// newObject opens the object that e is.
func (v *version) newObject(key string, e *tree.Entry) *object {
	return &object{info: v.describe(key, e), chunks: v.chunks, kind: e.Kind, body: stored(e)}
}

// Info implements s3proxy.Object.
func (o *object) Info() s3proxy.ObjectInfo { return o.info }

// Close implements s3proxy.Object.
func (o *object) Close() error { return nil }

// Range implements s3proxy.Object. Of the chunks that it needs it holds a few,
// each checked against its hash before a byte of it is given out.
func (o *object) Range(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 || length < 1 || length > o.info.Size-offset {
		return nil, fmt.Errorf("range of %d bytes at %d of %d: %w", length, offset, o.info.Size, fs.ErrInvalid)
	}
	ctx, cancel := context.WithCancel(ctx)
	r, err := chunk.OpenContent(ctx, o.chunks, o.content)
	if err != nil {
		cancel()
		return nil, seal(err)
	}
	return &stream{r: r, pos: offset, end: offset + length, cancel: cancel}, nil
}

// stream reads a part of an object.
type stream struct {
	r        *chunk.ContentReader
	pos, end int64
	cancel   context.CancelFunc
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	if s.pos == s.end {
		return 0, io.EOF
	}
	n, err := s.r.ReadAt(p[:min(int64(len(p)), s.end-s.pos)], s.pos)
	s.pos += int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		err = seal(err)
	}
	return n, err
}

// wholeMin is from how much on what is left of a stream is written chunk by
// chunk, the next ones being fetched meanwhile: two may be fetched in vain.
const wholeMin = 4 << 20

// WriteTo implements io.WriterTo. It writes from the chunks themselves.
func (s *stream) WriteTo(w io.Writer) (int64, error) {
	if s.end-s.pos < wholeMin {
		return io.Copy(w, struct{ io.Reader }{s})
	}
	if _, err := s.r.Seek(s.pos, io.SeekStart); err != nil {
		return 0, err
	}
	out := &pieces{w: w, left: s.end - s.pos, enough: s.cancel}
	n, err := s.r.WriteTo(out)
	s.pos += n
	switch {
	case out.err != nil:
		return n, out.err
	case errors.Is(err, errEnough):
		return n, nil
	}
	return n, seal(err)
}

// pieceMax is how much is written at once: who sends it to a client can tell
// how fast it goes.
const pieceMax = 256 << 10

// errEnough ends what goes on behind the end of a range.
var errEnough = errors.New("enough was written")

// pieces writes up to left bytes, in pieces.
type pieces struct {
	w      io.Writer
	left   int64
	err    error  // of w
	enough func() // called when that is written
}

// Write implements io.Writer.
func (p *pieces) Write(b []byte) (written int, err error) {
	for len(b) > 0 && p.left > 0 {
		n, err := p.w.Write(b[:min(int64(len(b)), pieceMax, p.left)])
		written, p.left, b = written+n, p.left-int64(n), b[n:]
		if err != nil {
			p.err = err
			return written, err
		}
	}
	if p.left == 0 {
		p.enough() // what is fetched from behind the range is not waited for
		return written, errEnough
	}
	return written, nil
}

// Close implements io.Closer. What is being fetched ahead has ended when it
// returns: nothing of a request outlives it, so that the store can be closed
// once all requests are over.
func (s *stream) Close() error {
	s.cancel()
	return s.r.Close()
}
