package s3proxy_test

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"hash/crc32"
	"net/http"
	"strings"
	"testing"

	"github.com/minio/crc64nvme"
)

// newHash returns the hash of a checksum algorithm named as in headers.
func newHash(name string) hash.Hash {
	switch name {
	case "crc32":
		return crc32.NewIEEE()
	case "crc32c":
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case "crc64nvme":
		return crc64nvme.New()
	case "sha1":
		return sha1.New()
	}
	return sha256.New()
}

func sumOf(name, content string) string {
	h := newHash(name)
	h.Write([]byte(content))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

var algorithmNames = []string{"crc32", "crc32c", "crc64nvme", "sha1", "sha256"}

func TestPutKeepsWhatItWasGiven(t *testing.T) {
	r := newRig(t)
	w := r.ok("PUT", "/bkt/k", "content",
		"Content-Type: text/x-a", "Cache-Control: no-store", "Content-Disposition: inline", "Content-Encoding: aws-chunked,gzip",
		"Content-Language: fr", "Expires: never", "X-Amz-Meta-Colour: blue", "X-Amz-Meta-Name: =?UTF-8?B?Wm/Dqw==?=",
		"X-Amz-Tagging: a=1&b=2%203", "X-Amz-Acl: public-read", "X-Amz-Storage-Class: GLACIER")
	if got, want := header(w, "ETag"), fmt.Sprintf(`"%x"`, md5.Sum([]byte("content"))); got != want {
		t.Errorf("ETag %s, want %s", got, want)
	}
	if header(w, "x-amz-version-id") == "" || header(w, "x-amz-checksum-crc64nvme") != sumOf("crc64nvme", "content") {
		t.Errorf("answered with %v", w.Header())
	}
	w = r.ok("GET", "/bkt/k", "")
	for name, want := range map[string]string{
		"Content-Type": "text/x-a", "Cache-Control": "no-store", "Content-Disposition": "inline", "Content-Encoding": "gzip",
		"Content-Language": "fr", "Expires": "never", "x-amz-meta-colour": "blue", "x-amz-meta-name": "=?UTF-8?b?Wm/Dqw==?=",
		"x-amz-tagging-count": "2", "x-amz-storage-class": "", "x-amz-checksum-crc64nvme": "",
	} {
		if got := header(w, name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for given, kept := range map[string]string{"deflate, gzip": "deflate, gzip", "deflate,gzip": "deflate,gzip", "gzip, aws-chunked": "gzip", "aws-chunked, deflate,gzip": "deflate, gzip"} {
		r.ok("PUT", "/bkt/plain", "x", "Content-Encoding: "+given)
		if w := r.ok("HEAD", "/bkt/plain", ""); header(w, "Content-Encoding") != kept {
			t.Errorf("Content-Encoding %q is kept as %q", given, w.Header()["Content-Encoding"])
		}
	}
	r.ok("PUT", "/bkt/plain", "x", "Content-Encoding: aws-chunked")
	if w := r.ok("HEAD", "/bkt/plain", ""); w.Header()["Content-Encoding"] != nil {
		t.Errorf("aws-chunked is left: %q", w.Header()["Content-Encoding"])
	}
}

func TestPutOverwritesAndNests(t *testing.T) {
	r := newRig(t)
	for _, key := range []string{"foo/bar", "foo/bar/xyzzy", "foo/", "foo", "a%20%2B%25%26%3D%C3%A9", "x%0Ay", strings.Repeat("k", 1024)} {
		r.ok("PUT", "/bkt/"+key, key)
		r.ok("PUT", "/bkt/"+key, key+"!")
	}
	for _, key := range []string{"foo/bar", "foo/bar/xyzzy", "foo/", "foo", "a%20%2B%25%26%3D%C3%A9", "x%0Ay"} {
		r.holds("/bkt/"+key, key+"!")
	}
	r.refused(400, "KeyTooLongError", "PUT", "/bkt/"+strings.Repeat("k", 1025), "x")
	r.refused(404, "NoSuchBucket", "PUT", "/nobucket/k", "x")
	r.refused(400, "InvalidURI", "PUT", "/bkt/%ff", "x")
}

func TestPutChecksItsBody(t *testing.T) {
	r := newRig(t)
	sum := md5.Sum([]byte("content"))
	good := base64.StdEncoding.EncodeToString(sum[:])
	r.ok("PUT", "/bkt/good", "content", "Content-Md5: "+good)
	other := md5.Sum([]byte("other"))
	tests := []struct {
		name, code string
		status     int
		headers    []string
	}{
		{"other MD5", "BadDigest", 400, []string{"Content-Md5: " + base64.StdEncoding.EncodeToString(other[:])}},
		{"MD5 too short", "InvalidDigest", 400, []string{"Content-Md5: YWJyYWNhZGFicmE="}},
		{"MD5 in hex", "InvalidDigest", 400, []string{"Content-Md5: " + hex.EncodeToString(sum[:])}},
		{"empty MD5", "InvalidDigest", 400, []string{"Content-Md5: "}},
		{"two checksums", "InvalidRequest", 400, []string{"X-Amz-Checksum-Crc32: " + sumOf("crc32", "content"), "X-Amz-Checksum-Sha1: " + sumOf("sha1", "content")}},
		{"unknown checksum", "InvalidRequest", 400, []string{"X-Amz-Checksum-Md7: AAAA"}},
		{"checksum of another algorithm", "InvalidRequest", 400, []string{"X-Amz-Sdk-Checksum-Algorithm: SHA1", "X-Amz-Checksum-Crc32: " + sumOf("crc32", "content")}},
		{"announced checksum missing", "InvalidRequest", 400, []string{"X-Amz-Sdk-Checksum-Algorithm: CRC32"}},
		{"unknown algorithm", "InvalidRequest", 400, []string{"X-Amz-Sdk-Checksum-Algorithm: CRC7"}},
		{"trailer without a stream", "InvalidRequest", 400, []string{"X-Amz-Trailer: x-amz-checksum-crc32"}},
		{"unknown storage class", "InvalidStorageClass", 400, []string{"X-Amz-Storage-Class: SHELF"}},
		{"unknown ACL", "InvalidArgument", 400, []string{"X-Amz-Acl: everybody"}},
		{"encryption", "NotImplemented", 501, []string{"X-Amz-Server-Side-Encryption: AES256"}},
		{"the client's key", "NotImplemented", 501, []string{"X-Amz-Server-Side-Encryption-Customer-Algorithm: AES256"}},
		{"appending", "NotImplemented", 501, []string{"X-Amz-Write-Offset-Bytes: 0"}},
		{"lock", "InvalidRequest", 400, []string{"X-Amz-Object-Lock-Mode: COMPLIANCE"}},
		{"metadata too large", "MetadataTooLarge", 400, []string{"X-Amz-Meta-A: " + strings.Repeat("x", 2048)}},
		{"eleven tags", "BadRequest", 400, []string{"X-Amz-Tagging: a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&i=1&j=1&k=1"}},
		{"tag twice", "InvalidArgument", 400, []string{"X-Amz-Tagging: a=1&a=2"}},
		{"endless tag", "InvalidTag", 400, []string{"X-Amz-Tagging: a=" + strings.Repeat("x", 257)}},
		{"tag of the system", "InvalidTag", 400, []string{"X-Amz-Tagging: aws%3Aa=1"}},
		{"tags not escaped", "InvalidArgument", 400, []string{"X-Amz-Tagging: a=%"}},
	}
	for _, a := range algorithmNames {
		name := "X-Amz-Checksum-" + a
		r.ok("PUT", "/bkt/"+a, "content", name+": "+sumOf(a, "content"), "X-Amz-Sdk-Checksum-Algorithm: "+strings.ToUpper(a))
		w := r.ok("HEAD", "/bkt/"+a, "", "X-Amz-Checksum-Mode: ENABLED")
		if header(w, "x-amz-checksum-"+a) != sumOf(a, "content") || header(w, "x-amz-checksum-type") != "FULL_OBJECT" {
			t.Errorf("%s: HEAD answers %v", a, w.Header())
		}
		w = r.ok("GET", "/bkt/"+a, "", "X-Amz-Checksum-Mode: ENABLED", "Range: bytes=0-2")
		if w.Code != 206 || header(w, "x-amz-checksum-"+a) != "" {
			t.Errorf("%s: a part is answered with the checksum of the whole", a)
		}
		for _, bad := range []struct{ name, code, value string }{
			{"other " + a, "BadDigest", sumOf(a, "other")},
			{"bad " + a, "InvalidRequest", "bad"},
			{"short " + a, "InvalidRequest", "AAA="},
			{"empty " + a, "InvalidRequest", ""},
		} {
			tests = append(tests, struct {
				name, code string
				status     int
				headers    []string
			}{bad.name, bad.code, 400, []string{name + ": " + bad.value}})
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			rig{t: t, h: r.h, s: r.s}.refused(tt.status, tt.code, "PUT", "/bkt/bad", "content", tt.headers...)
			r.holds("/bkt/bad", "-")
		})
	}
}

// TestGreeting has clients expect a 100 Continue before an empty body. Who is
// refused in its place is cut off: botocore would take the answer to its next
// request on the connection for more of this one.
func TestGreeting(t *testing.T) {
	r := newRig(t)
	r.ok("PUT", "/bkt/there", "content")
	for _, tt := range []struct {
		name, header  string
		greeted, ends bool
	}{
		{"accepted", "X-Amz-Meta-A: b", true, false},
		{"refused after it was told to continue", "If-None-Match: *", true, false},
		{"refused at once", "X-Amz-Storage-Class: SHELF", false, true},
	} {
		w := r.send("PUT", "/bkt/there", "", "Expect: 100-continue", tt.header)
		if greeted := w.Code == http.StatusContinue; greeted != tt.greeted || (header(w, "Connection") == "close") != tt.ends {
			t.Errorf("%s: got %d, %v", tt.name, w.Code, w.Header())
		}
	}
	if w := r.send("PUT", "/bkt/there", "", "X-Amz-Storage-Class: SHELF"); header(w, "Connection") != "" {
		t.Errorf("who expects nothing is cut off: %v", w.Header())
	}
}

func TestPutWithoutLength(t *testing.T) {
	r := newRig(t)
	a := attempt{method: "PUT", target: "/bkt/k", body: "content"}
	want(t, serve(r.h, attempt{method: "PUT", target: "/bkt/k"}.byHeader(t)), 411, "MissingContentLength")
	a.after = func(r *http.Request) { r.ContentLength = -1 }
	want(t, serve(r.h, a.byHeader(t)), 411, "MissingContentLength")
	a.after = func(r *http.Request) { r.ContentLength = 8 }
	want(t, serve(r.h, a.byHeader(t)), 400, "IncompleteBody")
	a.after = func(r *http.Request) { r.ContentLength = 6 }
	want(t, serve(r.h, a.byHeader(t)), 400, "IncompleteBody")
	a.after = func(r *http.Request) { r.ContentLength = 5<<30 + 1 }
	want(t, serve(r.h, a.byHeader(t)), 400, "EntityTooLarge")
	r.holds("/bkt/k", "-")
	r.ok("PUT", "/bkt/k", "")
	r.holds("/bkt/k", "")
}

func TestConditionalPut(t *testing.T) {
	r := newRig(t)
	r.refused(404, "NoSuchKey", "PUT", "/bkt/new", "x", `If-Match: "abc"`)
	r.refused(412, "PreconditionFailed", "PUT", "/bkt/new", "x", "If-Match: *")
	r.holds("/bkt/new", "-")
	etag := header(r.ok("PUT", "/bkt/new", "1", "If-None-Match: *"), "ETag")
	r.refused(412, "PreconditionFailed", "PUT", "/bkt/new", "2", "If-None-Match: *")
	r.refused(412, "PreconditionFailed", "PUT", "/bkt/new", "2", "If-None-Match: "+etag)
	r.refused(412, "PreconditionFailed", "PUT", "/bkt/new", "2", `If-Match: "abc"`)
	r.holds("/bkt/new", "1")
	r.ok("PUT", "/bkt/new", "2", "If-Match: "+etag)
	r.ok("PUT", "/bkt/new", "3", `If-None-Match: "abc"`)
	r.ok("PUT", "/bkt/new", "4", "If-Match: *")
	r.holds("/bkt/new", "4")
}

// stream signs a body in chunks, with code of its own.
func stream(a attempt, chunks []string, trailer, mode string) attempt {
	signed := strings.Contains(mode, "HMAC")
	size := 0
	for _, c := range chunks {
		size += len(c)
	}
	a.payload = mode
	a.headers = append(a.headers, [2]string{"X-Amz-Decoded-Content-Length", fmt.Sprint(size)}, [2]string{"Content-Encoding", "aws-chunked"})
	a.after = func(r *http.Request) {
		auth := r.Header.Get("Authorization")
		last := auth[len(auth)-64:]
		key := []byte("AWS4" + testSecret)
		for _, part := range []string{testNow.Format("20060102"), "us-east-1", "s3", "aws4_request"} {
			key = hmacSHA256(key, part)
		}
		sign := func(kind, empty, data string) string {
			sum := sha256.Sum256([]byte(data))
			last = hex.EncodeToString(hmacSHA256(key, "AWS4-HMAC-SHA256-"+kind+"\n"+testNow.Format("20060102T150405Z")+"\n"+
				testNow.Format("20060102")+"/us-east-1/s3/aws4_request\n"+last+"\n"+empty+hex.EncodeToString(sum[:])))
			return last
		}
		empty := sha256.Sum256(nil)
		var b strings.Builder
		for _, c := range append(chunks, "") {
			extension := ""
			if signed {
				extension = ";chunk-signature=" + sign("PAYLOAD", hex.EncodeToString(empty[:])+"\n", c)
			}
			fmt.Fprintf(&b, "%x%s\r\n%s", len(c), extension, c)
			if c != "" {
				b.WriteString("\r\n")
			}
		}
		if trailer != "" {
			b.WriteString(trailer + "\r\n")
			if signed {
				b.WriteString("x-amz-trailer-signature:" + sign("TRAILER", "", trailer+"\n") + "\r\n")
			}
		}
		b.WriteString("\r\n")
		body := b.String()
		if a.body != "" { // what to do with it
			old, with, _ := strings.Cut(a.body, "=>")
			body = strings.Replace(body, old, with, 1)
		}
		r.Body, r.ContentLength = http.NoBody, int64(len(body))
		r.Body = readCloser{strings.NewReader(body)}
	}
	return a
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

func TestStreamedPut(t *testing.T) {
	r := newRig(t)
	chunks := []string{strings.Repeat("a", 8192), strings.Repeat("b", 10000), "c"}
	content := strings.Join(chunks, "")
	const signed, unsignedTrailer, signedTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	put := func(key, body, trailer, mode string, chunks []string, headers ...[2]string) attempt {
		a := attempt{method: "PUT", target: "/bkt/" + key, body: body, headers: headers}
		if trailer != "" {
			name, _, _ := strings.Cut(trailer, ":")
			a.headers = append(a.headers, [2]string{"X-Amz-Trailer", name})
		}
		return stream(a, chunks, trailer, mode)
	}
	if w := serve(r.h, put("plain", "", "", signed, chunks).byHeader(t)); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	r.holds("/bkt/plain", content)
	if w := serve(r.h, put("none", "", "", signed, nil).byHeader(t)); w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	r.holds("/bkt/none", "")
	for _, a := range algorithmNames {
		for _, mode := range []string{unsignedTrailer, signedTrailer} {
			line := "x-amz-checksum-" + a + ":" + sumOf(a, content)
			if w := serve(r.h, put(a, "", line, mode, chunks).byHeader(t)); w.Code != 200 || header(w, "x-amz-checksum-"+a) != sumOf(a, content) {
				t.Errorf("%s %s: %d %s", mode, a, w.Code, w.Body)
			}
			w := r.ok("GET", "/bkt/"+a, "", "X-Amz-Checksum-Mode: ENABLED")
			if w.Body.String() != content || header(w, "x-amz-checksum-"+a) != sumOf(a, content) || w.Header()["Content-Encoding"] != nil {
				t.Errorf("%s %s: stored as %v", mode, a, w.Header())
			}
			w = serve(r.h, put("bad", "", "x-amz-checksum-"+a+":"+sumOf(a, "other"), mode, chunks).byHeader(t))
			want(t, w, 400, "BadDigest")
			w = serve(r.h, put("bad", "", "x-amz-checksum-"+a+":nonsense", mode, chunks).byHeader(t))
			want(t, w, 400, "InvalidRequest")
		}
	}
	for _, tt := range []struct {
		name, edit, trailer, mode string
		status                    int
		code                      string
	}{
		{"content changed", "ab=>bb", "", signed, 403, "SignatureDoesNotMatch"},
		{"chunk signature changed", "chunk-signature==>chunk-signature=0000000000000000000000000000000000000000000000000000000000000000;", "", signed, 400, "InvalidRequest"},
		{"no final chunk", "\r\n0;=>", "", signed, 400, "InvalidRequest"},
		{"trailer in a stream without", "", "x-amz-checksum-crc32:AAAAAA==", signed, 400, "InvalidRequest"},
		{"announced under another name", "crc32:=>crc32c:", "x-amz-checksum-crc32:AAAAAA==", unsignedTrailer, 400, "MalformedTrailerError"},
		{"trailer of no checksum", "", "x-amz-meta-a:b", unsignedTrailer, 400, "InvalidRequest"},
		{"signed trailer changed", "crc32:AAAA=>crc32:AAAB", "x-amz-checksum-crc32:AAAAAA==", signedTrailer, 403, "SignatureDoesNotMatch"},
		{"trailer signature missing", "x-amz-trailer-signature:=>x-other:", "x-amz-checksum-crc32:AAAAAA==", signedTrailer, 400, "MalformedTrailerError"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want(t, serve(r.h, put("bad", tt.edit, tt.trailer, tt.mode, chunks).byHeader(t)), tt.status, tt.code)
			r.holds("/bkt/bad", "-")
		})
	}
	small := []string{"1", "2", "3"}
	want(t, serve(r.h, put("bad", "", "", signed, small).byHeader(t)), 403, "InvalidChunkSizeError")
	for _, length := range []string{"", "x", "-1", "18192", "18194"} {
		a := put("bad", "", "", signed, chunks)
		for i := range a.headers {
			if a.headers[i][0] == "X-Amz-Decoded-Content-Length" {
				a.headers[i][1] = length
			}
		}
		if w := serve(r.h, a.byHeader(t)); w.Code != 400 && w.Code != 411 {
			t.Errorf("decoded length %q: %d %s", length, w.Code, w.Body)
		}
	}
	r.holds("/bkt/bad", "-")
}
