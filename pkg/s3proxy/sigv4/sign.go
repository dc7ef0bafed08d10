package sigv4

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Signer signs requests with one access key for one region. It is a value;
// its String never shows the secret.
type Signer struct {
	// ID is the access key ID.
	ID string
	// Secret is the secret access key.
	Secret string
	// Region is the region to sign for; "" means us-east-1.
	Region string
}

// String returns the access key ID only, so that a Signer may be logged.
func (s Signer) String() string { return "sigv4 signer " + s.ID }

// GoString returns the same as String.
func (s Signer) GoString() string { return s.String() }

func (s Signer) scope(at time.Time) Scope {
	region := s.Region
	if region == "" {
		region = "us-east-1"
	}
	return Scope{Day: at.UTC().Format(dayFormat), Region: region, Service: serviceS3}
}

// unsignedHeaders are those that agents and proxies on the way may change.
var unsignedHeaders = map[string]bool{
	"Accept-Encoding": true, "Authorization": true, "Connection": true, "Content-Length": true,
	"Expect": true, "Transfer-Encoding": true, "User-Agent": true,
}

// Sign adds x-amz-date, x-amz-content-sha256 and Authorization to r. payload
// is a hash (see HashPayload, EmptyPayload) or a mode (see Unsigned). Headers
// set afterwards are not covered, and an x-amz- header among them is refused
// by servers.
func (s Signer) Sign(r *http.Request, payload string, at time.Time) error {
	r.Header.Del("Authorization")
	r.Header.Set("X-Amz-Date", at.UTC().Format(TimeFormat))
	r.Header.Set("X-Amz-Content-Sha256", payload)
	req, err := FromHTTP(r)
	if err != nil {
		return fmt.Errorf("sign request: %w", err)
	}
	cover := covered{at: at, scope: s.scope(at), headers: headersToSign(r.Header), payload: payload}
	r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		Algorithm, s.ID, cover.scope, strings.Join(cover.headers, ";"), cover.signature(req, s.Secret)))
	return nil
}

// Presign returns r's URL with a signature in its query that is valid for the
// given time, which must be between 1 s and 7 days and is cut to whole
// seconds. The method and the x-amz- headers of r are covered and have to be
// sent with the URL.
func (s Signer) Presign(r *http.Request, expires time.Duration, at time.Time) (*url.URL, error) {
	seconds := int64(expires / time.Second)
	if seconds < 1 || expires > maxExpires {
		return nil, fmt.Errorf("presign: life of %v is not between 1 s and 7 days", expires)
	}
	names := slices.DeleteFunc(headersToSign(r.Header), func(n string) bool {
		return n != "host" && !strings.HasPrefix(n, "x-amz-")
	})
	cover := covered{at: at, scope: s.scope(at), headers: names, payload: Unsigned, skip: "X-Amz-Signature"}
	u := *r.URL
	u.RawQuery = joinQuery(u.RawQuery, Query{
		{"X-Amz-Algorithm", Algorithm},
		{"X-Amz-Credential", s.ID + "/" + cover.scope.String()},
		{"X-Amz-Date", at.UTC().Format(TimeFormat)},
		{"X-Amz-Expires", strconv.FormatInt(seconds, 10)},
		{"X-Amz-SignedHeaders", strings.Join(names, ";")},
	}.canonical(""))
	req, err := FromHTTP(&http.Request{Method: r.Method, Host: r.Host, URL: &u, Header: r.Header})
	if err != nil {
		return nil, fmt.Errorf("presign: %w", err)
	}
	u.RawQuery += "&X-Amz-Signature=" + cover.signature(req, s.Secret)
	return &u, nil
}

func joinQuery(a, b string) string {
	if a == "" {
		return b
	}
	return a + "&" + b
}

// headersToSign returns the names of all headers worth signing, with host, in
// lower case and sorted.
func headersToSign(h http.Header) []string {
	names := []string{"host"}
	for name := range h {
		if !unsignedHeaders[name] {
			names = append(names, strings.ToLower(name))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
