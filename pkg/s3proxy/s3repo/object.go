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

// Open implements s3proxy.Backend. Versions by ID are not served: what a commit
// holds is read through the commit's name.
func (b *Backend) Open(ctx context.Context, name s3proxy.ObjectName) (s3proxy.Object, error) {
	ctx, _ = enter(ctx)
	k, err := b.bucket(ctx, name.Bucket)
	if err != nil {
		return nil, err
	}
	if name.VersionID != "" {
		return nil, fmt.Errorf("version %.100q of %.300q: %w", name.VersionID, name.Key, s3proxy.ErrNoSuchVersion)
	}
	m, path, ok := k.split(name.Key)
	if !ok || path == "" {
		return nil, noKey(name.Key)
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
	return &object{info: v.describe(name.Key, e), chunks: v.chunks, content: stored(e).content}, nil
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
	info    s3proxy.ObjectInfo
	chunks  chunk.Reader
	content chunk.Content
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
	return &stream{r: io.NewSectionReader(r, offset, length), cancel: cancel}, nil
}

// stream reads a part of an object; closing it ends what is fetched ahead.
type stream struct {
	r      io.Reader
	cancel context.CancelFunc
}

// Read implements io.Reader.
func (s *stream) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = seal(err)
	}
	return n, err
}

// Close implements io.Closer.
func (s *stream) Close() error {
	s.cancel()
	return nil
}
