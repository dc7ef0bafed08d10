//go:build e2e

package e2e

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// bucket is an S3 service with one bucket, as much of it as a store needs. A
// careless one ignores the conditions of writes, as some services do.
type bucket struct {
	careless bool
	mu       sync.Mutex
	objects  map[string][]byte
}

// ServeHTTP implements http.Handler.
func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	old, ok := b.objects[key]
	switch {
	case key == "" && r.Method == http.MethodGet:
		b.list(w, r.URL.Query().Get("prefix"), r.URL.Query().Get("start-after"))
	case key == "":
		w.WriteHeader(http.StatusOK)
	case r.Method == http.MethodPut:
		body, err := io.ReadAll(r.Body)
		match := r.Header.Get("If-Match")
		switch {
		case err != nil, r.Header.Get("X-Amz-Content-Sha256") != fmt.Sprintf("%x", sha256.Sum256(body)):
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, "<Error><Code>BadDigest</Code></Error>")
		case !b.careless && (r.Header.Get("If-None-Match") == "*" && ok || match != "" && match != tag(old)):
			w.WriteHeader(http.StatusPreconditionFailed)
			_, _ = io.WriteString(w, "<Error><Code>PreconditionFailed</Code></Error>")
		default:
			b.objects[key] = body
			w.Header().Set("ETag", tag(body))
		}
	case r.Method == http.MethodDelete:
		delete(b.objects, key)
		w.WriteHeader(http.StatusNoContent)
	case !ok:
		w.WriteHeader(http.StatusNotFound)
		_, _ = io.WriteString(w, "<Error><Code>NoSuchKey</Code></Error>")
	default:
		w.Header().Set("ETag", tag(old))
		w.Header().Set("Content-Length", strconv.Itoa(len(old)))
		http.ServeContent(w, r, "", time.Unix(1_800_000_000, 0), strings.NewReader(string(old)))
	}
}

func tag(b []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(b)) }

func (b *bucket) list(w http.ResponseWriter, prefix, after string) {
	type entry struct {
		Key, LastModified, ETag string
		Size                    int
	}
	var out struct {
		XMLName  xml.Name `xml:"ListBucketResult"`
		Contents []entry
	}
	for _, key := range slices.Sorted(maps.Keys(b.objects)) {
		if strings.HasPrefix(key, prefix) && key > after {
			out.Contents = append(out.Contents, entry{key, "2027-01-15T08:00:00.000Z", tag(b.objects[key]), len(b.objects[key])})
		}
	}
	_ = xml.NewEncoder(w).Encode(out)
}

// TestBucket makes a store in a bucket of a service that keeps its promises and
// works there; on one that ignores conditions dvx init says so and leaves
// nothing behind.
func TestBucket(t *testing.T) {
	at := func(careless bool) (*user, *bucket) {
		b := &bucket{careless: careless, objects: map[string][]byte{}}
		srv := httptest.NewServer(b)
		t.Cleanup(srv.Close)
		return newUser(t).with("AWS_ENDPOINT_URL", srv.URL, "AWS_ACCESS_KEY_ID", "id", "AWS_SECRET_ACCESS_KEY", "secret", "AWS_REGION", "us-east-1"), b
	}

	u, _ := at(false)
	wc := u.in("images")
	wc.write(map[string]string{"a": "1\n", "d/b": "2\n"})
	wc.dvx("init", "--store", "s3://bucket/store")
	wc.dvx("commit", "-m", "first")
	if got := wc.dvx("cat", "images@main:/d/b"); got != "2\n" {
		t.Errorf("from a bucket: %q", got)
	}
	u.refused(codeConflict, []string{"already"}, "init", "--bare", "--store", "s3://bucket/store")
	u.refused(codeNoStore, []string{"dvx init"}, "repo", "list", "--store", "s3://bucket/elsewhere")

	u, b := at(true)
	wc = u.in("images")
	r := wc.refused(codeFailed, []string{"s3://bucket/store", "If-None-Match"}, "init", "--store", "s3://bucket/store")
	if len(b.objects) > 0 {
		t.Errorf("after a failed probe the bucket holds %q", slices.Sorted(maps.Keys(b.objects)))
	}
	figure(t, "a bucket without compare-and-swap: exit code %d: %s", r.code, strings.TrimSpace(r.err))
}
