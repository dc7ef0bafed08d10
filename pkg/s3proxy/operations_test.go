package s3proxy_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// readOnly is a backend that takes no writes.
type readOnly struct{ s3proxy.Backend }

func TestProbes(t *testing.T) {
	h := newHandler(t, readOnly{newMem(t)}, s3proxy.Options{})
	tests := []struct {
		method, target string
		status         int
		contains       string
	}{
		{"HEAD", "/bkt", 200, ""},
		{"HEAD", "/bkt/", 200, ""},
		{"HEAD", "/nobucket", 404, ""},
		{"HEAD", "/bkt/none", 404, ""},
		{"GET", "/bkt?location", 200, `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>`},
		{"GET", "/bkt?versioning", 200, "<Status>Enabled</Status>"},
		{"GET", "/bkt?acl", 200, "<Permission>FULL_CONTROL</Permission>"},
		{"GET", "/bkt/hello.txt?acl", 200, "<Permission>FULL_CONTROL</Permission>"},
		{"GET", "/bkt/hello.txt?tagging", 200, "<TagSet></TagSet>"},
		{"GET", "/bkt?requestPayment", 200, "<Payer>BucketOwner</Payer>"},
		{"GET", "/bkt?logging", 200, "<BucketLoggingStatus"},
		{"GET", "/bkt?notification", 200, "<NotificationConfiguration"},
		{"GET", "/bkt?accelerate", 200, "<AccelerateConfiguration"},
		{"GET", "/bkt?uploads", 200, "<IsTruncated>false</IsTruncated>"},
		{"GET", "/bkt?uploads&encoding-type=url&prefix=a%20b&delimiter=/", 200, "<Prefix>a%20b</Prefix><Delimiter>/</Delimiter>"},
		{"GET", "/bkt?policy", 404, "<Code>NoSuchBucketPolicy<"},
		{"GET", "/bkt?policyStatus", 404, "<Code>NoSuchBucketPolicy<"},
		{"GET", "/bkt?lifecycle", 404, "<Code>NoSuchLifecycleConfiguration<"},
		{"GET", "/bkt?cors", 404, "<Code>NoSuchCORSConfiguration<"},
		{"GET", "/bkt?object-lock", 404, "<Code>ObjectLockConfigurationNotFoundError<"},
		{"GET", "/bkt?encryption", 404, "<Code>ServerSideEncryptionConfigurationNotFoundError<"},
		{"GET", "/bkt?tagging", 404, "<Code>NoSuchTagSet<"},
		{"GET", "/bkt?website", 404, "<Code>NoSuchWebsiteConfiguration<"},
		{"GET", "/bkt?replication", 404, "<Code>ReplicationConfigurationNotFoundError<"},
		{"GET", "/bkt?publicAccessBlock", 404, "<Code>NoSuchPublicAccessBlockConfiguration<"},
		{"GET", "/bkt?ownershipControls", 404, "<Code>OwnershipControlsNotFoundError<"},
		{"GET", "/nobucket?policy", 404, "<Code>NoSuchBucket<"},
		{"GET", "/nobucket?acl", 404, "<Code>NoSuchBucket<"},
		{"GET", "/nobucket?uploads", 404, "<Code>NoSuchBucket<"},
		{"GET", "/nobucket?location", 404, "<Code>NoSuchBucket<"},
		{"GET", "/bkt/none?tagging", 404, "<Code>NoSuchKey<"},
		{"GET", "/bkt/none?acl", 404, "<Code>NoSuchKey<"},
		{"GET", "/bkt/hello.txt?retention", 400, "<Code>InvalidRequest<"},
		{"GET", "/bkt/hello.txt?legal-hold", 400, "<Code>InvalidRequest<"},
		{"GET", "/bkt/hello.txt?uploadId=x", 404, "<Code>NoSuchUpload<"},
		{"GET", "/bkt?versions", 501, "<Code>NotImplemented<"},
		{"GET", "/bkt?inventory&id=1", 501, "<Code>NotImplemented<"},
		{"GET", "/bkt/hello.txt?attributes", 400, "<Code>InvalidArgument<"},
		{"GET", "/bkt/hello.txt?unheardOf", 501, "<Code>NotImplemented<"},
		{"GET", "/bkt/hello.txt?x-id=GetObject&cache=1", 200, "0123456789"},
		{"GET", "/bkt/hello.txt?response-content-type=&x-amz-checksum-mode", 200, "0123456789"},
		{"POST", "/bkt/hello.txt?select&select-type=2", 501, "<Code>NotImplemented<"},
		{"PUT", "/bkt/new", 405, "<Code>MethodNotAllowed<"},
		{"PUT", "/bkt/new?partNumber=1&uploadId=x", 405, "<Code>MethodNotAllowed<"},
		{"PUT", "/bkt/hello.txt?tagging", 405, "<Code>MethodNotAllowed<"},
		{"POST", "/bkt/new?uploads", 405, "<Code>MethodNotAllowed<"},
		{"POST", "/bkt/new?uploadId=x", 405, "<Code>MethodNotAllowed<"},
		{"DELETE", "/bkt/hello.txt", 405, "<Code>MethodNotAllowed<"},
		{"DELETE", "/bkt/hello.txt?uploadId=x", 405, "<Code>MethodNotAllowed<"},
		{"POST", "/bkt?delete", 405, "<Code>MethodNotAllowed<"},
		{"PATCH", "/bkt/hello.txt", 405, "<Code>MethodNotAllowed<"},
		{"TRACE", "/bkt/hello.txt", 405, "<Code>MethodNotAllowed<"},
		{"PUT", "/newbucket", 501, "<Code>NotImplemented<"},
		{"DELETE", "/bkt", 501, "<Code>NotImplemented<"},
		{"PUT", "/bkt?versioning", 400, "<Code>MalformedXML<"},
		{"PUT", "/bkt?policy", 501, "<Code>NotImplemented<"},
		{"PUT", "/nobucket?policy", 404, "<Code>NoSuchBucket<"},
		{"DELETE", "/bkt?cors", 204, ""},
		{"DELETE", "/bkt?policy", 204, ""},
		{"DELETE", "/nobucket?policy", 404, "<Code>NoSuchBucket<"},
		{"DELETE", "/bkt?inventory&id=1", 501, "<Code>NotImplemented<"},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.target, func(t *testing.T) {
			w := get(t, h, tt.method, tt.target)
			if w.Code != tt.status || !strings.Contains(w.Body.String(), tt.contains) {
				t.Errorf("got %d %s, want %d with %q", w.Code, w.Body, tt.status, tt.contains)
			}
			if tt.method == "HEAD" && w.Body.Len() > 0 {
				t.Errorf("HEAD with a body: %s", w.Body)
			}
			for _, name := range []string{"x-amz-request-id", "x-amz-id-2"} {
				if len(w.Header()[name]) != 1 {
					t.Errorf("no %s", name)
				}
			}
		})
	}
}

