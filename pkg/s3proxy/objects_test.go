package s3proxy_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/s3proxy"
)

const (
	helloMD5 = `"781e5e245d69b566979b86e28d23f2c7"`
	sinceMod = "Fri, 20 Nov 2026 08:30:15 GMT"
	before   = "Fri, 20 Nov 2026 08:30:14 GMT"
)

func TestGetObjectHeaders(t *testing.T) {
	h := newHandler(t, newMem(t), s3proxy.Options{})
	for _, method := range []string{"GET", "HEAD"} {
		w := get(t, h, method, helloTarget)
		body := "0123456789"
		if method == "HEAD" {
			body = ""
		}
		if w.Code != 200 || w.Body.String() != body {
			t.Fatalf("%s: got %d %q", method, w.Code, w.Body)
		}
		for name, value := range map[string]string{
			"ETag": helloMD5, "Content-Length": "10", "Content-Type": "text/plain", "Cache-Control": "max-age=5",
			"Last-Modified": sinceMod, "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff",
			"x-amz-meta-colour": "blue", "x-amz-meta-name": "=?UTF-8?b?Wm/Dqw==?=",
		} {
			if got := w.Header()[name]; len(got) != 1 || got[0] != value {
				t.Errorf("%s: header %s is %q, want %q", method, name, got, value)
			}
		}
		if len(w.Header()["x-amz-request-id"][0]) != 16 {
			t.Errorf("request ID %q", w.Header()["x-amz-request-id"])
		}
	}
	if got := get(t, h, "GET", "/bkt/empty").Header().Get("Content-Type"); got != "binary/octet-stream" {
		t.Errorf("default content type %q", got)
	}
}

func TestRanges(t *testing.T) {
	h := newHandler(t, newMem(t), s3proxy.Options{})
	tests := []struct {
		key, header  string
		status       int
		body, ranges string
	}{
		{"hello.txt", "bytes=0-0", 206, "0", "bytes 0-0/10"},
		{"hello.txt", "bytes=2-5", 206, "2345", "bytes 2-5/10"},
		{"hello.txt", "bytes=8-", 206, "89", "bytes 8-9/10"},
		{"hello.txt", "bytes=-3", 206, "789", "bytes 7-9/10"},
		{"hello.txt", "bytes=-100", 206, "0123456789", "bytes 0-9/10"},
		{"hello.txt", "bytes=0-100", 206, "0123456789", "bytes 0-9/10"},
		{"hello.txt", "bytes=9-99999999999999999999999", 206, "9", "bytes 9-9/10"},
		{"hello.txt", "bytes=10-", 416, "", "bytes */10"},
		{"hello.txt", "bytes=10-12", 416, "", "bytes */10"},
		{"hello.txt", "bytes=99999999999999999999999-", 416, "", "bytes */10"},
		{"hello.txt", "bytes=-0", 416, "", "bytes */10"},
		{"empty", "bytes=0-", 416, "", "bytes */0"},
		{"empty", "bytes=-1", 416, "", "bytes */0"},
		{"hello.txt", "bytes=5-2", 200, "0123456789", ""},
		{"hello.txt", "bytes=0-1,3-4", 200, "0123456789", ""},
		{"hello.txt", "bytes=a-b", 200, "0123456789", ""},
		{"hello.txt", "bytes=-", 200, "0123456789", ""},
		{"hello.txt", "bytes=--1", 200, "0123456789", ""},
		{"hello.txt", "bytes=+1-2", 200, "0123456789", ""},
		{"hello.txt", "lines=1-2", 200, "0123456789", ""},
		{"hello.txt", "bytes 1-2", 200, "0123456789", ""},
	}
	for _, tt := range tests {
		t.Run(tt.key+" "+tt.header, func(t *testing.T) {
			w := get(t, h, "GET", "/bkt/"+tt.key, "Range: "+tt.header)
			if got := w.Header().Get("Content-Range"); got != tt.ranges {
				t.Errorf("Content-Range %q, want %q", got, tt.ranges)
			}
			if tt.status == 416 {
				want(t, w, 416, "InvalidRange")
				return
			}
			if w.Code != tt.status || w.Body.String() != tt.body {
				t.Errorf("got %d %q, want %d %q", w.Code, w.Body, tt.status, tt.body)
			}
			head := get(t, h, "HEAD", "/bkt/"+tt.key, "Range: "+tt.header)
			if head.Code != tt.status || head.Header().Get("Content-Length") != w.Header().Get("Content-Length") || head.Body.Len() > 0 {
				t.Errorf("HEAD gives %d, length %s", head.Code, head.Header().Get("Content-Length"))
			}
		})
	}
}

