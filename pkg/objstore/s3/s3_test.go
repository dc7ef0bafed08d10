package s3_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/objstore"
	"github.com/dvx-io/dvx/pkg/objstore/objstoretest"
	"github.com/dvx-io/dvx/pkg/objstore/probe"
	"github.com/dvx-io/dvx/pkg/objstore/s3"
)

func TestStore(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) objstore.Store {
		_, url := newFake(t)
		return open(t, url)
	})
}

func TestStoreOfAWholeBucket(t *testing.T) {
	objstoretest.Run(t, func(t *testing.T) objstore.Store {
		_, url := newFake(t)
		o := options(url)
		o.Prefix = ""
		s, err := s3.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestProbePasses(t *testing.T) {
	_, url := newFake(t)
	if err := probe.Run(t.Context(), open(t, url), probe.Options{ID: "0123"}); err != nil {
		t.Error(err)
	}
}

// TestProbeRejectsAServiceWithoutConditions drops the headers before the fake
// sees them.
func TestProbeRejectsAServiceWithoutConditions(t *testing.T) {
	for _, header := range []string{"If-Match", "If-None-Match"} {
		f, url := newFake(t)
		s := open(t, url)
		f.hook(func(_ http.ResponseWriter, r *http.Request) bool {
			r.Header.Del(header)
			return false
		})
		if err := probe.Run(t.Context(), s, probe.Options{ID: "0123"}); !errors.Is(err, probe.ErrDefect) {
			t.Errorf("without %s: %v", header, err)
		}
	}
}

func TestParseURL(t *testing.T) {
	for in, want := range map[string][2]string{
		"s3://b": {"b", ""}, "s3://b/": {"b", ""}, "s3://b/p": {"b", "p"}, "s3://b/p/q/": {"b", "p/q"},
	} {
		if b, p, err := s3.ParseURL(in); err != nil || b != want[0] || p != want[1] {
			t.Errorf("%s: %q %q %v", in, b, p, err)
		}
	}
	for _, in := range []string{"", "b/p", "file:///x", "s3://", "s3:///p", "s3://b/../x", "s3://b//x", "s3://b/a b"} {
		if _, _, err := s3.ParseURL(in); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	f, url := newFake(t)
	o := options(url)
	o.Bucket = "nobody"
	_, err := s3.Open(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "bucket nobody does not exist") || objstore.OutcomeOf(err) != objstore.OutcomeFailed {
		t.Errorf("missing bucket: %v", err)
	}
	f.hook(func(w http.ResponseWriter, _ *http.Request) bool {
		fail(w, http.StatusForbidden, "InvalidAccessKeyId")
		return true
	})
	if _, err := s3.Open(t.Context(), options(url)); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("wrong key: %v", err)
	}
	for _, endpoint := range []string{"ftp://x", "http://x/path", "http://"} {
		if _, err := s3.Open(t.Context(), options(endpoint)); !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("endpoint %s: %v", endpoint, err)
		}
	}
	if _, err := s3.Open(t.Context(), options(strings.Replace(url, "http:", "https:", 1))); objstore.OutcomeOf(err) != objstore.OutcomeFailed {
		t.Errorf("https to http: %v", err)
	}
	if _, err := s3.Open(t.Context(), options("http://127.0.0.1:1")); objstore.OutcomeOf(err) != objstore.OutcomeThrottled {
		t.Errorf("nobody listens: %v", err)
	}
}

// answer makes the fake answer every request with one failure. It reads the body
// first: a client that is still sending when the connection is closed may find
// it broken, and not the answer.
func answer(status int, code string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		_, _ = io.Copy(io.Discard, r.Body)
		if code == "" {
			w.WriteHeader(status)
			return true
		}
		fail(w, status, code)
		return true
	}
}

// drop closes the connection without an answer.
func drop(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }

func TestKindsOfFailure(t *testing.T) {
	tests := []struct {
		name        string
		before      func(http.ResponseWriter, *http.Request) bool
		write, read objstore.Outcome
	}{
		{"412", answer(412, "PreconditionFailed"), objstore.OutcomePrecondition, objstore.OutcomePrecondition},
		{"409", answer(409, "ConditionalRequestConflict"), objstore.OutcomeThrottled, objstore.OutcomeThrottled},
		{"404", answer(404, "NoSuchKey"), objstore.OutcomeNotFound, objstore.OutcomeNotFound},
		{"no bucket", answer(404, "NoSuchBucket"), objstore.OutcomeFailed, objstore.OutcomeFailed},
		{"slow down", answer(503, "SlowDown"), objstore.OutcomeThrottled, objstore.OutcomeThrottled},
		{"429", answer(429, ""), objstore.OutcomeThrottled, objstore.OutcomeThrottled},
		{"500", answer(500, "InternalError"), objstore.OutcomeUnknown, objstore.OutcomeUnknown},
		{"502 of a proxy", answer(502, ""), objstore.OutcomeUnknown, objstore.OutcomeUnknown},
		{"503 of a proxy", answer(503, ""), objstore.OutcomeUnknown, objstore.OutcomeUnknown},
		{"504", answer(504, ""), objstore.OutcomeUnknown, objstore.OutcomeUnknown},
		{"403", answer(403, "AccessDenied"), objstore.OutcomeFailed, objstore.OutcomeFailed},
		{"501", answer(501, "NotImplemented"), objstore.OutcomeFailed, objstore.OutcomeFailed},
		{"bad digest", answer(400, "BadDigest"), objstore.OutcomeFailed, objstore.OutcomeFailed},
		{"reset", drop, objstore.OutcomeUnknown, objstore.OutcomeUnknown},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f, url := newFake(t)
			s := open(t, url)
			f.hook(tt.before)
			_, err := s.Put(t.Context(), "k", objstore.Bytes([]byte("x")), objstore.Condition{IfAbsent: true})
			if got := objstore.OutcomeOf(err); got != tt.write {
				t.Errorf("put: outcome %d, want %d: %v", got, tt.write, err)
			}
			if n := len(f.seen()); n != 1 {
				t.Errorf("%d requests for one put", n)
			}
			_, _, err = s.Get(t.Context(), "k", objstore.Range{})
			if got := objstore.OutcomeOf(err); got != tt.read {
				t.Errorf("get: outcome %d, want %d: %v", got, tt.read, err)
			}
			if n := len(f.seen()); n != 2 {
				t.Errorf("%d requests for a put and a get", n)
			}
		})
	}
}

