package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/minio/minio-go/v7"
	"golang.org/x/sync/errgroup"
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

// slowPuts has many clients send an object each, of which most comes at once and
// the rest after a pause, and meanwhile sends others. The note says how long the
// slowest of these took.
func (e *endpoint) slowPuts(ctx context.Context, round int) (note string, err error) {
	paused := make(chan struct{})
	var most time.Duration
	all, ctx := errgroup.WithContext(ctx)
	for i := range s3Slow {
		all.Go(func() error {
			u, err := e.s3.PresignedPutObject(ctx, e.bucket, fmt.Sprintf("slow/%d/%d", round, i), presignedFor)
			if err != nil {
				return err
			}
			src := seeded(byte(i))
			body := io.MultiReader(io.LimitReader(src, s3SlowBytes*4/5), &after{c: paused, r: io.LimitReader(src, s3SlowBytes/5)})
			req, err := http.NewRequestWithContext(ctx, http.MethodPut, u.String(), body)
			if err != nil {
				return err
			}
			req.ContentLength = s3SlowBytes
			res, err := e.http.Do(req)
			if err != nil {
				return err
			}
			if err = res.Body.Close(); err == nil && res.StatusCode != http.StatusOK {
				err = fmt.Errorf("slow PUT: status %d", res.StatusCode)
			}
			return err
		})
	}
	all.Go(func() error {
		defer close(paused)
		begun := time.Now()
		for n := 0; time.Since(begun) < s3SlowPause; n++ {
			at := time.Now()
			if err := e.put(ctx, fmt.Sprintf("quick/%d/%d", round, n), io.LimitReader(seeded(byte(n)), 1<<20), 1<<20); err != nil {
				return err
			}
			most = max(most, time.Since(at))
		}
		return nil
	})
	err = all.Wait()
	return "a PUT of 1 MiB meanwhile: " + seconds(most) + " at most", err
}

// after reads r, once c is closed.
type after struct {
	c <-chan struct{}
	r io.Reader
}

// Read implements io.Reader.
func (a *after) Read(p []byte) (int, error) {
	<-a.c
	return a.r.Read(p)
}
