package s3proxy_test

import (
	"fmt"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/s3proxy"
)

// TestNamesThatContradictTheOperation: a query that names a part or a version
// is not taken for a plain write of the key.
func TestNamesThatContradictTheOperation(t *testing.T) {
	r := newRig(t)
	for _, query := range []string{"partNumber=1", "versionId=x", "versionId=", "uploadId=&partNumber=1", "partNumber=1&versionId=x"} {
		if w := r.send("PUT", "/bkt/new?"+query, "x"); w.Code < 400 || w.Code >= 500 {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
		if w := r.send("PUT", "/bkt/new?"+query, "", "X-Amz-Copy-Source: /bkt/hello.txt"); w.Code < 400 || w.Code >= 500 {
			t.Errorf("copy with %s: %d %s", query, w.Code, w.Body)
		}
		r.holds("/bkt/new", "-")
	}
}

// TestDeletionsNobodyVouchesFor: a list of deletions needs a digest, whether the
// signature covers it or not.
func TestDeletionsNobodyVouchesFor(t *testing.T) {
	r := newRig(t)
	doc := "<Delete><Object><Key>hello.txt</Key></Object></Delete>"
	send := func(headers ...[2]string) *httptest.ResponseRecorder {
		return serve(r.h, attempt{method: "POST", target: "/bkt?delete", body: doc, payload: "UNSIGNED-PAYLOAD", headers: headers}.byHeader(t))
	}
	want(t, send(), 400, "InvalidRequest")
	want(t, serve(r.h, attempt{method: "POST", target: "/bkt?delete", body: doc}.byHeader(t)), 400, "InvalidRequest")
	r.holds("/bkt/hello.txt", "0123456789")
	want(t, send([2]string{"X-Amz-Checksum-Crc32", sumOf("crc32", "other")}), 400, "BadDigest")
	r.holds("/bkt/hello.txt", "0123456789")
	if w := send([2]string{"X-Amz-Checksum-Crc32", sumOf("crc32", doc)}); w.Code != 200 {
		t.Errorf("with a checksum: %d %s", w.Code, w.Body)
	}
	r.holds("/bkt/hello.txt", "-")
}

// TestPartsOfAnObject reads an object by the parts that it came in.
func TestPartsOfAnObject(t *testing.T) {
	r := newRig(t)
	up := r.begin("k")
	e1, e3 := r.part(up, 1, big("a")), r.part(up, 3, "tail")
	doc := "<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>" + e1 + "</ETag></Part><Part><PartNumber>3</PartNumber><ETag>" + e3 + "</ETag></Part></CompleteMultipartUpload>"
	r.ok("POST", up, doc)
	for _, method := range []string{"GET", "HEAD"} {
		w := r.send(method, "/bkt/k?partNumber=3", "")
		if w.Code != 206 || header(w, "x-amz-mp-parts-count") != "2" || header(w, "Content-Range") != "bytes 5242880-5242883/5242884" || header(w, "Content-Length") != "4" {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
		if method == "GET" && w.Body.String() != "tail" {
			t.Errorf("part 3 is %q", w.Body)
		}
		if w := r.send(method, "/bkt/k?partNumber=2", ""); w.Code != 416 {
			t.Errorf("%s of a part that is not there: %d", method, w.Code)
		}
	}
	w := r.ok("GET", "/bkt/k?attributes", "", "X-Amz-Object-Attributes: ObjectParts, ObjectSize")
	if element(t, w, "PartsCount") != "2" || element(t, w, "ObjectSize") != "5242884" || strings.Count(w.Body.String(), "<Part>") != 2 {
		t.Errorf("attributes: %s", w.Body)
	}
	w = r.ok("GET", "/bkt/k?attributes", "", "X-Amz-Object-Attributes: ObjectParts", "X-Amz-Part-Number-Marker: 1", "X-Amz-Max-Parts: 1")
	if element(t, w, "PartNumber") != "3" || element(t, w, "IsTruncated") != "false" || element(t, w, "NextPartNumberMarker") != "3" {
		t.Errorf("attributes of the rest: %s", w.Body)
	}
	plain := s3proxy.ObjectInfo{Key: "plain", Parts: []s3proxy.Part{{Number: 1, Size: 3}, {Number: 2, Size: 1}}} // without checksums
	if err := r.s.Add("bkt", plain, []byte("abcd")); err != nil {
		t.Fatal(err)
	}
	w = r.ok("GET", "/bkt/plain?attributes", "", "X-Amz-Object-Attributes: ObjectParts")
	if !strings.Contains(w.Body.String(), "<Part><PartNumber>1</PartNumber><Size>3</Size></Part><Part><PartNumber>2</PartNumber><Size>1</Size></Part>") {
		t.Errorf("attributes without checksums: %s", w.Body)
	}
}

// TestConditionalComplete holds that a condition is asked when the object is
// made, and that an upload which is refused by it goes on.
func TestConditionalComplete(t *testing.T) {
	r := newRig(t)
	etag := header(r.ok("PUT", "/bkt/k", "old"), "ETag")
	up := r.begin("k")
	doc := numbered(r.part(up, 1, "new"))
	r.refused(412, "PreconditionFailed", "POST", up, doc, "If-None-Match: *")
	r.refused(412, "PreconditionFailed", "POST", up, doc, `If-Match: "abc"`)
	r.holds("/bkt/k", "old")
	r.ok("POST", up, doc, "If-Match: "+etag)
	r.holds("/bkt/k", "new")
	r.ok("POST", up, doc, "If-Match: "+etag) // again: the first answer was lost
	up = r.begin("none")
	doc = numbered(r.part(up, 1, "new"))
	r.refused(404, "NoSuchKey", "POST", up, doc, `If-Match: "abc"`)
	r.ok("POST", up, doc, "If-None-Match: *")
	r.holds("/bkt/none", "new")
}

// TestPrecedence: what is refused by a condition is not looked at any further.
func TestPrecedence(t *testing.T) {
	r := newRig(t)
	for _, tt := range []struct {
		headers []string
		status  int
	}{
		{[]string{`If-Match: "x"`, "Range: bytes=100-"}, 412},
		{[]string{"If-None-Match: " + helloMD5, "Range: bytes=100-"}, 304},
		{[]string{"If-None-Match: " + helloMD5, "Range: bytes=0-1"}, 304},
		{[]string{`If-Match: "x"`, "If-None-Match: " + helloMD5}, 412},
		{[]string{"If-Match: " + helloMD5, "If-None-Match: " + helloMD5}, 304},
		{[]string{"If-Match: " + helloMD5, "Range: bytes=100-"}, 416},
		{[]string{"If-Range: " + helloMD5, "Range: bytes=1-2"}, 206},
		{[]string{`If-Range: "x"`, "Range: bytes=1-2"}, 200},
		{[]string{`If-Range: "x"`, "Range: bytes=100-"}, 200},
		{[]string{"If-Range: " + helloMD5, "Range: bytes=100-"}, 416},
		{[]string{"If-Range: " + sinceMod, "Range: bytes=1-2"}, 206},
		{[]string{"If-Range: " + before, "Range: bytes=1-2"}, 200},
		{[]string{"If-Range: W/" + helloMD5, "Range: bytes=1-2"}, 200},
	} {
		got, head := r.send("GET", "/bkt/hello.txt", "", tt.headers...), r.send("HEAD", "/bkt/hello.txt", "", tt.headers...)
		if got.Code != tt.status || head.Code != tt.status {
			t.Errorf("%q: GET %d, HEAD %d, want %d", tt.headers, got.Code, head.Code, tt.status)
		}
		if head.Body.Len() > 0 || tt.status == 304 && got.Body.Len() > 0 {
			t.Errorf("%q: a body where there is none", tt.headers)
		}
		if tt.status == 304 && (header(got, "ETag") != helloMD5 || header(head, "ETag") != helloMD5) {
			t.Errorf("%q: no ETag: %v", tt.headers, got.Header())
		}
		if tt.status < 300 {
			a, b := got.Header().Clone(), head.Header().Clone()
			for _, h := range []string{"x-amz-request-id", "x-amz-id-2"} {
				delete(a, h)
				delete(b, h)
			}
			if fmt.Sprint(a) != fmt.Sprint(b) {
				t.Errorf("%q: GET %v\nHEAD %v", tt.headers, a, b)
			}
		}
	}
}

// TestPagesOfOddNames goes through lists of names that need escaping, page by
// page, with the markers that the answers give.
func TestPagesOfOddNames(t *testing.T) {
	names := []string{"+", "a b", "a+b", "a%2Fb", "a&b=c", "d é/1", "d é/2", "foo/bar", "foo/bar/xyzzy", "z?x=y", "é%/1"}
	slices.Sort(names)
	h := withKeys(t, names...)
	unescape := func(s string) string {
		t.Helper()
		v, err := url.QueryUnescape(s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for _, delimiter := range []string{"", "/", "+", "é"} {
		for _, prefix := range []string{"", "d é", "foo/bar", "a"} {
			want := rolled(names, prefix, delimiter)
			var v1, v2 []string
			query := "encoding-type=url&max-keys=1&prefix=" + url.QueryEscape(prefix) + "&delimiter=" + url.QueryEscape(delimiter)
			for marker := ""; ; {
				l := list(t, h, query+"&marker="+url.QueryEscape(marker))
				if unescape(*l.Prefix) != prefix || unescape(*l.Marker) != marker || unescape(l.Delimiter) != delimiter {
					t.Fatalf("%s: %+v", query, l)
				}
				v1 = append(v1, unescape(l.keys()))
				if !l.IsTruncated {
					break
				}
				if marker = unescape(l.keys()); delimiter != "" {
					marker = unescape(*l.NextMarker)
				}
			}
			for token := ""; ; {
				l := list(t, h, query+"&list-type=2&continuation-token="+url.QueryEscape(token))
				v2 = append(v2, unescape(l.keys()))
				if !l.IsTruncated {
					break
				}
				token = *l.NextContinuationToken
			}
			if !slices.Equal(v1, want) || !slices.Equal(v2, want) {
				t.Errorf("prefix %q, delimiter %q:\nV1   %q\nV2   %q\nwant %q", prefix, delimiter, v1, v2, want)
			}
		}
	}
}

// rolled is what a list of sorted names has.
func rolled(names []string, prefix, delimiter string) (want []string) {
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok {
			continue
		}
		if i := strings.Index(rest, delimiter); delimiter != "" && i >= 0 {
			name = prefix + rest[:i+len(delimiter)]
		}
		if len(want) == 0 || want[len(want)-1] != name {
			want = append(want, name)
		}
	}
	return want
}

// TestEscapedUploadLists: the lists of uploads, parts and versions escape what
// the lists of objects escape.
func TestEscapedUploadLists(t *testing.T) {
	r := newRig(t)
	up := r.begin("p+%20q/a%20b")
	r.begin("p+%20q/c/d")
	r.part(up, 1, "x")
	w := r.ok("GET", up+"&encoding-type=url", "")
	if element(t, w, "Key") != "p%2B%20q/a%20b" || element(t, w, "EncodingType") != "url" {
		t.Errorf("parts: %s", w.Body)
	}
	w = r.ok("GET", "/bkt?uploads&encoding-type=url&delimiter=/&prefix=p%2B%20q/&key-marker=%20", "")
	for _, part := range []string{"<Key>p%2B%20q/a%20b</Key>", "<Prefix>p%2B%20q/</Prefix>", "<CommonPrefixes><Prefix>p%2B%20q/c/</Prefix></CommonPrefixes>", "<KeyMarker>%20</KeyMarker>"} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("uploads lack %s: %s", part, w.Body)
		}
	}
	r.ok("PUT", "/bkt/p+%20q/v%20w", "x")
	r.ok("PUT", "/bkt/p+%20q/y/z", "x")
	w = r.ok("GET", "/bkt?versions&encoding-type=url&delimiter=/&prefix=p%2B%20q/&key-marker=%20", "")
	for _, part := range []string{"<Key>p%2B%20q/v%20w</Key>", "<Prefix>p%2B%20q/</Prefix>", "<CommonPrefixes><Prefix>p%2B%20q/y/</Prefix></CommonPrefixes>", "<KeyMarker>%20</KeyMarker>"} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("versions lack %s: %s", part, w.Body)
		}
	}
	for _, query := range []string{up + "&encoding-type=utf", "/bkt?uploads&encoding-type=utf", "/bkt?versions&encoding-type=utf", "/bkt?encoding-type=utf"} {
		r.refused(400, "InvalidArgument", "GET", query, "")
	}
}