// TestLostAcknowledgement: the service did it, and the answer is lost.
func TestLostAcknowledgement(t *testing.T) {
	f, url := newFake(t)
	s := open(t, url)
	f.mu.Lock()
	f.after = func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			panic(http.ErrAbortHandler)
		}
	}
	f.mu.Unlock()
	_, err := s.Put(t.Context(), "root", objstore.Bytes([]byte("x")), objstore.Condition{IfAbsent: true})
	if !errors.Is(err, objstore.ErrUnknownOutcome) {
		t.Errorf("put: %v", err)
	}
	if _, err := s.Stat(t.Context(), "root"); err != nil {
		t.Errorf("stat: %v", err)
	}
}

// TestCancelledDuringAPut: whether it was applied is not known.
func TestCancelledDuringAPut(t *testing.T) {
	f, url := newFake(t)
	s := open(t, url)
	ctx, cancel := context.WithCancel(t.Context())
	f.hook(func(_ http.ResponseWriter, r *http.Request) bool {
		cancel()
		<-r.Context().Done()
		return true
	})
	_, err := s.Put(ctx, "root", objstore.Bytes(nil), objstore.Condition{IfAbsent: true})
	if !errors.Is(err, context.Canceled) || objstore.OutcomeOf(err) != objstore.OutcomeUnknown {
		t.Errorf("put: %v", err)
	}
}

// TestTruncatedBody: a body that ends early is an error, never a short object.
func TestTruncatedBody(t *testing.T) {
	f, url := newFake(t)
	s := open(t, url)
	f.hook(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("Content-Length", "1000")
		w.Header().Set("ETag", `"e"`)
		w.Header().Set("Last-Modified", "Fri, 20 Nov 2026 09:00:00 GMT")
		_, _ = fmt.Fprint(w, "short")
		return true
	})
	b, _, err := objstore.ReadAll(t.Context(), s, "k", objstore.Range{}, 2000)
	if !errors.Is(err, objstore.ErrUnknownOutcome) {
		t.Errorf("%q, %v", b, err)
	}
}

