package s3proxy_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3mem"
)

// minioServer serves a store with 2,500 small objects and a large one by the
// real clock, which minio-go signs with.
func minioServer(t *testing.T) (addr string, big []byte) {
	t.Helper()
	s := s3mem.New(time.Now)
	if err := s.CreateBucket(context.Background(), "data"); err != nil {
		t.Fatal(err)
	}
	for i := range 2500 {
		key := fmt.Sprintf("many/%d/file +%%%04d é", i%5, i)
		if err := s.Add("data", s3proxy.ObjectInfo{Key: key}, []byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	big = bytes.Repeat([]byte("all work and no play "), 100_000)
	info := s3proxy.ObjectInfo{Key: "big", Attributes: s3proxy.Attributes{
		ContentType: "text/x-novel", Meta: map[string]string{"author": "Jack"},
	}}
	if err := s.Add("data", info, big); err != nil {
		t.Fatal(err)
	}
	ts := newServer(t, newHandler(t, s, s3proxy.Options{Now: time.Now}))
	return ts.Listener.Addr().String(), big
}

func minioClient(t *testing.T, addr, secret string) *minio.Client {
	t.Helper()
	c, err := minio.New(addr, &minio.Options{Creds: credentials.NewStaticV4(testID, secret, ""), MaxRetries: 1})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestMinioLists(t *testing.T) {
	addr, _ := minioServer(t)
	c, ctx := minioClient(t, addr, testSecret), context.Background()
	buckets, err := c.ListBuckets(ctx)
	if err != nil || len(buckets) != 1 || buckets[0].Name != "data" {
		t.Fatalf("buckets %+v, %v", buckets, err)
	}
	if ok, err := c.BucketExists(ctx, "data"); !ok || err != nil {
		t.Errorf("bucket exists: %v, %v", ok, err)
	}
	if ok, err := c.BucketExists(ctx, "nodata"); ok || err != nil {
		t.Errorf("bucket exists: %v, %v", ok, err)
	}
	for _, o := range []minio.ListObjectsOptions{
		{Recursive: true, Prefix: "many/"},
		{Recursive: true, Prefix: "many/", UseV1: true},
		{Recursive: true, Prefix: "many/", MaxKeys: 77},
	} {
		seen := map[string]bool{}
		for info := range c.ListObjects(ctx, "data", o) {
			if info.Err != nil {
				t.Fatal(info.Err)
			}
			if info.Size != int64(len(info.Key)) || info.ETag == "" {
				t.Fatalf("listed as %+v", info)
			}
			seen[info.Key] = true
		}
		if len(seen) != 2500 || !seen["many/3/file +%1233 é"] {
			t.Errorf("%+v: %d keys", o, len(seen))
		}
	}
	var level []string
	for info := range c.ListObjects(ctx, "data", minio.ListObjectsOptions{Prefix: "many/", MaxKeys: 2}) {
		if info.Err != nil {
			t.Fatal(info.Err)
		}
		level = append(level, info.Key)
	}
	if got := strings.Join(level, " "); got != "many/0/ many/1/ many/2/ many/3/ many/4/" {
		t.Errorf("one level: %q", got)
	}
}

func TestMinioReads(t *testing.T) {
	addr, big := minioServer(t)
	c, ctx := minioClient(t, addr, testSecret), context.Background()
	info, err := c.StatObject(ctx, "data", "big", minio.StatObjectOptions{})
	if err != nil || info.Size != int64(len(big)) || info.ContentType != "text/x-novel" || info.UserMetadata["Author"] != "Jack" {
		t.Fatalf("stat %+v, %v", info, err)
	}
	read := func(key string, o minio.GetObjectOptions) ([]byte, error) {
		rd, err := c.GetObject(ctx, "data", key, o)
		if err != nil {
			return nil, err
		}
		defer rd.Close()
		return io.ReadAll(rd)
	}
	if got, err := read("big", minio.GetObjectOptions{}); err != nil || !bytes.Equal(got, big) {
		t.Errorf("whole: %d bytes, %v", len(got), err)
	}
	if got, err := read("many/3/file +%1233 é", minio.GetObjectOptions{}); err != nil || string(got) != "many/3/file +%1233 é" {
		t.Errorf("odd name: %q, %v", got, err)
	}
	var part minio.GetObjectOptions
	if err := part.SetRange(1_000_000, 1_999_999); err != nil {
		t.Fatal(err)
	}
	if got, err := read("big", part); err != nil || !bytes.Equal(got, big[1_000_000:2_000_000]) {
		t.Errorf("range: %d bytes, %v", len(got), err)
	}
	_, err = read("none", minio.GetObjectOptions{})
	if r := minio.ToErrorResponse(err); r.Code != "NoSuchKey" || r.StatusCode != 404 {
		t.Errorf("missing key: %+v", r)
	}
	var match minio.GetObjectOptions
	if err := match.SetMatchETag("nonsense"); err != nil {
		t.Fatal(err)
	}
	_, err = read("big", match)
	if r := minio.ToErrorResponse(err); r.Code != "PreconditionFailed" {
		t.Errorf("other ETag: %+v", r)
	}
	_, err = minioClient(t, addr, "guess").StatObject(ctx, "data", "big", minio.StatObjectOptions{})
	if r := minio.ToErrorResponse(err); r.StatusCode != 403 {
		t.Errorf("wrong secret: %+v", r)
	}
	_, err = minioClient(t, addr, "guess").ListBuckets(ctx)
	if r := minio.ToErrorResponse(err); r.Code != "SignatureDoesNotMatch" {
		t.Errorf("wrong secret: %+v", r)
	}
}

func TestMinioPresigned(t *testing.T) {
	addr, big := minioServer(t)
	c, ctx := minioClient(t, addr, testSecret), context.Background()
	v2, err := minio.New(addr, &minio.Options{Creds: credentials.NewStaticV2(testID, testSecret, "")})
	if err != nil {
		t.Fatal(err)
	}
	for name, client := range map[string]*minio.Client{"version 4": c, "version 2": v2} {
		for key, content := range map[string]string{"big": string(big), "many/3/file +%1233 é": "many/3/file +%1233 é"} {
			u, err := client.PresignedGetObject(ctx, "data", key, time.Hour, url.Values{"response-content-type": {"text/x-poem"}})
			if err != nil {
				t.Fatal(err)
			}
			status, header, body := fetch(t, u.String())
			if status != 200 || body != content || header.Get("Content-Type") != "text/x-poem" {
				t.Errorf("%s, %q: got %d, %d bytes, type %q", name, key, status, len(body), header.Get("Content-Type"))
			}
			for _, tampered := range []string{
				strings.Replace(u.String(), "/data/", "/datb/", 1),
				strings.Replace(u.String(), "poem", "html", 1),
				u.String() + "&versionId=1",
				u.String() + "0",
			} {
				if status, _, body := fetch(t, tampered); status != 403 && status != 400 {
					t.Errorf("%s, tampered %s: got %d %q", name, tampered, status, body)
				}
			}
		}
	}
	off := newServer(t, newHandler(t, newMem(t), s3proxy.Options{Now: time.Now, DisableV2: true}))
	refused, err := minio.New(off.Listener.Addr().String(), &minio.Options{Creds: credentials.NewStaticV2(testID, testSecret, "")})
	if err != nil {
		t.Fatal(err)
	}
	u, err := refused.PresignedGetObject(ctx, "bkt", "hello.txt", time.Hour, nil)
	if err != nil {
		t.Fatal(err)
	}
	if status, _, body := fetch(t, u.String()); status != 403 || !strings.Contains(body, "AccessDenied") {
		t.Errorf("version 2, switched off: got %d %q", status, body)
	}
}

func fetch(t *testing.T, u string) (int, http.Header, string) {
	t.Helper()
	res, err := http.Get(u)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, res.Header, string(body)
}
