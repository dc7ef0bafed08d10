package sigv2

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/dvx-io/dvx/pkg/s3proxy/sigv4"
)

const (
	// The key pair and the URL below are those of AWS's own published example
	// of query string authentication (Amazon S3 REST authentication guide).
	exampleID     = "AKIAIOSFODNN7EXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	exampleQuery  = "AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620"
)

func request(t *testing.T, method, target string) *sigv4.Request {
	t.Helper()
	r, err := http.NewRequest(method, "http://johnsmith.s3.amazonaws.com"+target, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := sigv4.FromHTTP(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func check(r *sigv4.Request, now time.Time, bucket string) error {
	c, err := Parse(r)
	if err != nil {
		return err
	}
	if err := c.CheckTime(now); err != nil {
		return err
	}
	if c.ID != exampleID {
		return errors.New("wrong key")
	}
	return c.Verify(r, exampleSecret, bucket)
}

func TestPublishedExample(t *testing.T) {
	r := request(t, "GET", "/photos/puppy.jpg?"+exampleQuery)
	if err := check(r, time.Unix(1175139600, 0), "johnsmith"); err != nil {
		t.Fatal(err)
	}
}

func TestRefusals(t *testing.T) {
	before := time.Unix(1175139600, 0)
	tests := []struct {
		name, method, target string
		now                  time.Time
		bucket               string
		want                 error
	}{
		{"other method", "HEAD", "/photos/puppy.jpg?" + exampleQuery, before, "johnsmith", sigv4.ErrMismatch},
		{"write", "PUT", "/photos/puppy.jpg?" + exampleQuery, before, "johnsmith", sigv4.ErrUnsupported},
		{"delete", "DELETE", "/photos/puppy.jpg?" + exampleQuery, before, "johnsmith", sigv4.ErrUnsupported},
		{"other key", "GET", "/photos/puppy.jpeg?" + exampleQuery, before, "johnsmith", sigv4.ErrMismatch},
		{"same key, other escapes", "GET", "/photos/pupp%79.jpg?" + exampleQuery, before, "johnsmith", sigv4.ErrMismatch},
		{"other bucket", "GET", "/photos/puppy.jpg?" + exampleQuery, before, "johnsmyth", sigv4.ErrMismatch},
		{"no bucket", "GET", "/photos/puppy.jpg?" + exampleQuery, before, "", sigv4.ErrMismatch},
		{"expired", "GET", "/photos/puppy.jpg?" + exampleQuery, time.Unix(1175139621, 0), "johnsmith", sigv4.ErrExpired},
		{"too far ahead", "GET", "/photos/puppy.jpg?" + exampleQuery, time.Unix(1175139620-8*86400, 0), "johnsmith", sigv4.ErrMalformedQuery},
		{"longer life", "GET", "/photos/puppy.jpg?" + strings.Replace(exampleQuery, "9620", "9999", 1), before, "johnsmith", sigv4.ErrMismatch},
		{"added subresource", "GET", "/photos/puppy.jpg?acl&" + exampleQuery, before, "johnsmith", sigv4.ErrMismatch},
		{"added version", "GET", "/photos/puppy.jpg?versionId=3&" + exampleQuery, before, "johnsmith", sigv4.ErrMismatch},
		{"added override", "GET", "/photos/puppy.jpg?response-content-type=text/html&" + exampleQuery, before, "johnsmith", sigv4.ErrMismatch},
		{"added uncovered parameter", "GET", "/photos/puppy.jpg?prefix=a&" + exampleQuery, before, "johnsmith", sigv4.ErrUnsignedHeader},
		{"duplicate", "GET", "/photos/puppy.jpg?Expires=1&" + exampleQuery, before, "johnsmith", sigv4.ErrAmbiguous},
		{"no expiry", "GET", "/photos/puppy.jpg?AWSAccessKeyId=A&Signature=B", before, "johnsmith", sigv4.ErrMalformedQuery},
		{"bad expiry", "GET", "/photos/puppy.jpg?AWSAccessKeyId=A&Signature=B&Expires=soon", before, "johnsmith", sigv4.ErrMalformedQuery},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := check(request(t, tt.method, tt.target), tt.now, tt.bucket); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

func TestAddedHeaderIsRefused(t *testing.T) {
	r := request(t, "GET", "/photos/puppy.jpg?"+exampleQuery)
	r.Header.Set("X-Amz-Meta-Added", "1")
	if err := check(r, time.Unix(1175139600, 0), "johnsmith"); !errors.Is(err, sigv4.ErrMismatch) {
		t.Errorf("got %v, want %v", err, sigv4.ErrMismatch)
	}
}
