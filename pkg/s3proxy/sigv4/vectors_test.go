package sigv4

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"
)

// The examples that AWS publishes for S3 ("Authenticating Requests: Using the
// Authorization Header" and "… Using Query Parameters" in the S3 API
// reference): one key pair, one time, one bucket.
const (
	exampleID     = "AKIAIOSFODNN7EXAMPLE"
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	exampleTime   = "20130524T000000Z"
	exampleURL    = "https://examplebucket.s3.amazonaws.com"
	exampleAuth   = "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
)

func exampleNow(t *testing.T) time.Time {
	t.Helper()
	at, err := time.Parse(TimeFormat, exampleTime)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// check does with a request what a server does.
func check(r *http.Request, now time.Time, secret string) error {
	req, err := FromHTTP(r)
	if err != nil {
		return err
	}
	c, err := Parse(req)
	if err != nil {
		return err
	}
	if err := c.CheckTime(now); err != nil {
		return err
	}
	return c.Verify(req, secret)
}

func newRequest(t testing.TB, method, target string, headers ...string) *http.Request {
	t.Helper()
	r, err := http.NewRequest(method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func TestPublishedHeaderExamples(t *testing.T) {
	tests := []struct {
		name, method, target, signed, signature string
		headers                                 []string
	}{
		{
			"get object", "GET", "/test.txt", "host;range;x-amz-content-sha256;x-amz-date",
			"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
			[]string{"Range: bytes=0-9", "X-Amz-Content-Sha256: " + EmptyPayload},
		},
		{
			"put object", "PUT", "/test$file.text", "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
			"98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
			[]string{
				"Date: Fri, 24 May 2013 00:00:00 GMT", "X-Amz-Storage-Class: REDUCED_REDUNDANCY",
				"X-Amz-Content-Sha256: " + HashPayload([]byte("Welcome to Amazon S3.")),
			},
		},
		{
			"bucket lifecycle", "GET", "/?lifecycle", "host;x-amz-content-sha256;x-amz-date",
			"fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
			[]string{"X-Amz-Content-Sha256: " + EmptyPayload},
		},
		{
			"list objects", "GET", "/?max-keys=2&prefix=J", "host;x-amz-content-sha256;x-amz-date",
			"34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
			[]string{"X-Amz-Content-Sha256: " + EmptyPayload},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRequest(t, tt.method, exampleURL+tt.target, append(tt.headers,
				"X-Amz-Date: "+exampleTime,
				"Authorization: "+exampleAuth+"SignedHeaders="+tt.signed+",Signature="+tt.signature)...)
			if err := check(r, exampleNow(t), exampleSecret); err != nil {
				t.Fatal(err)
			}
			if err := check(r, exampleNow(t), exampleSecret+"x"); !errors.Is(err, ErrMismatch) {
				t.Errorf("other secret: got %v, want %v", err, ErrMismatch)
			}
		})
	}
}

const examplePresigned = exampleURL + "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256" +
	"&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
	"&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"

const examplePresignedSignature = "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404"

func TestPublishedPresignedExample(t *testing.T) {
	r := newRequest(t, "GET", examplePresigned+"&X-Amz-Signature="+examplePresignedSignature)
	now := exampleNow(t)
	for age, want := range map[time.Duration]error{
		-time.Hour: ErrNotYet, -31 * time.Second: ErrNotYet, -30 * time.Second: nil,
		0: nil, 24 * time.Hour: nil, 24*time.Hour + 1: ErrExpired,
	} {
		if err := check(r, now.Add(age), exampleSecret); !errors.Is(err, want) {
			t.Errorf("after %v: got %v, want %v", age, err, want)
		}
	}
	s := Signer{ID: exampleID, Secret: exampleSecret}
	u, err := s.Presign(newRequest(t, "GET", exampleURL+"/test.txt"), 24*time.Hour, now)
	if err != nil {
		t.Fatal(err)
	}
	if got := u.Query().Get("X-Amz-Signature"); got != examplePresignedSignature {
		t.Errorf("Presign gives signature %s, want %s", got, examplePresignedSignature)
	}
}

// TestPublishedVanilla is the case get-vanilla of AWS's signature test suite,
// which signs for a service of another name.
func TestPublishedVanilla(t *testing.T) {
	at, err := time.Parse(TimeFormat, "20150830T123600Z")
	if err != nil {
		t.Fatal(err)
	}
	r := newRequest(t, "GET", "https://example.amazonaws.com/", "X-Amz-Date: 20150830T123600Z")
	req, err := FromHTTP(r)
	if err != nil {
		t.Fatal(err)
	}
	c := covered{at: at, scope: Scope{"20150830", "us-east-1", "service"}, headers: []string{"host", "x-amz-date"}, payload: EmptyPayload}
	const want = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
	if got := c.signature(req, "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