func TestPartNumber(t *testing.T) {
	h := newHandler(t, newMem(t), s3proxy.Options{})
	w := get(t, h, "GET", helloTarget+"?partNumber=1")
	if w.Code != 206 || w.Header().Get("Content-Range") != "bytes 0-9/10" || w.Body.String() != "0123456789" {
		t.Errorf("part 1: got %d %q %q", w.Code, w.Header().Get("Content-Range"), w.Body)
	}
	if w := get(t, h, "GET", "/bkt/empty?partNumber=1"); w.Code != 200 {
		t.Errorf("part 1 of nothing: got %d", w.Code)
	}
	want(t, get(t, h, "GET", helloTarget+"?partNumber=2"), 416, "InvalidPartNumber")
	want(t, get(t, h, "GET", helloTarget+"?partNumber=0"), 400, "InvalidArgument")
	want(t, get(t, h, "GET", helloTarget+"?partNumber=10001"), 400, "InvalidArgument")
	want(t, get(t, h, "GET", helloTarget+"?partNumber=one"), 400, "InvalidArgument")
	want(t, get(t, h, "GET", helloTarget+"?partNumber=1", "Range: bytes=0-1"), 400, "InvalidRequest")
}

func TestConditions(t *testing.T) {
	h := newHandler(t, newMem(t), s3proxy.Options{})
	const other = `"00000000000000000000000000000000"`
	tests := []struct {
		headers []string
		status  int
	}{
		{[]string{"If-Match: " + helloMD5}, 200},
		{[]string{"If-Match: " + strings.Trim(helloMD5, `"`)}, 200},
		{[]string{"If-Match: *"}, 200},
		{[]string{"If-Match: " + other + ", " + helloMD5}, 200},
		{[]string{"If-Match: " + other}, 412},
		{[]string{"If-None-Match: " + helloMD5}, 304},
		{[]string{"If-None-Match: W/" + helloMD5}, 304},
		{[]string{"If-None-Match: *"}, 304},
		{[]string{"If-None-Match: " + other}, 200},
		{[]string{"If-Modified-Since: " + sinceMod}, 304},
		{[]string{"If-Modified-Since: " + before}, 200},
		{[]string{"If-Modified-Since: yesterday"}, 200},
		{[]string{"If-Unmodified-Since: " + sinceMod}, 200},
		{[]string{"If-Unmodified-Since: " + before}, 412},
		{[]string{"If-Match: " + helloMD5, "If-Unmodified-Since: " + before}, 200},
		{[]string{"If-Match: " + other, "If-Unmodified-Since: " + sinceMod}, 412},
		{[]string{"If-None-Match: " + helloMD5, "If-Modified-Since: " + before}, 304},
		{[]string{"If-None-Match: " + other, "If-Modified-Since: " + sinceMod}, 200},
		{[]string{"If-Match: " + other, "If-None-Match: " + helloMD5}, 412},
		{[]string{"Range: bytes=0-1", "If-Range: " + helloMD5}, 206},
		{[]string{"Range: bytes=0-1", "If-Range: " + other}, 200},
		{[]string{"Range: bytes=0-1", "If-Range: " + sinceMod}, 206},
		{[]string{"Range: bytes=0-1", "If-Range: " + before}, 200},
	}
	for _, tt := range tests {
		for _, method := range []string{"GET", "HEAD"} {
			w := get(t, h, method, helloTarget, tt.headers...)
			if w.Code != tt.status {
				t.Errorf("%s with %q: got %d, want %d", method, tt.headers, w.Code, tt.status)
			}
			switch w.Code {
			case 304:
				if w.Header()["ETag"][0] != helloMD5 || w.Body.Len() > 0 {
					t.Errorf("304 with ETag %q and body %q", w.Header()["ETag"], w.Body)
				}
			case 412:
				if w.Header()["ETag"] != nil || method == "GET" && errorOf(t, w).Code != "PreconditionFailed" {
					t.Errorf("412 as %v %q", w.Header(), w.Body)
				}
			}
		}
	}
}

func TestOverrides(t *testing.T) {
	a := attempt{target: helloTarget + "?response-content-type=text%2Fcsv&response-content-disposition=attachment%3B%20filename%3Da" +
		"&response-cache-control=no-cache&response-expires=0&response-content-language=de&response-content-encoding=x"}
	h := newHandler(t, newMem(t), s3proxy.Options{})
	for _, r := range []*http.Request{a.byHeader(t), a.byQuery(t)} {
		w := serve(h, r)
		if w.Code != 200 {
			t.Fatalf("got %d: %s", w.Code, w.Body)
		}
		for name, value := range map[string]string{
			"Content-Type": "text/csv", "Content-Disposition": "attachment; filename=a",
			"Cache-Control": "no-cache", "Expires": "0", "Content-Language": "de", "Content-Encoding": "x",
		} {
			if got := w.Header().Get(name); got != value {
				t.Errorf("%s is %q, want %q", name, got, value)
			}
		}
	}
	open := newHandler(t, newMem(t), s3proxy.Options{Anonymous: &s3proxy.Credential{Principal: "anyone"}})
	if w := serve(open, httptest.NewRequest("GET", helloTarget, nil)); w.Code != 200 {
		t.Errorf("anonymous read where it is allowed: got %d", w.Code)
	}
	want(t, serve(open, httptest.NewRequest("GET", helloTarget+"?response-content-type=text/html", nil)), 400, "InvalidRequest")
	want(t, serve(open, attempt{target: helloTarget, secret: "guess"}.byHeader(t)), 403, "SignatureDoesNotMatch")
}