// TestFormsAtTheEdge posts files of just the lengths that a policy allows.
func TestFormsAtTheEdge(t *testing.T) {
	r := newRig(t)
	for file, status := range map[string]int{"1": 400, "12": 204, "1234567890": 204, "12345678901": 400} {
		if w := r.post(goodPolicy, file, nil); w.Code != status {
			t.Errorf("%d bytes: %d, want %d", len(file), w.Code, status)
		}
	}
	on := func(when string) int {
		return r.post(strings.Replace(goodPolicy, "2026-11-21T13:00:00Z", when, 1), "picture", nil).Code
	}
	if got := []int{on("2026-11-21T12:00:01Z"), on("2026-11-21T11:59:59Z"), on("2026-11-21T12:00:01.000Z"), on("soon")}; !slices.Equal(got, []int{204, 403, 204, 400}) {
		t.Errorf("expiring: %v", got)
	}
}

// TestCopyWithAnotherChecksum asks for a checksum that the source does not have.
func TestCopyWithAnotherChecksum(t *testing.T) {
	r := newRig(t)
	r.ok("PUT", "/bkt/src", "content", "X-Amz-Checksum-Sha1: "+sumOf("sha1", "content"))
	const from = "X-Amz-Copy-Source: /bkt/src"
	for asked, name := range map[string]string{"": "sha1", "SHA1": "sha1", "CRC32": "crc32", "crc64nvme": "crc64nvme", "SHA256": "sha256"} {
		headers := []string{from}
		if asked != "" {
			headers = append(headers, "X-Amz-Checksum-Algorithm: "+asked)
		}
		w := r.ok("PUT", "/bkt/dst", "", headers...)
		if got := element(t, w, "Checksum"+strings.ToUpper(name)); got != sumOf(name, "content") {
			t.Errorf("%q: the copy has %s", asked, got)
		}
		w = r.ok("HEAD", "/bkt/dst", "", "X-Amz-Checksum-Mode: ENABLED")
		if header(w, "x-amz-checksum-"+name) != sumOf(name, "content") || header(w, "x-amz-checksum-type") != "FULL_OBJECT" {
			t.Errorf("%q: HEAD answers %v", asked, w.Header())
		}
	}
	r.refused(400, "InvalidRequest", "PUT", "/bkt/dst", "", from, "X-Amz-Checksum-Algorithm: CRC7")
	r.ok("PUT", "/bkt/dst", "", "X-Amz-Copy-Source: /bkt/empty", "X-Amz-Checksum-Algorithm: SHA256")
	if w := r.ok("HEAD", "/bkt/dst", "", "X-Amz-Checksum-Mode: ENABLED"); header(w, "x-amz-checksum-sha256") != sumOf("sha256", "") {
		t.Errorf("of nothing: %v", w.Header())
	}
}
