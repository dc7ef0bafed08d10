package s3

import (
	"context"
	"io"

	"github.com/minio/minio-go/v7"
)

// Plain are objects below the store's prefix that other people read: with any
// key that S3 allows, replaced without conditions, of any size. It may be used
// concurrently.
type Plain struct{ s *Store }

// Plain returns the plain objects beside those of the store.
func (s *Store) Plain() Plain { return Plain{s} }

// Put writes size bytes of r as the object of a key, in parts where there are
// many. ErrUnknownOutcome as of the store's Put.
func (p Plain) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	o := minio.PutObjectOptions{
		PartSize: uint64(p.s.partBytes),
		// There is nothing to sign piece by piece in an empty object, and servers
		// were seen to take the last, empty piece for the next request.
		DisableContentSha256: size == 0,
	}
	_, err := p.s.client.Client.PutObject(ctx, p.s.bucket, p.s.prefix+key, r, size, o)
	if err != nil {
		return p.s.mapError("put", key, err)
	}
	return nil
}

// Get opens an object; objstore.ErrNotFound if there is none. The caller closes
// the reader.
func (p Plain) Get(ctx context.Context, key string) (io.ReadCloser, error) {
	r, _, _, err := p.s.client.GetObject(ctx, p.s.bucket, p.s.prefix+key, minio.GetObjectOptions{})
	if err != nil {
		return nil, p.s.mapError("get", key, err)
	}
	return r, nil
}

// First returns the key of some object, or "" if there is none.
func (p Plain) First(ctx context.Context) (string, error) {
	for o := range p.s.client.ListObjectsIter(ctx, p.s.bucket, minio.ListObjectsOptions{Prefix: p.s.prefix, Recursive: true, MaxKeys: 1}) {
		if o.Err != nil {
			return "", p.s.mapError("list", "", o.Err)
		}
		return o.Key, nil
	}
	return "", ctx.Err()
}

// Delete removes an object if it is there.
func (p Plain) Delete(ctx context.Context, key string) error {
	if err := p.s.client.RemoveObject(ctx, p.s.bucket, p.s.prefix+key, minio.RemoveObjectOptions{}); err != nil {
		return p.s.mapError("delete", key, err)
	}
	return nil
}