func TestNothingChangedByRefusedWrites(t *testing.T) {
	h := newHandler(t, readOnly{newMem(t)}, s3proxy.Options{})
	want(t, serve(h, attempt{method: "PUT", target: helloTarget, body: "overwritten"}.byHeader(t)), 405, "MethodNotAllowed")
	want(t, serve(h, attempt{method: "PUT", target: helloTarget, payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}.byHeader(t)), 405, "MethodNotAllowed")
	if w := get(t, h, "GET", helloTarget); w.Body.String() != "0123456789" {
		t.Errorf("got %q", w.Body)
	}
}

func TestRegion(t *testing.T) {
	h := newHandler(t, newMem(t), s3proxy.Options{Region: "eu-west-1"})
	w := serve(h, attempt{target: helloTarget}.byHeader(t))
	want(t, w, 400, "AuthorizationHeaderMalformed")
	if e := errorOf(t, w); e.Region != "eu-west-1" {
		t.Errorf("clients are not told the region: %+v", e)
	}
	want(t, serve(h, attempt{target: helloTarget}.byQuery(t)), 400, "AuthorizationQueryParametersError")
	w = serve(h, attempt{target: "/bkt?location", region: "eu-west-1"}.byHeader(t))
	if w.Code != 200 || !strings.Contains(w.Body.String(), ">eu-west-1</LocationConstraint>") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	w = serve(h, attempt{method: "HEAD", target: "/bkt", region: "eu-west-1"}.byHeader(t))
	if got := w.Header()["x-amz-bucket-region"]; len(got) != 1 || got[0] != "eu-west-1" {
		t.Errorf("got %q", got)
	}
}

