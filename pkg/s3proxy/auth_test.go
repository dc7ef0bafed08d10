package s3proxy_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3mem"
)

const helloTarget = "/bkt/hello.txt"

// replace returns a function that replaces old by new once, and fails the test
// if there is no old to replace.
func replace(t *testing.T, old, new string) func(string) string {
	return func(s string) string {
		if !strings.Contains(s, old) {
			t.Errorf("nothing to replace: %q in %q", old, s)
		}
		return strings.Replace(s, old, new, 1)
	}
}

func setHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func addHeader(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Add(name, value) }
}

func addQuery(q string) func(*http.Request) {
	return func(r *http.Request) { r.URL.RawQuery = strings.TrimPrefix(r.URL.RawQuery+"&"+q, "&") }
}

type authTest struct {
	name   string
	a      attempt
	status int
	code   string
}

func runAuthTests(t *testing.T, tests []authTest, build func(attempt, fataler) *http.Request) {
	h := newHandler(t, newMem(t), s3proxy.Options{})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.a.target == "" {
				tt.a.target = helloTarget
			}
			w := serve(h, build(tt.a, t))
			if tt.status == http.StatusOK {
				if w.Code != http.StatusOK || w.Body.String() != "0123456789" {
					t.Errorf("got %d %q, want the object", w.Code, w.Body)
				}
				return
			}
			want(t, w, tt.status, tt.code)
			if strings.Contains(w.Body.String(), testSecret) || strings.Contains(w.Body.String(), "fire") {
				t.Errorf("the answer tells too much: %q", w.Body)
			}
		})
	}
}