func TestKeysAreDecodedOnce(t *testing.T) {
	h := newHandler(t, newMem(t), s3proxy.Options{})
	for target, body := range map[string]string{
		"/bkt/dir/a%20b%2Bc%2541%26%3D%C3%A9.txt": "odd name",
		"/bkt/dir/a%20b+c%2541&=%c3%a9.txt":       "odd name",
		"/bkt/dir//double":                        "slashes",
		"/bkt/dir":                                "beside dir/",
		"/bkt/dir%2F%2Fdouble":                    "slashes",
	} {
		if w := get(t, h, "GET", target); w.Code != 200 || w.Body.String() != body {
			t.Errorf("%s: got %d %q, want %q", target, w.Code, w.Body, body)
		}
	}
	for _, target := range []string{"/bkt/dir/a%2520b", "/bkt/dir/double", "/bkt/dir/../hello.txt", "/bkt/./hello.txt", "/bkt/dir/", "//hello.txt/x"} {
		if w := get(t, h, "GET", target); w.Code != 404 && w.Code != 400 {
			t.Errorf("%s: got %d %q", target, w.Code, w.Body)
		}
	}
	want(t, get(t, h, "GET", "/bkt/"+strings.Repeat("k", 1025)), 400, "KeyTooLongError")
	want(t, get(t, h, "GET", "/bkt/"+strings.Repeat("k", 1024)), 404, "NoSuchKey")
	want(t, get(t, h, "GET", "/bkt/%ff"), 400, "InvalidURI")
	want(t, get(t, h, "GET", "/bkt/a%00b"), 400, "InvalidURI")
	want(t, get(t, h, "GET", "/b%20kt/a"), 400, "InvalidBucketName")
	want(t, get(t, h, "GET", "/bkt/hello.txt?versionId="), 400, "InvalidArgument")
	want(t, get(t, h, "GET", "/bkt/hello.txt?versionId=7"), 404, "NoSuchVersion")
	want(t, get(t, h, "GET", "/nobucket/a"), 404, "NoSuchBucket")
}

func TestVirtualHost(t *testing.T) {
	h := newHandler(t, newMem(t), s3proxy.Options{Domain: "s3.test"})
	tests := []struct{ host, target, body string }{
		{"bkt.s3.test", "/hello.txt", "0123456789"},
		{"BKT.S3.test:9000", "/hello.txt", "0123456789"},
		{"main.images.s3.test", "/x", "in a dotted bucket"},
		{"s3.test", "/main.images/x", "in a dotted bucket"},
		{"127.0.0.1:9000", "/bkt/hello.txt", "0123456789"},
	}
	for _, tt := range tests {
		for _, r := range []*http.Request{
			attempt{host: tt.host, target: tt.target}.byHeader(t),
			attempt{host: tt.host, target: tt.target}.byQuery(t),
		} {
			if w := serve(h, r); w.Code != 200 || w.Body.String() != tt.body {
				t.Errorf("%s%s: got %d %q", tt.host, tt.target, w.Code, w.Body)
			}
		}
	}
	want(t, serve(h, attempt{host: "other.s3.test", target: "/x"}.byHeader(t)), 404, "NoSuchBucket")
}

// broken is a backend whose one object cannot be read.
type broken struct {
	s3proxy.Backend
	size, good int64 // the stream fails behind good bytes
	err        error
}

func (b *broken) Open(context.Context, s3proxy.ObjectName) (s3proxy.Object, error) { return b, nil }
func (b *broken) Info() s3proxy.ObjectInfo {
	return s3proxy.ObjectInfo{Key: "k", Size: b.size, ETag: "e-1", LastModified: modified}
}

func (b *broken) Range(context.Context, int64, int64) (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(io.LimitReader(zeros{}, b.good), failing{b.err})), nil
}
func (b *broken) Close() error { return errors.New("close failed") }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestUnreadableObject(t *testing.T) {
	for name, err := range map[string]error{"error": errors.New("pack 12 is corrupt at /secret/path"), "short": io.EOF} {
		t.Run(name, func(t *testing.T) {
			log, logged := logTo()
			early := newHandler(t, &broken{size: 5000, good: 100, err: err}, s3proxy.Options{Log: log})
			w := get(t, early, "GET", "/bkt/k")
			want(t, w, 500, "InternalError")
			if strings.Contains(w.Body.String(), "pack") || w.Header()["ETag"] != nil {
				t.Errorf("the error tells too much: %v %s", w.Header(), w.Body)
			}
			if name == "error" && !strings.Contains(logged.String(), "pack 12 is corrupt") {
				t.Errorf("not logged: %q", logged)
			}

			late := newServer(t, newHandler(t, &broken{size: 1 << 20, good: 1 << 19, err: err}, s3proxy.Options{}))
			host := strings.TrimPrefix(late.URL, "http://")
			r := attempt{host: host, target: "/bkt/k"}.byHeader(t)
			r.RequestURI, r.URL.Scheme, r.URL.Host = "", "http", host
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if n, err := io.Copy(io.Discard, res.Body); err == nil {
				t.Errorf("read %d of %d bytes without an error", n, res.ContentLength)
			}
		})
	}
}