// recorder is a backend that notes who calls it.
type recorder struct {
	s3proxy.Backend
	principals []any
}

func (r *recorder) StatBucket(ctx context.Context, b string) (s3proxy.BucketInfo, error) {
	r.principals = append(r.principals, s3proxy.PrincipalFrom(ctx))
	return r.Backend.StatBucket(ctx, b)
}

func TestAuthorize(t *testing.T) {
	var asked []s3proxy.Access
	b := &recorder{Backend: newMem(t)}
	h := newHandler(t, b, s3proxy.Options{Authorize: func(_ context.Context, a s3proxy.Access) error {
		asked = append(asked, a)
		if strings.HasPrefix(a.Key, "dir") || a.Operation == "GetBucketAcl" {
			return fmt.Errorf("not for %v: %w", a.Principal, fs.ErrPermission)
		}
		return nil
	}})
	if w := get(t, h, "GET", helloTarget); w.Code != 200 {
		t.Errorf("allowed read: got %d", w.Code)
	}
	want(t, get(t, h, "GET", "/bkt/dir"), 403, "AccessDenied")
	want(t, get(t, h, "GET", "/bkt?prefix=dir/"), 403, "AccessDenied")
	want(t, get(t, h, "GET", "/bkt?acl"), 403, "AccessDenied")
	want(t, get(t, h, "PUT", "/bkt/dir/x"), 403, "AccessDenied")
	wantAsked := []s3proxy.Access{
		{Principal: "alice", Operation: "GetObject", Right: s3proxy.Read, Bucket: "bkt", Key: "hello.txt"},
		{Principal: "alice", Operation: "GetObject", Right: s3proxy.Read, Bucket: "bkt", Key: "dir"},
		{Principal: "alice", Operation: "ListObjects", Right: s3proxy.Read, Bucket: "bkt", Key: "dir/"},
		{Principal: "alice", Operation: "GetBucketAcl", Right: s3proxy.Read, Bucket: "bkt"},
		{Principal: "alice", Operation: "PutObject", Right: s3proxy.Write, Bucket: "bkt", Key: "dir/x"},
	}
	if fmt.Sprint(asked) != fmt.Sprint(wantAsked) {
		t.Errorf("asked %+v, want %+v", asked, wantAsked)
	}
	if w := get(t, h, "HEAD", "/bkt"); w.Code != 200 || len(b.principals) != 1 || b.principals[0] != "alice" {
		t.Errorf("the backend was called for %v", b.principals)
	}
	before := len(asked)
	want(t, serve(h, attempt{target: helloTarget, secret: "guess"}.byHeader(t)), 403, "SignatureDoesNotMatch")
	if len(asked) != before {
		t.Error("authorisation was asked before the signature was verified")
	}
}

// failingBackend fails every call.
type failingBackend struct {
	s3proxy.Backend
	err error
}

func (f failingBackend) Open(context.Context, s3proxy.ObjectName) (s3proxy.Object, error) {
	if f.err == nil {
		panic("secret detail")
	}
	return nil, f.err
}

