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
	room   *room
	body   // as it is stored
}

// newObject opens the object that e is.
func (v *version) newObject(key string, e *tree.Entry) *object {
	return &object{info: v.describe(key, e), chunks: v.chunks, kind: e.Kind, room: v.room, body: stored(e)}
}

// Info implements s3proxy.Object.
func (o *object) Info() s3proxy.ObjectInfo { return o.info }

// Close implements s3proxy.Object.
func (o *object) Close() error { return nil }

// Range implements s3proxy.Object. Of the chunks that it needs it holds a few,
// as far as there is room for them, each checked against its hash before a byte
// of it is given out.
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
	return &stream{ctx: ctx, r: r, pos: offset, end: offset + length, cancel: cancel, room: o.room, small: o.content.Size <= pieceMin}, nil
}
