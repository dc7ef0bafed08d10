package s3proxy

import (
	"net"
	"strings"
	"unicode/utf8"
)

// maxKeyBytes is S3's limit on a key.
const maxKeyBytes = 1024

// target is what a request is about: the service, a bucket, or an object.
type target struct {
	bucket, key string
	hostBucket  string // the bucket, if the host named it
}

// locate splits a host and a path that has been decoded once into a target.
// It is the only place where a path becomes a bucket and a key.
func locate(host, path, domain string) target {
	path = strings.TrimPrefix(path, "/")
	if b := bucketOfHost(host, domain); b != "" {
		return target{bucket: b, key: path, hostBucket: b}
	}
	bucket, key, _ := strings.Cut(path, "/")
	return target{bucket: bucket, key: key}
}

// bucketOfHost returns the bucket that a virtual host names below domain, or "".
func bucketOfHost(host, domain string) string {
	if domain == "" {
		return ""
	}
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	bucket, ok := strings.CutSuffix(strings.ToLower(host), "."+strings.ToLower(domain))
	if !ok {
		return ""
	}
	return bucket
}

// check refuses names that no S3 bucket or key can have.
func (t target) check() error {
	switch {
	case t.bucket == "" && t.key != "":
		return fail(codeInvalidBucketName)
	case t.bucket != "" && !isBucketName(t.bucket):
		return fail(codeInvalidBucketName)
	case len(t.key) > maxKeyBytes:
		return fail(codeKeyTooLong)
	case !utf8.ValidString(t.key) || strings.ContainsRune(t.key, 0):
		return fail(codeInvalidURI)
	}
	return nil
}

// isBucketName holds to the oldest of S3's rules, which later ones narrowed.
func isBucketName(s string) bool {
	if len(s) > 255 || s == "." || s == ".." {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// isNewBucketName holds to the rules that S3 has for new buckets.
func isNewBucketName(s string) bool {
	if len(s) < 3 || len(s) > 63 || net.ParseIP(s) != nil || strings.Contains(s, "..") ||
		strings.Contains(s, ".-") || strings.Contains(s, "-.") ||
		strings.HasPrefix(s, "xn--") || strings.HasSuffix(s, "-s3alias") {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		word := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !word && (c != '.' && c != '-' || i == 0 || i == len(s)-1) {
			return false
		}
	}
	return true
}

// resource is the target as S3 writes it into errors.
func (t target) resource() string {
	switch {
	case t.bucket == "":
		return "/"
	case t.key == "":
		return "/" + t.bucket
	}
	return "/" + t.bucket + "/" + t.key
}