// TestIgnoredRange: a service that sends everything for a range is understood.
func TestIgnoredRange(t *testing.T) {
	f, url := newFake(t)
	s := open(t, url)
	if _, err := s.Put(t.Context(), "k", objstore.Bytes([]byte("0123456789")), objstore.Condition{}); err != nil {
		t.Fatal(err)
	}
	f.hook(func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del("Range")
		return false
	})
	for r, want := range map[objstore.Range]string{{Offset: 3, Length: 4}: "3456", {Offset: -2}: "89", {Length: 2}: "01"} {
		if b, info, err := objstore.ReadAll(t.Context(), s, "k", r, 100); err != nil || string(b) != want || info.Size != 10 {
			t.Errorf("%+v: %q, %+v, %v", r, b, info, err)
		}
	}
}

// TestRequests pins what goes over the wire for each kind of put.
func TestRequests(t *testing.T) {
	f, url := newFake(t)
	s := open(t, url)
	info, err := s.Put(t.Context(), "root", objstore.Bytes([]byte("1")), objstore.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		c                  objstore.Condition
		match, exceptMatch string
	}{
		{objstore.Condition{IfVersion: info.Version}, `"` + string(info.Version) + `"`, ""},
		{objstore.Condition{IfAbsent: true}, "", "*"},
		{objstore.Condition{}, "", ""},
	} {
		f.hook(nil)
		_, err := s.Put(t.Context(), "root", objstore.Bytes([]byte("2")), tt.c)
		if tt.c.IfAbsent != (err != nil) {
			t.Errorf("%+v: %v", tt.c, err)
		}
		rs := f.seen()
		if len(rs) != 1 {
			t.Fatalf("%+v: %d requests", tt.c, len(rs))
		}
		h := rs[0].Header
		if rs[0].URL.Path != "/bucket/team/store/root" || h.Get("If-Match") != tt.match || h.Get("If-None-Match") != tt.exceptMatch {
			t.Errorf("%+v: %s %v", tt.c, rs[0].URL, h)
		}
		signed := h.Get("Authorization")
		for _, name := range []string{"x-amz-checksum-sha256", "x-amz-content-sha256"} {
			if !strings.Contains(signed, name) {
				t.Errorf("%+v: %s is not signed: %s", tt.c, name, signed)
			}
		}
	}
}

// TestForeignObjectsAreNotListed: other tools' names are not keys.
func TestForeignObjectsAreNotListed(t *testing.T) {
	f, url := newFake(t)
	s := open(t, url)
	for _, key := range []string{"team/store/a", "team/storeb/x", "team/x", "other"} {
		f.objects[key] = nil
	}
	n := 0
	for info, err := range s.List(t.Context(), "", "") {
		if err != nil || info.Key != "a" {
			t.Errorf("%+v, %v", info, err)
		}
		n++
	}
	if n != 1 {
		t.Errorf("%d objects", n)
	}
}

// TestVersionBelongsToTheBytes: a service answers with the ETag of the next
// object and the bytes of this one. Such a pair must not come out.
func TestVersionBelongsToTheBytes(t *testing.T) {
	f, url := newFake(t)
	s := open(t, url)
	v1, err := s.Put(t.Context(), "root", objstore.Bytes([]byte("one")), objstore.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	torn := 0
	f.hook(func(w http.ResponseWriter, r *http.Request) bool {
		if torn++; torn > 3 || r.Method != http.MethodGet {
			return false
		}
		w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
		w.Header().Set("Last-Modified", modTimeOfAll().Format(http.TimeFormat))
		_, _ = fmt.Fprint(w, "one")
		return true
	})
	b, info, err := objstore.ReadAll(t.Context(), s, "root", objstore.Range{}, 10)
	if err != nil || string(b) != "one" || info.Version != v1.Version || torn < 3 {
		t.Errorf("%q, %+v, %v after %d requests", b, info, err, torn)
	}
}

// TestVersionThatIsNoDigest: encrypted buckets have ETags of their own kind.
func TestVersionThatIsNoDigest(t *testing.T) {
	f, url := newFake(t)
	s := open(t, url)
	f.hook(func(w http.ResponseWriter, r *http.Request) bool {
		w.Header().Set("ETag", `"opaque-1"`)
		w.Header().Set("Last-Modified", modTimeOfAll().Format(http.TimeFormat))
		w.Header().Set("Content-Length", "3")
		if r.Method == http.MethodGet {
			_, _ = fmt.Fprint(w, "one")
		}
		return true
	})
	b, info, err := objstore.ReadAll(t.Context(), s, "root", objstore.Range{}, 10)
	if err != nil || string(b) != "one" || info.Version != "opaque-1" || len(f.seen()) != 2 {
		t.Errorf("%q, %+v, %v, %d requests", b, info, err, len(f.seen()))
	}
}
