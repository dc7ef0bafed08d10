package s3proxy

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/dvx-io/dvx/pkg/s3proxy/sigv4"
)

// FuzzKeyPath holds that every key has a path that leads back to it, in path
// style and in virtual-host style, and that no path leads to two keys.
func FuzzKeyPath(f *testing.F) {
	for _, key := range []string{"a", "a/b", "/a", "a//b/", "..", "a/../b", "%2F", "a+b c", "é", "?#[]&=;", "%", "a%00"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if key == "" {
			return
		}
		for _, tt := range []struct{ host, path string }{
			{"s3.test", "/bkt/" + sigv4.EscapePath(key)},
			{"s3.test", "/bkt/" + sigv4.Escape(key)},
			{"bkt.s3.test:80", "/" + sigv4.EscapePath(key)},
		} {
			u, err := url.ParseRequestURI(tt.path)
			if err != nil {
				t.Fatalf("%q: %v", tt.path, err)
			}
			req, err := sigv4.FromHTTP(&http.Request{Method: "GET", Host: tt.host, URL: u})
			if err != nil {
				t.Fatalf("%q: %v", tt.path, err)
			}
			got := locate(req.Host, req.Path, "s3.test")
			if got.bucket != "bkt" || got.key != key {
				t.Fatalf("%s%s leads to %+v, want key %q", tt.host, tt.path, got, key)
			}
			ok := utf8.ValidString(key) && !strings.ContainsRune(key, 0) && len(key) <= maxKeyBytes
			if err := got.check(); (err == nil) != ok {
				t.Fatalf("key %q: %v", key, err)
			}
		}
	})
}

// FuzzRange holds that a range lies within its object.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-0", "bytes=5-", "bytes=-5", "bytes=0-1,2-3", "bytes=-", "bytes=9223372036854775807-9223372036854775808"} {
		f.Add(s, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 {
			return
		}
		s, err := parseRange(header, size)
		switch {
		case err != nil:
			if f, _ := explain(err, target{}); f.code != codeInvalidRange {
				t.Fatalf("%q of %d: %v", header, size, err)
			}
		case s.offset < 0 || s.length < 0 || s.offset > size-s.length:
			t.Fatalf("%q of %d: %+v", header, size, s)
		case s.partial && s.length == 0, !s.partial && s.length != size:
			t.Fatalf("%q of %d: %+v", header, size, s)
		}
	})
}

// FuzzToken holds that a token is accepted only in the one form that
// encodeToken writes.
func FuzzToken(f *testing.F) {
	for _, s := range []string{"", encodeToken("a"), encodeToken("dir/é"), "MQ", "MWE=", "MWF", "!"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, token string) {
		after, err := decodeToken(token)
		if err == nil && token != "" && encodeToken(after) != token {
			t.Fatalf("%q is read as %q, which is written %q", token, after, encodeToken(after))
		}
	})
}

// TestCodesAreComplete holds that every code has a status and a message, and
// that every kind leads to one.
func TestCodesAreComplete(t *testing.T) {
	for c, row := range codes {
		if row.status < 300 || row.status > 599 || row.message == "" {
			t.Errorf("%s: %+v", c, row)
		}
	}
	for _, row := range kinds {
		if f, unknown := explain(row.kind, target{key: "k"}); unknown || f.code != row.code || f.status() == 0 {
			t.Errorf("%v leads to %+v, want %s", row.kind, f, row.code)
		}
	}
}

// TestOperationsAreDistinct holds that no request can mean two operations.
func TestOperationsAreDistinct(t *testing.T) {
	if n := len(newRouter().routes); n != len(operations) {
		t.Errorf("%d operations share %d routes", len(operations), n)
	}
	names := map[Operation]bool{}
	for _, r := range operations {
		if names[r.operation] || modifiers[r.subresource] {
			t.Errorf("%s is listed twice, or %q selects and modifies", r.operation, r.subresource)
		}
		names[r.operation] = true
	}
}
