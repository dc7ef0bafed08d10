package s3proxy_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"time"
)

// attempt is one request and how it is signed. It signs with code of its own,
// so that a mistake in the product's canonical form cannot hide.
type attempt struct {
	method, target, body string
	host                 string
	headers              [][2]string // sent and, unless unsigned, signed
	unsigned             []string    // lower-case headers left out of the signature
	alsoSign             []string    // lower-case headers signed though not sent
	payload              string      // x-amz-content-sha256; "" hashes the body, "-" sends none
	id, secret           string
	region, service, end string
	day                  string
	at                   time.Time
	expires              string                   // presigned
	mangle               func(auth string) string // changes the Authorization header or query
	after                func(r *http.Request)    // changes the signed request
}

// fataler is what a test helper needs of testing.TB, and rapid has as well.
type fataler interface {
	Helper()
	Fatal(args ...any)
}

const (
	testID     = "TESTKEY"
	testSecret = "test/secret+key"
)

// testNow is the server's clock.
var testNow = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func or(v, byDefault string) string {
	if v == "" {
		return byDefault
	}
	return v
}

func (a attempt) request(t fataler) *http.Request {
	t.Helper()
	r := httptest.NewRequest(or(a.method, "GET"), a.target, strings.NewReader(a.body))
	if a.body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.Host = or(a.host, "s3.test")
	for _, h := range a.headers {
		r.Header.Add(h[0], h[1])
	}
	return r
}

func (a attempt) defaults() attempt {
	a.id, a.secret = or(a.id, testID), or(a.secret, testSecret)
	a.region, a.service, a.end = or(a.region, "us-east-1"), or(a.service, "s3"), or(a.end, "aws4_request")
	if a.at.IsZero() {
		a.at = testNow
	}
	a.day = or(a.day, a.at.Format("20060102"))
	if a.payload == "" {
		sum := sha256.Sum256([]byte(a.body))
		a.payload = hex.EncodeToString(sum[:])
	}
	return a
}

// byHeader returns the request signed by its Authorization header.
func (a attempt) byHeader(t fataler) *http.Request {
	t.Helper()
	a = a.defaults()
	r := a.request(t)
	if r.Header.Get("X-Amz-Date") == "" && r.Header.Get("Date") == "" {
		r.Header.Set("X-Amz-Date", a.at.Format("20060102T150405Z"))
	}
	if a.payload != "-" {
		r.Header.Set("X-Amz-Content-Sha256", a.payload)
	}
	names := a.signedNames(r.Header)
	sig := a.signature(t, r, names, r.URL.RawQuery, a.payload)
	auth := "AWS4-HMAC-SHA256 Credential=" + a.scope() + ", SignedHeaders=" + strings.Join(names, ";") + ", Signature=" + sig
	if a.mangle != nil {
		auth = a.mangle(auth)
	}
	r.Header.Set("Authorization", auth)
	if a.after != nil {
		a.after(r)
	}
	return r
}

// byQuery returns the request signed by its query.
func (a attempt) byQuery(t fataler) *http.Request {
	t.Helper()
	a = a.defaults()
	a.payload = "UNSIGNED-PAYLOAD"
	r := a.request(t)
	names := a.signedNames(r.Header)
	q := "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + url.QueryEscape(a.scope()) +
		"&X-Amz-Date=" + a.at.Format("20060102T150405Z") + "&X-Amz-Expires=" + or(a.expires, "60") +
		"&X-Amz-SignedHeaders=" + url.QueryEscape(strings.Join(names, ";"))
	if r.URL.RawQuery != "" {
		q = r.URL.RawQuery + "&" + q
	}
	q += "&X-Amz-Signature=" + a.signature(t, r, names, q, a.payload)
	if a.mangle != nil {
		q = a.mangle(q)
	}
	r.URL.RawQuery = q
	if a.after != nil {
		a.after(r)
	}
	return r
}

func (a attempt) scope() string {
	return a.id + "/" + a.day + "/" + a.region + "/" + a.service + "/" + a.end
}

func (a attempt) signedNames(h http.Header) []string {
	names := append([]string{"host"}, a.alsoSign...)
	for name := range h {
		names = append(names, strings.ToLower(name))
	}
	names = slices.DeleteFunc(names, func(n string) bool { return slices.Contains(a.unsigned, n) })
	slices.Sort(names)
	return slices.Compact(names)
}

func (a attempt) signature(t fataler, r *http.Request, names []string, rawQuery, payload string) string {
	t.Helper()
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		slices.Sort(v)
	}
	var canonical bytes.Buffer
	path := strings.ReplaceAll(strings.ReplaceAll(url.QueryEscape(r.URL.Path), "+", "%20"), "%2F", "/")
	canonical.WriteString(r.Method + "\n" + path + "\n" + strings.ReplaceAll(values.Encode(), "+", "%20") + "\n")
	for _, n := range names {
		v := strings.Join(r.Header.Values(n), ",")
		if n == "host" {
			v = r.Host
		}
		canonical.WriteString(n + ":" + strings.Join(strings.Fields(v), " ") + "\n")
	}
	canonical.WriteString("\n" + strings.Join(names, ";") + "\n" + payload)
	sum := sha256.Sum256(canonical.Bytes())
	toSign := "AWS4-HMAC-SHA256\n" + a.at.Format("20060102T150405Z") + "\n" +
		strings.TrimPrefix(a.scope(), a.id+"/") + "\n" + hex.EncodeToString(sum[:])
	key := []byte("AWS4" + a.secret)
	for _, part := range []string{a.day, a.region, a.service, a.end} {
		key = hmacSHA256(key, part)
	}
	return hex.EncodeToString(hmacSHA256(key, toSign))
}

func hmacSHA256(key []byte, s string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s))
	return h.Sum(nil)
}
