package s3proxy_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"
)

// begin begins an upload and returns the target of its requests.
func (r rig) begin(key string, headers ...string) string {
	r.t.Helper()
	id := element(r.t, r.ok("POST", "/bkt/"+key+"?uploads", "", headers...), "UploadId")
	return "/bkt/" + key + "?uploadId=" + url.QueryEscape(id)
}

// part puts a part and returns its ETag.
func (r rig) part(target string, number int, content string, headers ...string) string {
	r.t.Helper()
	return header(r.ok("PUT", fmt.Sprintf("%s&partNumber=%d", target, number), content, headers...), "ETag")
}

// big is as long as a part has to be that is not the last.
func big(c string) string { return strings.Repeat(c, 5<<20) }

func TestMultipart(t *testing.T) {
	r := newRig(t)
	up := r.begin("dir/a%20b", "Content-Type: text/x-a", "X-Amz-Meta-A: b", "X-Amz-Tagging: t=1")
	e2, e1 := r.part(up, 2, "tail"), r.part(up, 1, big("x"))
	r.part(up, 3, "left out")
	r.holds("/bkt/dir/a%20b", "-")
	w := r.ok("GET", up+"&max-parts=2", "")
	for name, value := range map[string]string{"Key": "dir/a b", "IsTruncated": "true", "NextPartNumberMarker": "2", "MaxParts": "2"} {
		if got := element(t, w, name); got != value {
			t.Errorf("%s %q, want %q", name, got, value)
		}
	}
	w = r.ok("GET", up+"&part-number-marker=2", "")
	if element(t, w, "PartNumber") != "3" || element(t, w, "IsTruncated") != "false" || element(t, w, "ETag") == e1 {
		t.Errorf("second page: %s", w.Body)
	}
	done := numbered(e1, e2)
	first := r.ok("POST", up, done)
	etag := element(t, first, "ETag")
	a, b := md5.Sum([]byte(big("x"))), md5.Sum([]byte("tail"))
	whole := md5.Sum(append(a[:], b[:]...))
	if etag != fmt.Sprintf(`"%x-2"`, whole) || element(t, first, "Location") != "http://s3.test/bkt/dir/a%20b" {
		t.Errorf("completed as %s", first.Body)
	}
	r.holds("/bkt/dir/a%20b", big("x")+"tail")
	w = r.ok("HEAD", "/bkt/dir/a%20b", "", "X-Amz-Checksum-Mode: ENABLED")
	if header(w, "Content-Type") != "text/x-a" || header(w, "x-amz-meta-a") != "b" || header(w, "x-amz-tagging-count") != "1" ||
		header(w, "x-amz-checksum-crc64nvme") != sumOf("crc64nvme", big("x")+"tail") {
		t.Errorf("attributes: %v", w.Header())
	}
	w = r.ok("GET", "/bkt/dir/a%20b?partNumber=2", "")
	if w.Code != 206 || w.Body.String() != "tail" || header(w, "x-amz-mp-parts-count") != "2" {
		t.Errorf("part 2: %d %v", w.Code, w.Header())
	}
	r.refused(416, "InvalidPartNumber", "GET", "/bkt/dir/a%20b?partNumber=3", "")
	if again := r.ok("POST", up, done); element(t, again, "ETag") != etag {
		t.Errorf("completed again: %s", again.Body)
	}
	r.refused(404, "NoSuchUpload", "POST", up, numbered(e1))
	r.refused(404, "NoSuchUpload", "GET", up, "")
	r.refused(404, "NoSuchUpload", "DELETE", up, "")
	r.refused(404, "NoSuchUpload", "PUT", up+"&partNumber=1", "x")
}

