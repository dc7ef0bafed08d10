package sigv2

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/s3proxy/sigv4"
)

// maxAhead bounds how far ahead an expiry may lie. Version 2 names no time of
// signing, so this is the longest life that version 4 gives a URL.
const maxAhead = 7 * 24 * time.Hour

// Claim is what a presigned URL says; it is not proven until CheckTime and
// Verify have returned nil.
type Claim struct {
	// ID is the access key ID.
	ID string
	// Expires is when the URL ceases to be valid.
	Expires time.Time

	signature string
}

// form lists the parameters that carry the signature.
var form = []string{"AWSAccessKeyId", "Expires", "Signature"}

// subresources are the query parameters that version 2 covers.
var subresources = map[string]bool{
	"acl": true, "cors": true, "delete": true, "lifecycle": true, "location": true, "logging": true,
	"notification": true, "partNumber": true, "policy": true, "replication": true, "requestPayment": true,
	"restore": true, "tagging": true, "torrent": true, "uploadId": true, "uploads": true, "versionId": true,
	"versioning": true, "versions": true, "website": true,
	"response-cache-control": true, "response-content-disposition": true, "response-content-encoding": true,
	"response-content-language": true, "response-content-type": true, "response-expires": true,
}

// Present tells whether the query carries any part of a version 2 signature.
func Present(q sigv4.Query) bool {
	return slices.ContainsFunc(q, func(p sigv4.Param) bool {
		return strings.EqualFold(p.Name, "AWSAccessKeyId") || strings.EqualFold(p.Name, "Signature")
	})
}

// Parse reads the claim of a presigned URL.
func Parse(r *sigv4.Request) (*Claim, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return nil, fmt.Errorf("%w: signature version 2 for method %s", sigv4.ErrUnsupported, r.Method)
	}
	for name, values := range r.Header {
		if strings.HasPrefix(name, "X-Amz-") && len(values) > 1 {
			return nil, fmt.Errorf("%w: header %q is given %d times", sigv4.ErrAmbiguous, name, len(values))
		}
	}
	if name := r.Query.Duplicate(); name != "" {
		return nil, fmt.Errorf("%w: query parameter %q is given more than once", sigv4.ErrAmbiguous, name)
	}
	for _, name := range form {
		if r.Query.Get(name) == "" {
			return nil, fmt.Errorf("%w: %s is missing", sigv4.ErrMalformedQuery, name)
		}
	}
	for _, p := range r.Query {
		// x-id names the operation for the benefit of the server's log.
		if !subresources[p.Name] && !slices.Contains(form, p.Name) && p.Name != "x-id" {
			return nil, fmt.Errorf("%w: signature version 2 does not cover the query parameter %q", sigv4.ErrUnsignedHeader, p.Name)
		}
	}
	seconds, err := strconv.ParseInt(r.Query.Get("Expires"), 10, 64)
	if err != nil || seconds < 0 {
		return nil, fmt.Errorf("%w: Expires %q is not a time", sigv4.ErrMalformedQuery, r.Query.Get("Expires"))
	}
	return &Claim{
		ID:        r.Query.Get("AWSAccessKeyId"),
		Expires:   time.Unix(seconds, 0).UTC(),
		signature: r.Query.Get("Signature"),
	}, nil
}

// CheckTime returns nil if the URL is valid at now.
func (c *Claim) CheckTime(now time.Time) error {
	switch {
	case now.After(c.Expires):
		return fmt.Errorf("%w: valid until %s", sigv4.ErrExpired, c.Expires.Format(time.RFC3339))
	case c.Expires.Sub(now) > maxAhead:
		return fmt.Errorf("%w: Expires is more than 7 days ahead", sigv4.ErrMalformedQuery)
	}
	return nil
}

// Verify returns nil if the claim's signature is the one that secret gives for
// r. hostBucket is the bucket that the host names, or "" in path style.
func (c *Claim) Verify(r *sigv4.Request, secret, hostBucket string) error {
	h := hmac.New(sha1.New, []byte(secret))
	h.Write([]byte(stringToSign(r, hostBucket)))
	want := base64.StdEncoding.EncodeToString(h.Sum(nil))
	if subtle.ConstantTimeCompare([]byte(want), []byte(c.signature)) != 1 {
		return sigv4.ErrMismatch
	}
	return nil
}

func stringToSign(r *sigv4.Request, hostBucket string) string {
	return r.Method + "\n" + r.Header.Get("Content-Md5") + "\n" + r.Header.Get("Content-Type") + "\n" +
		r.Query.Get("Expires") + "\n" + amzHeaders(r.Header) + resource(r, hostBucket)
}

func amzHeaders(h http.Header) string {
	var lines []string
	for name, values := range h {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
			lines = append(lines, lower+":"+strings.TrimSpace(values[0])+"\n")
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// resource is the path as sent, below its bucket, with the subresources in
// order of name and their values decoded.
func resource(r *sigv4.Request, hostBucket string) string {
	path := r.RawPath
	if hostBucket != "" {
		path = "/" + hostBucket + path
	}
	var subs []string
	for _, p := range r.Query {
		switch {
		case !subresources[p.Name]:
		case p.Value == "":
			subs = append(subs, p.Name)
		default:
			subs = append(subs, p.Name+"="+p.Value)
		}
	}
	if len(subs) == 0 {
		return path
	}
	slices.Sort(subs)
	return path + "?" + strings.Join(subs, "&")
}
