package s3_test

import (
	"cmp"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/s3"
)

const (
	bucket   = "bucket"
	pageKeys = 50 // small, so that lists have pages
)

func modTimeOfAll() time.Time { return time.Unix(1_800_000_000, 0).UTC() }

// fake is an S3 service in memory: one bucket; PUT, GET, HEAD,
// DELETE and list version 2, with ranges and conditions. It checks digests and
// no signatures.
type fake struct {
	mu       sync.Mutex
	objects  map[string][]byte
	uploads  map[string]map[int][]byte // parts by upload and number
	requests []*http.Request
	// ignoresSHA256 makes it a service from before the checksum headers.
	ignoresSHA256 bool
	// before may answer a request itself, and then returns true.
	before func(w http.ResponseWriter, r *http.Request) bool
	// after is called when the answer is ready and may spoil it.
	after func(w http.ResponseWriter, r *http.Request)
}

func newFake(t *testing.T) (*fake, string) {
	t.Helper()
	f := &fake{objects: map[string][]byte{}, uploads: map[string]map[int][]byte{}}
	srv := httptest.NewServer(f)
	t.Cleanup(srv.Close)
	return f, srv.URL
}

func options(url string) s3.Options {
	return s3.Options{Bucket: bucket, Prefix: "team/store", Endpoint: url, AccessKey: "key", SecretKey: "secret"}
}

func open(t *testing.T, url string) *s3.Store {
	t.Helper()
	s, err := s3.Open(t.Context(), options(url))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hook sets before and forgets the requests so far.
func (f *fake) hook(before func(http.ResponseWriter, *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.requests = before, nil
}

func (f *fake) seen() []*http.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.requests
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.requests = append(f.requests, r)
	before, after := f.before, f.after
	f.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	name, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	rec := httptest.NewRecorder()
	switch {
	case name != bucket:
		fail(rec, http.StatusNotFound, "NoSuchBucket")
	case key == "" && r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2":
		f.list(rec, r)
	case r.URL.Query().Has("uploads") || r.URL.Query().Has("uploadId"):
		f.multipart(rec, r, key)
	case key != "" && r.Method == http.MethodPut:
		f.put(rec, r, key)
	case key != "" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		f.get(rec, r, key)
	case key != "" && r.Method == http.MethodDelete:
		f.mu.Lock()
		delete(f.objects, key)
		f.mu.Unlock()
		rec.WriteHeader(http.StatusNoContent)
	default:
		fail(rec, http.StatusNotImplemented, "NotImplemented")
	}
	if after != nil {
		after(w, r)
	}
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	w.WriteHeader(rec.Code)
	if r.Method != http.MethodHead {
		_, _ = w.Write(rec.Body.Bytes())
	}
}

func fail(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<Error><Code>%s</Code><Message>fake: %s</Message><RequestId>R1</RequestId></Error>", code, code)
}

// etag is quoted, as in headers.
func etag(b []byte) string { return fmt.Sprintf(`"%x"`, md5.Sum(b)) }

// body reads and checks the body of a request, and answers it if it is bad.
func (f *fake) body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	b, err := io.ReadAll(r.Body)
	sum, md5Sum := sha256.Sum256(b), md5.Sum(b)
	wantMD5 := r.Header.Get("Content-Md5")
	wantSHA256 := r.Header.Get("X-Amz-Checksum-Sha256")
	switch {
	case err != nil || r.ContentLength != int64(len(b)):
		fail(w, http.StatusBadRequest, "IncompleteBody")
	case !f.ignoresSHA256 && r.Header.Get("X-Amz-Content-Sha256") != hex.EncodeToString(sum[:]):
		fail(w, http.StatusBadRequest, "XAmzContentSHA256Mismatch")
	case wantMD5 == "" && wantSHA256 == "":
		fail(w, http.StatusBadRequest, "MissingDigest")
	case wantMD5 != "" && wantMD5 != base64.StdEncoding.EncodeToString(md5Sum[:]):
		fail(w, http.StatusBadRequest, "BadDigest")
	case !f.ignoresSHA256 && wantSHA256 != "" && wantSHA256 != base64.StdEncoding.EncodeToString(sum[:]):
		fail(w, http.StatusBadRequest, "BadDigest")
	default:
		if !f.ignoresSHA256 {
			w.Header().Set("X-Amz-Checksum-Sha256", wantSHA256)
		}
		return b, true
	}
	return nil, false
}

