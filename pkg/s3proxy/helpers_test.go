package s3proxy_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3mem"
)

// modified is when everything in the test stores was put there.
var modified = time.Date(2026, 11, 20, 8, 30, 15, 0, time.UTC)

// newMem returns a store with the bucket "bkt" and the objects of tests.
func newMem(t testing.TB) *s3mem.Store {
	t.Helper()
	s := s3mem.New(func() time.Time { return modified })
	for _, b := range []string{"bkt", "main.images"} {
		if err := s.CreateBucket(context.Background(), b); err != nil {
			t.Fatal(err)
		}
	}
	put := func(bucket string, info s3proxy.ObjectInfo, content string) {
		if err := s.Add(bucket, info, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	put("bkt", s3proxy.ObjectInfo{
		Key: "hello.txt", Attributes: s3proxy.Attributes{
			ContentType: "text/plain", CacheControl: "max-age=5",
			Meta: map[string]string{"colour": "blue", "name": "Zoë"},
		},
	}, "0123456789")
	put("bkt", s3proxy.ObjectInfo{Key: "empty"}, "")
	put("bkt", s3proxy.ObjectInfo{Key: "dir/a b+c%41&=é.txt"}, "odd name")
	put("bkt", s3proxy.ObjectInfo{Key: "dir//double"}, "slashes")
	put("bkt", s3proxy.ObjectInfo{Key: "dir"}, "beside dir/")
	put("main.images", s3proxy.ObjectInfo{Key: "x"}, "in a dotted bucket")
	return s
}

func lookup(_ context.Context, id string) (s3proxy.Credential, error) {
	switch id {
	case testID:
		return s3proxy.Credential{Secret: testSecret, Principal: "alice"}, nil
	case "BROKEN":
		return s3proxy.Credential{}, fmt.Errorf("key file is on fire: %w", fs.ErrPermission)
	case "HOLLOW":
		return s3proxy.Credential{}, nil
	}
	return s3proxy.Credential{}, fmt.Errorf("key %q: %w", id, fs.ErrNotExist)
}

func newHandler(t testing.TB, b s3proxy.Backend, o s3proxy.Options) *s3proxy.Handler {
	t.Helper()
	if o.Now == nil {
		o.Now = func() time.Time { return testNow }
	}
	h, err := s3proxy.New(b, lookup, o)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// newServer serves h as cmd would.
func newServer(t testing.TB, h *s3proxy.Handler) *httptest.Server {
	t.Helper()
	ts := httptest.NewUnstartedServer(nil)
	ts.Config = s3proxy.NewServer(h, nil)
	ts.Start()
	t.Cleanup(ts.Close)
	return ts
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// get sends a well-signed request for target with headers given as "Name: value".
func get(t testing.TB, h http.Handler, method, target string, headers ...string) *httptest.ResponseRecorder {
	t.Helper()
	a := attempt{method: method, target: target}
	for _, s := range headers {
		name, value, _ := strings.Cut(s, ": ")
		a.headers = append(a.headers, [2]string{name, value})
	}
	return serve(h, a.byHeader(t))
}

// xmlError is an S3 error as clients read it.
type xmlError struct {
	XMLName                         xml.Name `xml:"Error"`
	Code, Message, Resource, Region string
	RequestID                       string `xml:"RequestId"`
	HostID                          string `xml:"HostId"`
}

func errorOf(t testing.TB, w *httptest.ResponseRecorder) xmlError {
	t.Helper()
	var e xmlError
	if err := xml.Unmarshal(w.Body.Bytes(), &e); err != nil {
		t.Fatalf("status %d with a body that is no error: %v: %q", w.Code, err, w.Body)
	}
	if e.Message == "" || e.RequestID == "" || e.RequestID != w.Header()["x-amz-request-id"][0] || e.HostID != w.Header()["x-amz-id-2"][0] {
		t.Errorf("incomplete error %+v", e)
	}
	return e
}

// want fails unless the answer is an error of that status and code.
func want(t testing.TB, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	if w.Code < 400 {
		t.Fatalf("got status %d: %q, want %d %s", w.Code, w.Body, status, code)
	}
	if e := errorOf(t, w); w.Code != status || e.Code != code {
		t.Errorf("got %d %s (%s), want %d %s", w.Code, e.Code, e.Message, status, code)
	}
}

// logTo returns a logger and what it has written.
func logTo() (*slog.Logger, *bytes.Buffer) {
	var buf bytes.Buffer
	return slog.New(slog.NewTextHandler(&buf, nil)), &buf
}
