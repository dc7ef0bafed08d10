package s3

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/minio/minio-go/v7"
)

// Object describes a plain object as it is at some time.
type Object struct {
	Key  string
	Size int64  // bytes
	ETag string // without quotes; another content has another one
	ID   string // of the version; "" for whatever is there
}

// All lists the objects whose keys begin with prefix, in byte order of keys: a
// request for each thousand, and none for an object. It stops at the first
// error, which it yields.
func (p Plain) All(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for o := range p.s.client.ListObjectsIter(ctx, p.s.bucket, minio.ListObjectsOptions{Prefix: p.s.prefix + prefix, Recursive: true}) {
			if o.Err != nil {
				yield(Object{}, p.s.mapError("list", prefix, o.Err))
				return
			}
			if !yield(Object{Key: o.Key[len(p.s.prefix):], Size: o.Size, ETag: o.ETag}, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil { // the listing just ends then
			yield(Object{}, fmt.Errorf("list %q: %w", prefix, err))
		}
	}
}

// ReadPart returns size bytes from offset of an object, if it still is the one
// described: else it fails with objstore.ErrNotFound or ErrPrecondition.
func (p Plain) ReadPart(ctx context.Context, o Object, offset, size int64) ([]byte, error) {
	opts := minio.GetObjectOptions{VersionID: o.ID}
	if err := opts.SetMatchETag(o.ETag); err != nil {
		return nil, fmt.Errorf("get %s: %w", o.Key, err)
	}
	if err := opts.SetRange(offset, offset+size-1); err != nil {
		return nil, fmt.Errorf("get %s: %w", o.Key, err)
	}
	r, _, header, err := p.s.client.GetObject(ctx, p.s.bucket, p.s.prefix+o.Key, opts)
	if err != nil {
		return nil, p.s.mapError("get", o.Key, err)
	}
	if header.Get("Content-Range") == "" { // the service took no notice of the range
		_, err = io.CopyN(io.Discard, r, offset)
	}
	b := make([]byte, size)
	if err == nil {
		_, err = io.ReadFull(r, b)
	}
	if cerr := r.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return nil, p.s.mapError("get", o.Key, err)
	}
	return b, nil
}
