package s3repo_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3repo"
)

// serve serves a store as cmd wires it, to the owner and to eve, who may
// nothing, by the real clock, which minio-go signs with.
func serve(t *testing.T, s repo.Store) (asOwner, asEve *minio.Client) {
	t.Helper()
	keys := auth.Keys{
		{Access: "OWNER", Secret: "owner's secret", Principal: auth.Owner.Name},
		{Access: "EVE", Secret: "eve's secret", Principal: "eve"},
	}
	b := s3repo.New(s, auth.OwnerOnly{})
	h, err := s3proxy.New(b, s3repo.KeyLookup(keys), s3proxy.Options{Now: time.Now, Authorize: b.Authorize})
	if err != nil {
		t.Fatal(err)
	}
	ts := httptest.NewUnstartedServer(h)
	ts.Config = s3proxy.NewServer(h, nil)
	ts.Start()
	t.Cleanup(ts.Close)
	client := func(k auth.Key) *minio.Client {
		c, err := minio.New(ts.Listener.Addr().String(), &minio.Options{
			Creds: credentials.NewStaticV4(k.Access, k.Secret, ""), MaxRetries: 1, BucketLookup: minio.BucketLookupPath,
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	return client(keys[0]), client(keys[1])
}

func random(n int, seed byte) string {
	b := make([]byte, n)
	if _, err := rand.NewChaCha8([32]byte{seed}).Read(b); err != nil {
		panic(err)
	}
	return string(b)
}

func TestMinio(t *testing.T) {
	s := newStore(t, "images", "other")
	old := map[string]string{"2026/a.png": random(300_000, 1), "b c+d%41.txt": "old", "empty": "", "ünï/日本": "kept", "a": "file", "a/b": "beside"}
	now := map[string]string{"2026/a.png": random(200_001, 2), "b c+d%41.txt": "new"}
	first := s.put("images", "main", old)
	s.put("images", "main", now)
	s.move(repo.CreateTag{Repo: "images", Tag: "release/1.0", Commit: first})
	c, eve := serve(t, s)
	current := map[string]string{}
	for _, m := range []map[string]string{old, now} {
		for k, v := range m {
			current[k] = v
		}
	}
	for _, tt := range []struct {
		bucket, prefix string
		want           map[string]string
	}{
		{"images", "main/", current},
		{"images", "main~1/", old},
		{"images", "release/1.0/", old},
		{"images", first.String() + "/", old},
		{"images", first.Short() + "/", old},
		{"main.images", "", current},
	} {
		checkRemote(t, c, tt.bucket, tt.prefix, tt.want)
	}
	buckets, err := c.ListBuckets(t.Context())
	if err != nil || len(buckets) != 2 || buckets[0].Name != "images" || buckets[1].Name != "other" {
		t.Errorf("buckets %+v, %v", buckets, err)
	}
	var refs []string
	for info := range c.ListObjects(t.Context(), "images", minio.ListObjectsOptions{}) {
		refs = append(refs, info.Key)
	}
	if got := strings.Join(refs, " "); got != "main/ release/" {
		t.Errorf("refs listed as %q", got)
	}
	for _, bucket := range []string{"images", "main.images", "nope.images", "nope"} {
		ok, err := c.BucketExists(t.Context(), bucket)
		if err != nil || ok != !strings.HasPrefix(bucket, "nope") {
			t.Errorf("bucket %s exists: %v, %v", bucket, ok, err)
		}
	}
	checkDenied(t, eve)
	_, err = c.PutObject(t.Context(), "images", "release/1.0/x", strings.NewReader("x"), 1, minio.PutObjectOptions{})
	if code := minio.ToErrorResponse(err).Code; code != "MethodNotAllowed" {
		t.Errorf("writing to a tag: %v", err)
	}
}

// checkRemote compares all that a client sees below a prefix with want.
func checkRemote(t *testing.T, c *minio.Client, bucket, prefix string, want map[string]string) {
	t.Helper()
	var listed []string
	for info := range c.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true, MaxKeys: 2}) {
		if info.Err != nil {
			t.Fatal(info.Err)
		}
		listed = append(listed, strings.TrimPrefix(info.Key, prefix))
	}
	if len(listed) != len(want) || !slices.IsSorted(listed) {
		t.Errorf("%s/%s lists %q", bucket, prefix, listed)
	}
	for key, text := range want {
		got, err := fetch(t, c, bucket, prefix+key, minio.GetObjectOptions{})
		if err != nil || got != text {
			t.Errorf("%s/%s%s: %d bytes, %v, want %d", bucket, prefix, key, len(got), err, len(text))
		}
		if len(text) < 1000 {
			continue
		}
		var part minio.GetObjectOptions
		if err := part.SetRange(70_000, 170_000); err != nil {
			t.Fatal(err)
		}
		if got, err := fetch(t, c, bucket, prefix+key, part); err != nil || got != text[70_000:170_001] {
			t.Errorf("a range of %s%s: %d bytes, %v", prefix, key, len(got), err)
		}
	}
}

func fetch(t *testing.T, c *minio.Client, bucket, key string, o minio.GetObjectOptions) (string, error) {
	t.Helper()
	r, err := c.GetObject(t.Context(), bucket, key, o)
	if err != nil {
		return "", err
	}
	defer r.Close()
	var buf bytes.Buffer
	_, err = io.Copy(&buf, r)
	return buf.String(), err
}

// checkDenied fails if a principal without rights learns anything.
func checkDenied(t *testing.T, c *minio.Client) {
	t.Helper()
	if buckets, err := c.ListBuckets(t.Context()); err != nil || len(buckets) != 0 {
		t.Errorf("without rights: buckets %+v, %v", buckets, err)
	}
	for _, bucket := range []string{"images", "main.images", "nope"} {
		if _, err := fetch(t, c, bucket, "main/a", minio.GetObjectOptions{}); minio.ToErrorResponse(err).StatusCode != http.StatusForbidden {
			t.Errorf("without rights: get from %s: %v", bucket, err)
		}
		for info := range c.ListObjects(t.Context(), bucket, minio.ListObjectsOptions{}) {
			if minio.ToErrorResponse(info.Err).StatusCode != http.StatusForbidden {
				t.Errorf("without rights: list %s: %+v", bucket, info)
			}
		}
	}
}