func TestMultipartRefusals(t *testing.T) {
	r := newRig(t)
	up := r.begin("k")
	e1, e2, small := r.part(up, 1, big("x")), r.part(up, 2, big("y")), r.part(up, 3, "small")
	last := r.part(up, 4, "end")
	for _, tt := range []struct{ name, code, doc string }{
		{"no document", "MalformedXML", ""},
		{"no parts", "MalformedXML", "<CompleteMultipartUpload></CompleteMultipartUpload>"},
		{"no XML", "MalformedXML", "nonsense"},
		{"another document", "MalformedXML", "<Delete></Delete>"},
		{"two documents", "MalformedXML", numbered(e1) + numbered(e1)},
		{"a document type", "MalformedXML", "<!DOCTYPE a [<!ENTITY b \"c\">]>" + numbered(e1)},
		{"endless depth", "MalformedXML", strings.Repeat("<a>", 100) + strings.Repeat("</a>", 100)},
		{"wrong order", "InvalidPartOrder", strings.NewReplacer(">1<", ">2<", ">2<", ">1<").Replace(numbered(e1, e2))},
		{"part twice", "InvalidPartOrder", strings.Replace(numbered(e1, e1), ">2<", ">1<", 1)},
		{"part 0", "InvalidArgument", strings.Replace(numbered(e1), ">1<", ">0<", 1)},
		{"part 10001", "InvalidArgument", strings.Replace(numbered(e1), ">1<", ">10001<", 1)},
		{"part is no number", "MalformedXML", strings.Replace(numbered(e1), ">1<", ">one<", 1)},
		{"part that is not there", "InvalidPart", strings.Replace(numbered(e1), ">1<", ">9<", 1)},
		{"other ETag", "InvalidPart", numbered(e2)},
		{"no ETag", "InvalidPart", numbered("")},
		{"small part before the last", "EntityTooSmall", numbered(e1, e2, small, last)},
		{"other checksum", "InvalidPart", strings.Replace(numbered(e1), "</Part>", "<ChecksumCRC64NVME>"+sumOf("crc64nvme", "z")+"</ChecksumCRC64NVME></Part>", 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rig{t: t, h: r.h, s: r.s}.refused(400, tt.code, "POST", up, tt.doc)
		})
	}
	r.refused(400, "InvalidRequest", "POST", up, numbered(e1), "X-Amz-Mp-Object-Size: 7")
	r.refused(400, "BadDigest", "POST", up, numbered(e1), "X-Amz-Checksum-Crc64nvme: "+sumOf("crc64nvme", "z"))
	r.refused(400, "MaxMessageLengthExceeded", "POST", up, numbered(e1)+strings.Repeat(" ", 2<<20))
	for _, n := range []string{"0", "10001", "x", "-1", ""} {
		r.refused(400, "InvalidArgument", "PUT", up+"&partNumber="+n, "x")
	}
	r.refused(404, "NoSuchUpload", "PUT", "/bkt/other?uploadId="+up[strings.Index(up, "=")+1:]+"&partNumber=1", "x")
	r.refused(404, "NoSuchUpload", "POST", "/bkt/k?uploadId=none", numbered(e1))
	r.refused(404, "NoSuchBucket", "POST", "/nobucket/k?uploads", "")
	r.holds("/bkt/k", "-")
	r.refused(404, "NoSuchKey", "POST", up, numbered(e1), `If-Match: "abc"`)
	r.ok("PUT", "/bkt/k", "there")
	r.refused(412, "PreconditionFailed", "POST", up, numbered(e1), "If-None-Match: *")
	if w := r.send("DELETE", up, ""); w.Code != 204 {
		t.Errorf("abort: %d", w.Code)
	}
	r.refused(404, "NoSuchUpload", "GET", up, "")
	r.holds("/bkt/k", "there")
}

