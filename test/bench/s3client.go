package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
)

// presignedFor is how long the URLs hold that objects are fetched by.
const presignedFor = time.Hour

// address returns the URL of an object: presigned, if the server wants that.
func (e *endpoint) address(ctx context.Context, key string) (string, error) {
	if e.s3 == nil {
		return e.url + "/" + key, nil
	}
	u, err := e.s3.PresignedGetObject(ctx, e.bucket, key, presignedFor, nil)
	if err != nil {
		return "", err
	}
	return u.String(), nil
}

// get fetches an object and looks at its length.
func (e *endpoint) get(ctx context.Context, url string, size int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	res, err := e.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	n, err := io.Copy(io.Discard, res.Body) // which has buffers of its own
	if err == nil && (res.StatusCode != http.StatusOK || n != size) {
		err = fmt.Errorf("GET %s: status %d, %d bytes, want %d", url, res.StatusCode, n, size)
	}
	return err
}

// put sends an object as minio-go does by itself.
func (e *endpoint) put(ctx context.Context, key string, r io.Reader, size int64) error {
	info, err := e.s3.PutObject(ctx, e.bucket, key, r, size, minio.PutObjectOptions{})
	if err == nil && info.Size != size {
		err = fmt.Errorf("PUT %s: %d bytes, want %d", key, info.Size, size)
	}
	return err
}

// list counts the keys of the bucket, page by page, and times the first page.
func (e *endpoint) list(ctx context.Context) (n int, first time.Duration, err error) {
	core := minio.Core{Client: e.s3}
	start := time.Now()
	for token := ""; ; {
		page, err := core.ListObjectsV2(e.bucket, "", "", token, "", 1000)
		if err != nil {
			return n, first, err
		}
		if n == 0 {
			first = time.Since(start)
		}
		n += len(page.Contents)
		if token = page.NextContinuationToken; !page.IsTruncated {
			return n, first, ctx.Err()
		}
	}
}