func TestHeaderSignature(t *testing.T) {
	hour := testNow.Add(time.Hour)
	sum1 := strings.Repeat("1", 64)
	runAuthTests(t, []authTest{
		{"good", attempt{}, 200, ""},
		{"good, unsigned payload", attempt{payload: "UNSIGNED-PAYLOAD"}, 200, ""},
		{"good, other region", attempt{region: "eu-north-7"}, 200, ""},
		{"good, 15 minutes old", attempt{at: testNow.Add(-15 * time.Minute)}, 200, ""},
		{"good, 15 minutes ahead", attempt{at: testNow.Add(15 * time.Minute)}, 200, ""},
		{"good, date header", attempt{headers: [][2]string{{"Date", testNow.Format(http.TimeFormat)}}}, 200, ""},
		{"good, no spaces in header", attempt{mangle: func(s string) string { return strings.ReplaceAll(s, ", ", ",") }}, 200, ""},
		{"good, unsigned user agent", attempt{after: setHeader("User-Agent", "curl")}, 200, ""},
		{"good, unsigned condition", attempt{after: setHeader("If-Match", "*")}, 200, ""},
		{"good, spaces in value", attempt{headers: [][2]string{{"X-Amz-Note", "  a   b "}}}, 200, ""},

		{"wrong secret", attempt{secret: "guess"}, 403, "SignatureDoesNotMatch"},
		{"unknown key", attempt{id: "NOBODY"}, 403, "InvalidAccessKeyId"},
		{"lookup fails", attempt{id: "BROKEN"}, 500, "InternalError"},
		{"lookup gives no secret", attempt{id: "HOLLOW"}, 500, "InternalError"},
		{"empty key", attempt{mangle: replace(t, "TESTKEY/", "/")}, 400, "AuthorizationHeaderMalformed"},
		{"endless key", attempt{id: strings.Repeat("k", 200)}, 400, "AuthorizationHeaderMalformed"},
		{"too old", attempt{at: testNow.Add(-15*time.Minute - time.Second)}, 403, "RequestTimeTooSkewed"},
		{"too far ahead", attempt{at: testNow.Add(15*time.Minute + time.Second)}, 403, "RequestTimeTooSkewed"},
		{"yesterday's scope", attempt{day: "20261120"}, 400, "AuthorizationHeaderMalformed"},
		{"tomorrow's scope", attempt{day: "20261122"}, 400, "AuthorizationHeaderMalformed"},
		{"scope day is no day", attempt{day: "today"}, 400, "AuthorizationHeaderMalformed"},
		{"other service", attempt{service: "ec2"}, 400, "AuthorizationHeaderMalformed"},
		{"other terminator", attempt{end: "aws5_request"}, 400, "AuthorizationHeaderMalformed"},
		{"empty region", attempt{mangle: replace(t, "us-east-1", "")}, 400, "AuthorizationHeaderMalformed"},
		{"changed region", attempt{mangle: replace(t, "us-east-1", "us-east-2")}, 403, "SignatureDoesNotMatch"},
		{"credential too long", attempt{mangle: replace(t, "/s3/", "/s3/x/")}, 400, "AuthorizationHeaderMalformed"},
		{"credential too short", attempt{mangle: replace(t, "/s3/", "/")}, 400, "AuthorizationHeaderMalformed"},
		{"no credential", attempt{mangle: replace(t, "Credential=", "Credit=")}, 400, "AuthorizationHeaderMalformed"},
		{"no signed headers", attempt{mangle: replace(t, "SignedHeaders=", "Headers=")}, 400, "AuthorizationHeaderMalformed"},
		{"no signature", attempt{mangle: replace(t, "Signature=", "Sig=")}, 400, "AuthorizationHeaderMalformed"},
		{"further field", attempt{mangle: func(s string) string { return s + ", Extra=1" }}, 400, "AuthorizationHeaderMalformed"},
		{"field twice", attempt{mangle: func(s string) string { return s + ", Signature=" + sum1 }}, 400, "AuthorizationHeaderMalformed"},
		{"signature too short", attempt{mangle: func(s string) string { return s[:len(s)-1] }}, 400, "AuthorizationHeaderMalformed"},
		{"signature too long", attempt{mangle: func(s string) string { return s + "0" }}, 400, "AuthorizationHeaderMalformed"},
		{"signature in capitals", attempt{mangle: func(s string) string { return s[:len(s)-64] + strings.Repeat("A", 64) }}, 400, "AuthorizationHeaderMalformed"},
		{"signature is another", attempt{mangle: func(s string) string { return s[:len(s)-64] + sum1 }}, 403, "SignatureDoesNotMatch"},
		{"signed headers out of order", attempt{mangle: replace(t, "host;x-amz-content-sha256;", "x-amz-content-sha256;host;")}, 400, "AuthorizationHeaderMalformed"},
		{"signed headers in capitals", attempt{mangle: replace(t, "host;", "Host;")}, 400, "AuthorizationHeaderMalformed"},
		{"signed header twice", attempt{mangle: replace(t, "host;", "host;host;")}, 400, "AuthorizationHeaderMalformed"},
		{"signed header not sent", attempt{alsoSign: []string{"x-amz-ghost"}}, 403, "SignatureDoesNotMatch"},
		{"host unsigned", attempt{unsigned: []string{"host"}}, 403, "AccessDenied"},
		{"date unsigned", attempt{unsigned: []string{"x-amz-date"}}, 403, "AccessDenied"},
		{"date header unsigned", attempt{headers: [][2]string{{"Date", testNow.Format(http.TimeFormat)}}, unsigned: []string{"date"}}, 403, "AccessDenied"},
		{"payload unsigned", attempt{unsigned: []string{"x-amz-content-sha256"}}, 403, "AccessDenied"},
		{"good, content type unsigned", attempt{headers: [][2]string{{"Content-Type", "a/b"}}, unsigned: []string{"content-type"}}, 200, ""},
		{"content md5 unsigned", attempt{headers: [][2]string{{"Content-Md5", "x"}}, unsigned: []string{"content-md5"}}, 403, "AccessDenied"},
		{"added x-amz header", attempt{after: setHeader("X-Amz-Acl", "public-read")}, 403, "AccessDenied"},
		{"added x-amz-meta header", attempt{after: setHeader("X-Amz-Meta-A", "")}, 403, "AccessDenied"},
		{"no payload header", attempt{payload: "-"}, 400, "InvalidRequest"},
		{"unknown payload mode", attempt{payload: "TRUST-ME"}, 403, "AccessDenied"},
		{"unknown streaming mode", attempt{payload: "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"}, 403, "AccessDenied"},
		{"payload hash too short", attempt{payload: sum1[:63]}, 403, "AccessDenied"},
		{"payload hash in capitals", attempt{payload: strings.Repeat("A", 64)}, 403, "AccessDenied"},
		{"payload hash of other bytes", attempt{payload: sum1}, 400, "XAmzContentSHA256Mismatch"},
		{"body changed", attempt{body: "abc", payload: sum1}, 400, "XAmzContentSHA256Mismatch"},
		{"streaming read", attempt{payload: "STREAMING-UNSIGNED-PAYLOAD-TRAILER"}, 400, "InvalidArgument"},
		{"streaming signed read", attempt{payload: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"}, 400, "InvalidArgument"},
		{"payload header changed", attempt{after: setHeader("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")}, 403, "SignatureDoesNotMatch"},
		{"date changed", attempt{after: setHeader("X-Amz-Date", testNow.Add(time.Second).Format("20060102T150405Z"))}, 403, "SignatureDoesNotMatch"},
		{"date not a date", attempt{after: setHeader("X-Amz-Date", "yesterday")}, 403, "AccessDenied"},
		{"no date", attempt{after: func(r *http.Request) { r.Header.Del("X-Amz-Date") }}, 403, "AccessDenied"},
		{"date header out of window", attempt{at: hour, headers: [][2]string{{"Date", hour.Format(http.TimeFormat)}}}, 403, "RequestTimeTooSkewed"},
		{"method changed", attempt{method: "PUT", after: func(r *http.Request) { r.Method = "GET" }}, 403, "SignatureDoesNotMatch"},
		{"key changed", attempt{after: func(r *http.Request) { r.URL.Path = "/bkt/empty" }}, 403, "SignatureDoesNotMatch"},
		{"bucket changed", attempt{after: func(r *http.Request) { r.URL.Path = "/main.images/hello.txt" }}, 403, "SignatureDoesNotMatch"},
		{"slash added", attempt{after: func(r *http.Request) { r.URL.Path = "/bkt//hello.txt" }}, 403, "SignatureDoesNotMatch"},
		{"dot segment added", attempt{after: func(r *http.Request) { r.URL.Path = "/bkt/./hello.txt" }}, 403, "SignatureDoesNotMatch"},
		{"dot dot segment added", attempt{after: func(r *http.Request) { r.URL.Path = "/bkt/x/../hello.txt" }}, 403, "SignatureDoesNotMatch"},
		{"signed key escaped again", attempt{after: func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/bkt/hello%2etxt", "/bkt/hello%252etxt" }}, 403, "SignatureDoesNotMatch"},
		{"host changed", attempt{after: func(r *http.Request) { r.Host = "evil.test" }}, 403, "SignatureDoesNotMatch"},
		{"query added", attempt{after: addQuery("x-id=GetObject")}, 403, "SignatureDoesNotMatch"},
		{"query without a name added", attempt{after: addQuery("=x")}, 403, "SignatureDoesNotMatch"},
		{"query removed", attempt{target: helloTarget + "?x-id=GetObject", after: func(r *http.Request) { r.URL.RawQuery = "" }}, 403, "SignatureDoesNotMatch"},
		{"query value changed", attempt{target: helloTarget + "?x-id=GetObject", after: func(r *http.Request) { r.URL.RawQuery = "x-id=PutObject" }}, 403, "SignatureDoesNotMatch"},
		{"override added", attempt{after: addQuery("response-content-type=text/html")}, 403, "SignatureDoesNotMatch"},
		{"signed header changed", attempt{headers: [][2]string{{"Range", "bytes=0-1"}}, after: setHeader("Range", "bytes=0-9")}, 403, "SignatureDoesNotMatch"},
		{"x-amz header twice", attempt{headers: [][2]string{{"X-Amz-A", "1"}, {"X-Amz-A", "2"}}}, 400, "InvalidRequest"},
		{"authorization twice", attempt{after: addHeader("Authorization", "AWS4-HMAC-SHA256 x")}, 400, "InvalidRequest"},
		{"date twice", attempt{after: addHeader("X-Amz-Date", "20261121T120000Z")}, 400, "InvalidRequest"},
		{"payload twice", attempt{after: addHeader("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")}, 400, "InvalidRequest"},
		{"range twice", attempt{after: func(r *http.Request) { r.Header["Range"] = []string{"bytes=0-1", "bytes=0-2"} }}, 400, "InvalidRequest"},
		{"query twice", attempt{target: helloTarget + "?versionId=null&versionId=7"}, 400, "InvalidRequest"},
		{"query twice, in other case", attempt{target: helloTarget + "?prefix=a&Prefix=b"}, 400, "InvalidRequest"},
		{"header and query", attempt{after: addQuery("X-Amz-Signature=" + sum1)}, 400, "InvalidRequest"},
		{"header and query in other case", attempt{after: addQuery("x-amz-signature=" + sum1)}, 400, "InvalidRequest"},
		{"header and version 2 query", attempt{after: addQuery("AWSAccessKeyId=a&Signature=b&Expires=1")}, 400, "InvalidRequest"},
		{"session token", attempt{headers: [][2]string{{"X-Amz-Security-Token", "t"}}}, 400, "InvalidToken"},
		{"empty authorization", attempt{mangle: func(string) string { return "" }}, 403, "AccessDenied"},
		{"basic", attempt{mangle: func(string) string { return "Basic dGVzdA==" }}, 403, "AccessDenied"},
		{"version 2 header", attempt{mangle: func(string) string { return "AWS TESTKEY:c2lnbmF0dXJl" }}, 403, "AccessDenied"},
		{"asymmetric version 4", attempt{mangle: replace(t, "HMAC", "ECDSA-P256")}, 403, "AccessDenied"},
		{"algorithm only", attempt{mangle: func(string) string { return "AWS4-HMAC-SHA256" }}, 400, "AuthorizationHeaderMalformed"},
		{"algorithm in lower case", attempt{mangle: strings.ToLower}, 403, "AccessDenied"},
		{"none", attempt{after: func(r *http.Request) { r.Header.Del("Authorization") }}, 403, "AccessDenied"},
	}, attempt.byHeader)
}

func TestQuerySignature(t *testing.T) {
	ahead := func(d time.Duration) attempt { return attempt{at: testNow.Add(d), expires: "604800"} }
	runAuthTests(t, []authTest{
		{"good", attempt{}, 200, ""},
		{"good, one second", attempt{expires: "1"}, 200, ""},
		{"good, seven days old", attempt{at: testNow.Add(-7 * 24 * time.Hour), expires: "604800"}, 200, ""},
		{"good, clocks slightly apart", ahead(20 * time.Second), 200, ""},
		{"good, browser's content type", attempt{after: setHeader("Content-Type", "text/plain")}, 200, ""},
		{"good, unsigned range", attempt{after: setHeader("Range", "bytes=0-9,10-11")}, 200, ""},
		{"good, payload in query", attempt{target: helloTarget + "?X-Amz-Content-Sha256=UNSIGNED-PAYLOAD"}, 200, ""},

		{"wrong secret", attempt{secret: "guess"}, 403, "SignatureDoesNotMatch"},
		{"unknown key", attempt{id: "NOBODY"}, 403, "InvalidAccessKeyId"},
		{"expired", attempt{at: testNow.Add(-61 * time.Second)}, 403, "AccessDenied"},
		{"from the near future", ahead(time.Minute), 403, "AccessDenied"},
		{"from the future", ahead(time.Hour), 403, "AccessDenied"},
		{"from tomorrow", ahead(24 * time.Hour), 403, "AccessDenied"},
		{"no life", attempt{expires: "0"}, 400, "AuthorizationQueryParametersError"},
		{"negative life", attempt{expires: "-1"}, 400, "AuthorizationQueryParametersError"},
		{"life with a sign", attempt{expires: "%2B60"}, 400, "AuthorizationQueryParametersError"},
		{"life too long", attempt{expires: "604801"}, 400, "AuthorizationQueryParametersError"},
		{"life beyond 64 bits", attempt{expires: "99999999999999999999"}, 400, "AuthorizationQueryParametersError"},
		{"life is no number", attempt{expires: "1h"}, 400, "AuthorizationQueryParametersError"},
		{"life changed", attempt{mangle: replace(t, "Expires=60", "Expires=600")}, 403, "SignatureDoesNotMatch"},
		{"other day", attempt{day: "20261120"}, 400, "AuthorizationQueryParametersError"},
		{"other service", attempt{service: "sts"}, 400, "AuthorizationQueryParametersError"},
		{"other algorithm", attempt{mangle: replace(t, "SHA256&", "SHA512&")}, 400, "AuthorizationQueryParametersError"},
		{"bad date", attempt{mangle: replace(t, "T120000Z", "")}, 400, "AuthorizationQueryParametersError"},
		{"no date", attempt{mangle: replace(t, "&X-Amz-Date=20261121T120000Z", "")}, 400, "AuthorizationQueryParametersError"},
		{"no life given", attempt{mangle: replace(t, "&X-Amz-Expires=60", "")}, 400, "AuthorizationQueryParametersError"},
		{"no signed headers", attempt{mangle: replace(t, "&X-Amz-SignedHeaders=host", "")}, 400, "AuthorizationQueryParametersError"},
		{"no credential", attempt{mangle: replace(t, "X-Amz-Credential=", "X-Amz-Credit=")}, 400, "AuthorizationQueryParametersError"},
		{"no signature", attempt{mangle: replace(t, "X-Amz-Signature=", "X-Amz-Sign=")}, 400, "AuthorizationQueryParametersError"},
		{"signature in other case", attempt{mangle: replace(t, "X-Amz-Signature=", "x-amz-signature=")}, 400, "AuthorizationQueryParametersError"},
		{"signature too short", attempt{mangle: func(s string) string { return s[:len(s)-2] }}, 400, "AuthorizationQueryParametersError"},
		{"signature twice", attempt{mangle: func(s string) string { return s + "&X-Amz-Signature=0" }}, 400, "InvalidRequest"},
		{"life twice", attempt{mangle: func(s string) string { return s + "&X-Amz-Expires=600" }}, 400, "InvalidRequest"},
		{"host unsigned", attempt{headers: [][2]string{{"Range", "bytes=0-1"}}, unsigned: []string{"host"}}, 403, "AccessDenied"},
		{"added x-amz header", attempt{after: setHeader("X-Amz-Meta-A", "1")}, 403, "AccessDenied"},
		{"added payload header", attempt{after: setHeader("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")}, 403, "AccessDenied"},
		{"unknown payload in query", attempt{target: helloTarget + "?X-Amz-Content-Sha256=NONE"}, 403, "AccessDenied"},
		{"key changed", attempt{after: func(r *http.Request) { r.URL.Path = "/bkt/empty" }}, 403, "SignatureDoesNotMatch"},
		{"method changed", attempt{after: func(r *http.Request) { r.Method = "POST" }}, 403, "SignatureDoesNotMatch"},
		{"host changed", attempt{after: func(r *http.Request) { r.Host = "other.test" }}, 403, "SignatureDoesNotMatch"},
		{"override added", attempt{after: addQuery("response-content-disposition=inline")}, 403, "SignatureDoesNotMatch"},
		{"version added", attempt{after: addQuery("versionId=null")}, 403, "SignatureDoesNotMatch"},
		{"header too", attempt{after: setHeader("Authorization", "AWS4-HMAC-SHA256 x")}, 400, "InvalidRequest"},
		{"empty header too", attempt{after: setHeader("Authorization", "")}, 400, "InvalidRequest"},
		{"version 2 too", attempt{after: addQuery("AWSAccessKeyId=a")}, 400, "InvalidRequest"},
		{"session token", attempt{target: helloTarget + "?X-Amz-Security-Token=t"}, 400, "InvalidToken"},
		{"write without a length", attempt{method: "PUT"}, 411, "MissingContentLength"},
	}, attempt.byQuery)
}

// TestVersion2OnVirtualHost serves the URL of AWS's published example of
// version 2, which names its bucket by the host.
func TestVersion2OnVirtualHost(t *testing.T) {
	const target = "/photos/puppy.jpg?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620"
	keys := func(context.Context, string) (s3proxy.Credential, error) {
		return s3proxy.Credential{Secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}, nil
	}
	s := s3mem.New(testNow.UTC)
	for _, bucket := range []string{"johnsmith", "johndoe"} {
		if err := s.CreateBucket(context.Background(), bucket); err != nil {
			t.Fatal(err)
		}
		if err := s.Add(bucket, s3proxy.ObjectInfo{Key: "photos/puppy.jpg"}, []byte(bucket)); err != nil {
			t.Fatal(err)
		}
	}
	at := func(now int64, disabled bool) *s3proxy.Handler {
		h, err := s3proxy.New(s, keys, s3proxy.Options{
			Domain: "s3.amazonaws.com", DisableV2: disabled, Now: func() time.Time { return time.Unix(now, 0) },
		})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	send := func(h http.Handler, method, host, target string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, target, nil)
		r.Host = host
		return serve(h, r)
	}
	const host, inTime, tooLate = "johnsmith.s3.amazonaws.com", 1175139620, 1175139621
	if w := send(at(inTime, false), "GET", host, target); w.Code != 200 || w.Body.String() != "johnsmith" {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	want(t, send(at(tooLate, false), "GET", host, target), 403, "AccessDenied")
	want(t, send(at(inTime, true), "GET", host, target), 403, "AccessDenied")
	want(t, send(at(inTime, false), "GET", "johndoe.s3.amazonaws.com", target), 403, "SignatureDoesNotMatch")
	want(t, send(at(inTime, false), "GET", host, target+"&response-content-type=text/html"), 403, "SignatureDoesNotMatch")
	want(t, send(at(inTime, false), "GET", host, target+"&prefix=a"), 403, "AccessDenied")
	for _, method := range []string{"PUT", "POST", "DELETE"} {
		want(t, send(at(inTime, false), method, host, target), 403, "AccessDenied")
	}
}