func TestMultipartChecksums(t *testing.T) {
	r := newRig(t)
	contents := []string{big("x"), "tail"}
	whole := strings.Join(contents, "")
	for _, a := range algorithmNames {
		for _, kind := range []string{"COMPOSITE", "FULL_OBJECT"} {
			headers := []string{"X-Amz-Checksum-Algorithm: " + strings.ToUpper(a), "X-Amz-Checksum-Type: " + kind}
			if (a == "crc64nvme") == (kind == "COMPOSITE") && (a == "crc64nvme") || kind == "FULL_OBJECT" && strings.HasPrefix(a, "sha") {
				r.refused(400, "InvalidRequest", "POST", "/bkt/k?uploads", "", headers...)
				continue
			}
			up := r.begin("k", headers...)
			var doc, sums strings.Builder
			doc.WriteString("<CompleteMultipartUpload>")
			for i, c := range contents {
				sum := sumOf(a, c)
				etag := r.part(up, i+1, c, "X-Amz-Checksum-"+a+": "+sum)
				fmt.Fprintf(&doc, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag><Checksum%s>%s</Checksum%s></Part>", i+1, etag, strings.ToUpper(a), sum, strings.ToUpper(a))
				raw, err := base64.StdEncoding.DecodeString(sum)
				if err != nil {
					t.Fatal(err)
				}
				sums.Write(raw)
			}
			doc.WriteString("</CompleteMultipartUpload>")
			want := sumOf(a, whole)
			if kind == "COMPOSITE" {
				want = sumOf(a, sums.String()) + "-2"
				r.refused(400, "InvalidRequest", "PUT", up+"&partNumber=3", "no checksum")
			}
			r.refused(400, "InvalidRequest", "POST", up, doc.String(), "X-Amz-Checksum-Type: "+map[string]string{"COMPOSITE": "FULL_OBJECT", "FULL_OBJECT": "COMPOSITE"}[kind])
			w := r.ok("POST", up, doc.String(), "X-Amz-Checksum-"+a+": "+want, fmt.Sprintf("X-Amz-Mp-Object-Size: %d", len(whole)))
			if got := element(t, w, "Checksum"+strings.ToUpper(a)); got != want || element(t, w, "ChecksumType") != kind {
				t.Errorf("%s %s: got %s, want %s", a, kind, got, want)
			}
			w = r.ok("HEAD", "/bkt/k", "", "X-Amz-Checksum-Mode: ENABLED")
			if got := header(w, "x-amz-checksum-"+a); got != want {
				t.Errorf("%s %s: HEAD gives %s, want %s", a, kind, got, want)
			}
			w = r.ok("GET", "/bkt/k?attributes", "", "X-Amz-Object-Attributes: Checksum,ObjectParts,ObjectSize", "X-Amz-Max-Parts: 1")
			if element(t, w, "PartsCount") != "2" || element(t, w, "IsTruncated") != "true" || strings.Count(w.Body.String(), "<Part>") != 1 {
				t.Errorf("attributes: %s", w.Body)
			}
		}
	}
	up := r.begin("k", "X-Amz-Checksum-Algorithm: SHA256")
	r.refused(400, "InvalidRequest", "PUT", up+"&partNumber=1", "x", "X-Amz-Checksum-Crc32: "+sumOf("crc32", "x"))
	etag := r.part(up, 1, "x", "X-Amz-Checksum-Sha256: "+sumOf("sha256", "x"))
	r.refused(400, "InvalidRequest", "POST", up, numbered(etag))
	r.refused(400, "InvalidRequest", "POST", "/bkt/k?uploads", "", "X-Amz-Checksum-Algorithm: CRC7")
	r.refused(400, "InvalidRequest", "POST", "/bkt/k?uploads", "", "X-Amz-Checksum-Type: COMPOSITE")
}

func TestListUploads(t *testing.T) {
	r := newRig(t)
	for _, key := range []string{"a", "a", "b/1", "b/2", "c"} {
		r.begin(key)
	}
	w := r.ok("GET", "/bkt?uploads&delimiter=/&max-uploads=3", "")
	body := w.Body.String()
	if strings.Count(body, "<Upload>") != 2 || strings.Count(body, "<CommonPrefixes>") != 1 || element(t, w, "IsTruncated") != "true" || element(t, w, "NextKeyMarker") != "b/" {
		t.Errorf("first page: %s", body)
	}
	w = r.ok("GET", "/bkt?uploads&delimiter=/&key-marker=b/", "")
	if strings.Count(w.Body.String(), "<Upload>") != 1 || element(t, w, "Key") != "c" || strings.Contains(w.Body.String(), "<CommonPrefixes>") {
		t.Errorf("second page: %s", w.Body)
	}
	id := element(t, r.ok("GET", "/bkt?uploads&max-uploads=1", ""), "NextUploadIdMarker")
	w = r.ok("GET", "/bkt?uploads&max-uploads=1&key-marker=a&upload-id-marker="+id, "")
	if element(t, w, "Key") != "a" || element(t, w, "UploadId") == id {
		t.Errorf("second upload of a key: %s", w.Body)
	}
	w = r.ok("GET", "/bkt?uploads&prefix=b/", "")
	if strings.Count(w.Body.String(), "<Upload>") != 2 {
		t.Errorf("by prefix: %s", w.Body)
	}
	r.refused(404, "NoSuchBucket", "GET", "/nobucket?uploads", "")
	r.refused(400, "InvalidArgument", "GET", "/bkt?uploads&max-uploads=x", "")
}

func TestUploadPartCopy(t *testing.T) {
	r := newRig(t)
	r.ok("PUT", "/bkt/source%20+%25", big("0123456789"))
	up := r.begin("k")
	const from = "X-Amz-Copy-Source: /bkt/source%20%2B%25"
	w := r.ok("PUT", up+"&partNumber=1", "", from)
	e1 := element(t, w, "ETag")
	e2 := element(t, r.ok("PUT", up+"&partNumber=2", "", from, "X-Amz-Copy-Source-Range: bytes=3-5"), "ETag")
	r.ok("POST", up, numbered(e1, e2))
	r.holds("/bkt/k", big("0123456789")+"345")
	sum := md5.Sum([]byte("345"))
	if e2 != `"`+hex.EncodeToString(sum[:])+`"` {
		t.Errorf("ETag of the copied part: %s", e2)
	}
	up = r.begin("k")
	for _, v := range []string{"0-2", "bytes=0", "bytes=hello-world", "bytes=0-bar", "bytes=hello-", "bytes=-5", "bytes=5-3", "bytes=0-2,3-5"} {
		r.refused(400, "InvalidArgument", "PUT", up+"&partNumber=1", "", from, "X-Amz-Copy-Source-Range: "+v)
	}
	r.refused(416, "InvalidRange", "PUT", up+"&partNumber=1", "", from, "X-Amz-Copy-Source-Range: bytes=0-99999999")
	r.refused(404, "NoSuchKey", "PUT", up+"&partNumber=1", "", "X-Amz-Copy-Source: bkt/none")
	r.refused(404, "NoSuchUpload", "PUT", "/bkt/k?uploadId=none&partNumber=1", "", from)
	r.refused(412, "PreconditionFailed", "PUT", up+"&partNumber=1", "", from, `X-Amz-Copy-Source-If-Match: "abc"`)
}
