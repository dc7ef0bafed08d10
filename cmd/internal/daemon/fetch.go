package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/dvx-io/dvx/cmd/internal/place"
	"github.com/dvx-io/dvx/pkg/objstore"
)

// headerTime is how long a server may take to begin its answer.
const headerTime = 30 * time.Second

// fetcher gets files by HTTP and from buckets. It implements pipeline.Fetcher.
type fetcher struct{ place place.Options }

// Fetch implements pipeline.Fetcher.
func (f *fetcher) Fetch(ctx context.Context, raw, etag string) (io.ReadCloser, string, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", err, fs.ErrInvalid)
	}
	if u.Scheme == "s3" {
		return f.object(ctx, u, etag)
	}
	return get(ctx, raw, etag)
}

// get asks a web server, for a version other than etag.
func get(ctx context.Context, raw, etag string) (io.ReadCloser, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, raw, nil)
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("User-Agent", "dvx")
	if etag != "" {
		req.Header.Set("If-None-Match", etag)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, ResponseHeaderTimeout: headerTime, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return nil, "", err
	}
	switch resp.StatusCode {
	case http.StatusOK:
		return resp.Body, resp.Header.Get("ETag"), nil
	case http.StatusNotModified:
		return nil, etag, resp.Body.Close()
	case http.StatusNotFound, http.StatusGone:
		err = fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden:
		err = fs.ErrPermission
	default:
		err = errors.New("the server can't give it")
	}
	return nil, "", errors.Join(fmt.Errorf("%s: %w", resp.Status, err), resp.Body.Close())
}

// object asks a bucket, with the usual credentials.
func (f *fetcher) object(ctx context.Context, u *url.URL, etag string) (io.ReadCloser, string, error) {
	bucket, err := place.Bucket(ctx, "s3://"+u.Host, f.place)
	if err != nil {
		return nil, "", err
	}
	key := strings.TrimPrefix(u.Path, "/")
	info, err := bucket.Stat(ctx, key)
	if err != nil {
		return nil, "", err
	}
	tag := string(info.Version)
	if tag == "" { // larger than what the store compares
		tag = fmt.Sprintf("%d-%d", info.Size, info.ModTime.UnixMilli())
	}
	if tag == etag {
		return nil, etag, nil
	}
	body, _, err := bucket.Get(ctx, key, objstore.Range{})
	return body, tag, err
}
