package sigv4

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

const (
	// Algorithm names the one algorithm that this package speaks.
	Algorithm = "AWS4-HMAC-SHA256"
	// TimeFormat is the layout of x-amz-date, always in UTC.
	TimeFormat = "20060102T150405Z"

	dayFormat  = "20060102"
	terminator = "aws4_request"
	serviceS3  = "s3"
)

// Scope is what a signing key is bound to beside its secret.
type Scope struct {
	// Day is the UTC day of the signature, as 20060102.
	Day string
	// Region is the region that the client signed for.
	Region string
	// Service is the service that the client signed for; S3's is "s3".
	Service string
}

// String returns the scope as it is written into credentials and hashed.
func (s Scope) String() string {
	return s.Day + "/" + s.Region + "/" + s.Service + "/" + terminator
}

// key derives the signing key of a secret in this scope.
func (s Scope) key(secret string) []byte {
	k := mac([]byte("AWS4"+secret), s.Day)
	k = mac(k, s.Region)
	k = mac(k, s.Service)
	return mac(k, terminator)
}

// covered is everything beside the request that goes into a signature.
type covered struct {
	at      time.Time
	scope   Scope
	headers []string // lower case, sorted
	payload string
	skip    string // query parameter left out: the signature itself
}

// signature returns the hex signature of r under secret.
func (c covered) signature(r *Request, secret string) string {
	return hex.EncodeToString(mac(c.scope.key(secret), c.stringToSign(r)))
}

func (c covered) stringToSign(r *Request) string {
	sum := sha256.Sum256([]byte(c.canonicalRequest(r)))
	return Algorithm + "\n" + c.at.UTC().Format(TimeFormat) + "\n" + c.scope.String() + "\n" + hex.EncodeToString(sum[:])
}

func (c covered) canonicalRequest(r *Request) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + EscapePath(r.Path) + "\n" + r.Query.canonical(c.skip) + "\n")
	for _, name := range c.headers {
		value, _ := r.header(name)
		b.WriteString(name + ":" + value + "\n")
	}
	b.WriteString("\n" + strings.Join(c.headers, ";") + "\n" + c.payload)
	return b.String()
}

func mac(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(data))
	return h.Sum(nil)
}