func (f *fake) put(w http.ResponseWriter, r *http.Request, key string) {
	if b, ok := f.body(w, r); ok && f.store(w, r, key, b) {
		w.Header().Set("ETag", etag(b))
	}
}

// store keeps an object if the request's conditions hold.
func (f *fake) store(w http.ResponseWriter, r *http.Request, key string, b []byte) bool {
	f.mu.Lock() // one write at a time makes conditions atomic
	defer f.mu.Unlock()
	old, ok := f.objects[key]
	absent := !ok
	match := r.Header.Get("If-Match")
	switch {
	case match != "" && absent: // as Amazon does
		fail(w, http.StatusNotFound, "NoSuchKey")
		return false
	case match != "" && match != etag(old), r.Header.Get("If-None-Match") == "*" && !absent:
		fail(w, http.StatusPreconditionFailed, "PreconditionFailed")
		return false
	}
	f.objects[key] = b
	return true
}

func (f *fake) get(w http.ResponseWriter, r *http.Request, key string) {
	f.mu.Lock()
	b, ok := f.objects[key]
	f.mu.Unlock()
	if !ok {
		fail(w, http.StatusNotFound, "NoSuchKey")
		return
	}
	h := w.Header()
	h.Set("ETag", etag(b))
	h.Set("Last-Modified", modTimeOfAll().Format(http.TimeFormat))
	status, size := http.StatusOK, int64(len(b))
	if spec := r.Header.Get("Range"); spec != "" {
		start, length, err := parseRange(spec, size)
		if err != nil {
			fail(w, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
			return
		}
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", start, start+length-1, size))
		b, status = b[start:start+length], http.StatusPartialContent
	}
	h.Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	_, _ = w.Write(b)
}

func parseRange(spec string, size int64) (start, length int64, err error) {
	from, to, _ := strings.Cut(strings.TrimPrefix(spec, "bytes="), "-")
	var r objstore.Range
	if from == "" {
		n, err := strconv.ParseInt(to, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		r.Offset = -n
	} else if r.Offset, err = strconv.ParseInt(from, 10, 64); err != nil {
		return 0, 0, err
	} else if to != "" {
		end, err := strconv.ParseInt(to, 10, 64)
		if err != nil {
			return 0, 0, err
		}
		r.Length = end - r.Offset + 1
	}
	if size == 0 {
		return 0, 0, errors.New("empty")
	}
	return r.Resolve(size)
}

type listResult struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	Name, Prefix          string
	EncodingType          string
	IsTruncated           bool
	NextContinuationToken string
	Contents              []listEntry
}

type listEntry struct {
	Key, ETag, LastModified string
	Size                    int64
}

func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	res := listResult{Name: bucket, Prefix: url.QueryEscape(q.Get("prefix")), EncodingType: "url"}
	after := cmp.Or(q.Get("continuation-token"), q.Get("start-after"))
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, key := range slices.Sorted(maps.Keys(f.objects)) {
		if !strings.HasPrefix(key, q.Get("prefix")) || key <= after {
			continue
		}
		if len(res.Contents) == pageKeys {
			res.IsTruncated = true
			break
		}
		b := f.objects[key]
		res.NextContinuationToken = key
		res.Contents = append(res.Contents, listEntry{
			Key: url.QueryEscape(key), Size: int64(len(b)), ETag: etag(b), LastModified: modTimeOfAll().Format(time.RFC3339),
		})
	}
	if !res.IsTruncated {
		res.NextContinuationToken = ""
	}
	w.Header().Set("Content-Type", "application/xml")
	_ = xml.NewEncoder(w).Encode(res)
}