func (f failingBackend) StatBucket(context.Context, string) (s3proxy.BucketInfo, error) {
	return s3proxy.BucketInfo{}, f.err
}

func TestErrorKinds(t *testing.T) {
	wrap := func(err error) error { return fmt.Errorf("secret detail: %w", err) }
	tests := []struct {
		name   string
		err    error
		target string
		status int
		code   string
		logged bool
	}{
		{"no bucket", wrap(s3proxy.ErrNoSuchBucket), "/b/k", 404, "NoSuchBucket", false},
		{"no key", wrap(s3proxy.ErrNoSuchKey), "/b/k", 404, "NoSuchKey", false},
		{"no version", wrap(s3proxy.ErrNoSuchVersion), "/b/k", 404, "NoSuchVersion", false},
		{"not exist, key", wrap(fs.ErrNotExist), "/b/k", 404, "NoSuchKey", false},
		{"not exist, bucket", wrap(fs.ErrNotExist), "/b?acl", 404, "NoSuchBucket", false},
		{"permission", wrap(fs.ErrPermission), "/b/k", 403, "AccessDenied", false},
		{"invalid", wrap(fs.ErrInvalid), "/b/k", 400, "InvalidArgument", false},
		{"read only", wrap(s3proxy.ErrReadOnly), "/b/k", 405, "MethodNotAllowed", false},
		{"busy", wrap(s3proxy.ErrBusy), "/b/k", 503, "SlowDown", false},
		{"deadline", wrap(context.DeadlineExceeded), "/b/k", 503, "SlowDown", false},
		{"unknown", errors.New("secret detail"), "/b/k", 500, "InternalError", true},
		{"exists, key", wrap(fs.ErrExist), "/b/k", 412, "PreconditionFailed", false},
		{"exists, bucket", wrap(fs.ErrExist), "/b?acl", 409, "BucketAlreadyOwnedByYou", false},
		{"panic", nil, "/b/k", 500, "InternalError", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			log, buf := logTo()
			w := get(t, newHandler(t, failingBackend{err: tt.err}, s3proxy.Options{Log: log}), "GET", tt.target)
			want(t, w, tt.status, tt.code)
			if strings.Contains(w.Body.String(), "secret") {
				t.Errorf("detail is shown: %s", w.Body)
			}
			if logged := strings.Contains(buf.String(), "secret detail"); logged != tt.logged {
				t.Errorf("logged %v, want %v: %s", logged, tt.logged, buf)
			}
		})
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	b := newMem(t)
	for name, err := range map[string]error{
		"no clock":   second(s3proxy.New(b, lookup, s3proxy.Options{})),
		"no backend": second(s3proxy.New(nil, lookup, s3proxy.Options{Now: testNow.UTC})),
		"no keys":    second(s3proxy.New(b, nil, s3proxy.Options{Now: testNow.UTC})),
		"bad stall":  second(s3proxy.New(b, lookup, s3proxy.Options{Now: testNow.UTC, Stall: -1})),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func second(_ *s3proxy.Handler, err error) error { return err }

func TestUnsignedRequestLearnsNothing(t *testing.T) {
	h := newHandler(t, newMem(t), s3proxy.Options{})
	for _, target := range []string{"/", "/bkt", "/nobucket", "/bkt/none", "/bkt?policy", "/bkt?unheardOf", "/a/" + strings.Repeat("k", 2000)} {
		for _, method := range []string{"GET", "PUT", "POST", "DELETE", "PATCH"} {
			want(t, serve(h, httptest.NewRequest(method, target, nil)), 403, "AccessDenied")
		}
		r := httptest.NewRequest("OPTIONS", target, nil)
		r.Header.Set("Origin", "http://page.test")
		r.Header.Set("Access-Control-Request-Method", "GET")
		want(t, serve(h, r), 403, "AccessForbidden")
	}
}
