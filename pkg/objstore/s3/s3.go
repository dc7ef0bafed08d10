package s3

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/minio/minio-go/v7"

	"github.com/dvx-io/dvx/pkg/objstore"
)

// attemptsMax bounds how often an object is read anew because it was replaced
// under the reader.
const attemptsMax = 10

// Store is an objstore.Store in a bucket.
type Store struct {
	client    *minio.Core
	bucket    string
	prefix    string // "" or ends in a slash
	partBytes int64

	// byMD5 is set once the service turned out not to check SHA-256 checksums:
	// from then on bodies go with a Content-MD5.
	byMD5 atomic.Bool
}

var _ objstore.Store = (*Store)(nil)

// String returns the URL of the store.
func (s *Store) String() string { return "s3://" + s.bucket + "/" + strings.TrimSuffix(s.prefix, "/") }

// begin checks what every call on a key checks.
func begin(ctx context.Context, op, key string) error {
	if err := objstore.CheckKey(key); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%s %s: %w", op, key, err)
	}
	return nil
}

// Get implements objstore.Store. The whole of an object that may be replaced is
// read at once and held against its version.
func (s *Store) Get(ctx context.Context, key string, r objstore.Range) (io.ReadCloser, objstore.Info, error) {
	for attempt := 1; ; attempt++ {
		rc, info, err := s.get(ctx, key, r)
		if err != nil || r != (objstore.Range{}) || info.Size > objstore.MutableSizeMax {
			return rc, info, err
		}
		b, err := readWhole(rc)
		if err != nil {
			return nil, objstore.Info{}, err
		}
		matches, err := s.matches(ctx, b, info)
		switch {
		case err != nil:
			return nil, objstore.Info{}, err
		case matches:
			return io.NopCloser(bytes.NewReader(b)), info, nil
		case attempt == attemptsMax:
			return nil, objstore.Info{}, fmt.Errorf("get %s: the object changed each time it was read: %w", key, objstore.ErrUnknownOutcome)
		}
	}
}

func (s *Store) get(ctx context.Context, key string, r objstore.Range) (io.ReadCloser, objstore.Info, error) {
	if err := begin(ctx, "get", key); err != nil {
		return nil, objstore.Info{}, err
	}
	if r.Length < 0 {
		_, _, err := r.Resolve(0)
		return nil, objstore.Info{}, fmt.Errorf("get %s: %w", key, err)
	}
	var o minio.GetObjectOptions
	if h := rangeHeader(r); h != "" {
		o.Set("Range", h)
	}
	rc, oi, header, err := s.client.GetObject(ctx, s.bucket, s.prefix+key, o)
	if minio.ToErrorResponse(err).StatusCode == http.StatusRequestedRangeNotSatisfiable {
		return s.getNothing(ctx, key, r)
	}
	if err != nil {
		return nil, objstore.Info{}, s.mapError("get", key, err)
	}
	info := objstore.Info{Key: key, Size: oi.Size, Version: objstore.Version(oi.ETag), ModTime: oi.LastModified}
	partial := false
	if cr := header.Get("Content-Range"); cr != "" {
		partial = true
		info.Size, err = totalSize(cr)
	}
	if err == nil {
		rc, err = cutBody(key, rc, info.Size, r, partial)
	}
	if err != nil {
		rc.Close()
		return nil, objstore.Info{}, fmt.Errorf("get %s: %w", key, err)
	}
	return rc, info, nil
}

// getNothing answers a range that the service did not: empty for an empty
// object, else an error.
func (s *Store) getNothing(ctx context.Context, key string, r objstore.Range) (io.ReadCloser, objstore.Info, error) {
	info, err := s.Stat(ctx, key)
	if err != nil {
		return nil, objstore.Info{}, err
	}
	if _, _, err := r.Resolve(info.Size); err != nil {
		return nil, objstore.Info{}, fmt.Errorf("get %s: %w", key, err)
	}
	if info.Size > 0 { // replaced meanwhile
		return nil, objstore.Info{}, fmt.Errorf("get %s: the object changed while it was read: %w", key, objstore.ErrUnknownOutcome)
	}
	return http.NoBody, info, nil
}

// rangeHeader returns the value of the Range header for r, or "" for all. The
// Length of a range from the end is left to the reader.
func rangeHeader(r objstore.Range) string {
	switch {
	case r.Offset < 0:
		return fmt.Sprintf("bytes=%d", r.Offset)
	case r.Length > 0 && r.Length <= math.MaxInt64-r.Offset:
		return fmt.Sprintf("bytes=%d-%d", r.Offset, r.Offset+r.Length-1)
	case r.Offset > 0:
		return fmt.Sprintf("bytes=%d-", r.Offset)
	}
	return ""
}

// totalSize reads the size of the whole object from a Content-Range header.
func totalSize(contentRange string) (int64, error) {
	_, total, ok := strings.Cut(contentRange, "/")
	size, err := strconv.ParseInt(total, 10, 64)
	if !ok || err != nil || size < 0 {
		return 0, fmt.Errorf("the service answers the content range %q: %w", contentRange, fs.ErrInvalid)
	}
	return size, nil
}

// Stat implements objstore.Store.
func (s *Store) Stat(ctx context.Context, key string) (objstore.Info, error) {
	if err := begin(ctx, "stat", key); err != nil {
		return objstore.Info{}, err
	}
	oi, err := s.client.StatObject(ctx, s.bucket, s.prefix+key, minio.StatObjectOptions{})
	if err != nil {
		return objstore.Info{}, s.mapError("stat", key, err)
	}
	return objstore.Info{Key: key, Size: oi.Size, Version: objstore.Version(oi.ETag), ModTime: oi.LastModified}, nil
}

// Delete implements objstore.Store.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := begin(ctx, "delete", key); err != nil {
		return err
	}
	err := s.client.RemoveObject(ctx, s.bucket, s.prefix+key, minio.RemoveObjectOptions{})
	if err != nil {
		if err = s.mapError("delete", key, err); errors.Is(err, objstore.ErrNotFound) {
			return nil
		}
	}
	return err
}

// List implements objstore.Store. Objects whose names are no keys are not dvx's
// and are left out.
func (s *Store) List(ctx context.Context, prefix, after string) iter.Seq2[objstore.Info, error] {
	return func(yield func(objstore.Info, error) bool) {
		if err := ctx.Err(); err != nil {
			yield(objstore.Info{}, fmt.Errorf("list %q: %w", prefix, err))
			return
		}
		o := minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}
		if after != "" {
			o.StartAfter = s.prefix + after
		}
		for oi := range s.client.ListObjectsIter(ctx, s.bucket, o) {
			if oi.Err != nil {
				yield(objstore.Info{}, s.mapError("list", prefix, oi.Err))
				return
			}
			key, ok := strings.CutPrefix(oi.Key, s.prefix)
			if !ok || objstore.CheckKey(key) != nil || key <= after {
				continue
			}
			info := objstore.Info{Key: key, Size: oi.Size, Version: objstore.Version(oi.ETag), ModTime: oi.LastModified}
			if !yield(info, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(objstore.Info{}, fmt.Errorf("list %q: %w", prefix, err))
		}
	}
}
