package s3proxy_test

import (
	"fmt"
	"strings"
	"testing"
)

func TestCopy(t *testing.T) {
	r := newRig(t)
	old := r.ok("PUT", "/bkt/src/a%20b%3F", "old", "Content-Type: text/x-a", "X-Amz-Meta-A: b", "X-Amz-Tagging: t=1")
	r.ok("PUT", "/bkt/src/a%20b%3F", "new", "Content-Type: text/x-a", "X-Amz-Meta-A: b", "X-Amz-Tagging: t=1")
	const from = "X-Amz-Copy-Source: /bkt/src/a%20b%3F"
	check := func(key, content, mediaType, meta, tags string) {
		t.Helper()
		w := r.ok("GET", "/bkt/"+key, "")
		if w.Body.String() != content || header(w, "Content-Type") != mediaType || header(w, "x-amz-meta-a") != meta || header(w, "x-amz-tagging-count") != tags {
			t.Errorf("%s: %q %v", key, w.Body, w.Header())
		}
	}
	w := r.ok("PUT", "/bkt/dst", "", from)
	if element(t, w, "ETag") == "" || element(t, w, "LastModified") == "" || header(w, "x-amz-copy-source-version-id") == "" {
		t.Errorf("%s %v", w.Body, w.Header())
	}
	check("dst", "new", "text/x-a", "b", "1")
	r.ok("PUT", "/bkt/dst", "", "X-Amz-Copy-Source: bkt/src/a%20b%3F?versionId="+header(old, "x-amz-version-id"))
	check("dst", "old", "text/x-a", "b", "1")
	r.ok("PUT", "/bkt/dst", "", from, "X-Amz-Metadata-Directive: REPLACE", "Content-Type: text/x-z", "X-Amz-Meta-A: c")
	check("dst", "new", "text/x-z", "c", "1")
	r.ok("PUT", "/bkt/dst", "", from, "X-Amz-Tagging-Directive: REPLACE", "X-Amz-Tagging: u=1&v=2")
	check("dst", "new", "text/x-a", "b", "2")
	r.ok("PUT", "/bkt/src/a%20b%3F", "", from, "X-Amz-Metadata-Directive: REPLACE", "X-Amz-Meta-A: self")
	check("src/a%20b%3F", "new", "binary/octet-stream", "self", "1")
	r.refused(400, "InvalidRequest", "PUT", "/bkt/src/a%20b%3F", "", from)
	for source, code := range map[string]string{
		"/bkt/none": "NoSuchKey", "/nobucket/x": "NoSuchBucket", "/bkt/src/a%20b%3F?versionId=none": "NoSuchVersion",
	} {
		r.refused(404, code, "PUT", "/bkt/dst", "", "X-Amz-Copy-Source: "+source)
	}
	for _, source := range []string{"/", "bkt", "/bkt/", "%", "/bkt/k?versionId=", "/bkt/k?other=1"} {
		r.refused(400, "InvalidArgument", "PUT", "/bkt/dst", "", "X-Amz-Copy-Source: "+source)
	}
	r.refused(404, "NoSuchBucket", "PUT", "/nobucket/dst", "", from)
	r.refused(400, "InvalidArgument", "PUT", "/bkt/dst", "", from, "X-Amz-Metadata-Directive: MERGE")
	etag := header(r.ok("HEAD", "/bkt/src/a%20b%3F", ""), "ETag")
	for condition, status := range map[string]int{
		"If-Match: " + etag: 200, `If-Match: "x"`: 412, `If-None-Match: "x"`: 200, "If-None-Match: " + etag: 412,
		"If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT": 200, "If-Modified-Since: Fri, 20 Nov 2026 23:00:00 GMT": 412,
		"If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT": 412, "If-Unmodified-Since: Fri, 20 Nov 2026 23:00:00 GMT": 200,
	} {
		if w := r.send("PUT", "/bkt/dst", "", from, "X-Amz-Copy-Source-"+condition); w.Code != status {
			t.Errorf("%s: got %d, want %d", condition, w.Code, status)
		}
	}
	r.refused(412, "PreconditionFailed", "PUT", "/bkt/dst", "", from, "If-None-Match: *")
}

func TestVersions(t *testing.T) {
	r := newRig(t)
	id := func(target, content string) string {
		return header(r.ok("PUT", target, content), "x-amz-version-id")
	}
	v1, v2 := id("/bkt/v/k", "1"), id("/bkt/v/k", "2")
	w := r.ok("DELETE", "/bkt/v/k", "")
	marker := header(w, "x-amz-version-id")
	if w.Code != 204 || header(w, "x-amz-delete-marker") != "true" || marker == "" {
		t.Errorf("delete: %d %v", w.Code, w.Header())
	}
	id("/bkt/v/l", "x")
	w = r.send("GET", "/bkt/v/k", "")
	if w.Code != 404 || header(w, "x-amz-delete-marker") != "true" || header(w, "x-amz-version-id") != marker {
		t.Errorf("deleted key: %d %v", w.Code, w.Header())
	}
	w = r.send("HEAD", "/bkt/v/k?versionId="+marker, "")
	if w.Code != 405 || header(w, "x-amz-delete-marker") != "true" {
		t.Errorf("the marker itself: %d %v", w.Code, w.Header())
	}
	r.holds("/bkt/v/k?versionId="+v1, "1")
	r.holds("/bkt/v/k?versionId="+v2, "2")
	r.refused(404, "NoSuchVersion", "GET", "/bkt/v/k?versionId=none", "")
	r.refused(400, "InvalidArgument", "GET", "/bkt/v/k?versionId=", "")
	list := func(query string) string {
		body := r.ok("GET", "/bkt?versions&prefix=v/"+query, "").Body.String()
		var got []string
		for _, part := range strings.Split(body, "<VersionId>")[1:] {
			v, rest, _ := strings.Cut(part, "<")
			if strings.HasPrefix(rest, "/VersionId><IsLatest>true") {
				v += "*"
			}
			got = append(got, v)
		}
		return fmt.Sprint(got)
	}
	all := list("")
	if !strings.HasPrefix(all, "["+marker+"* "+v2+" "+v1+" ") || strings.Count(all, "*") != 2 {
		t.Errorf("listed %s", all)
	}
	w = r.ok("GET", "/bkt?versions&prefix=v/&max-keys=2", "")
	if element(t, w, "NextKeyMarker") != "v/k" || element(t, w, "NextVersionIdMarker") != v2 || element(t, w, "IsTruncated") != "true" {
		t.Errorf("first page: %s", w.Body)
	}
	if got := list("&key-marker=v/k&version-id-marker=" + v2); !strings.HasPrefix(got, "["+v1+" ") {
		t.Errorf("second page: %s", got)
	}
	w = r.ok("GET", "/bkt?versions&delimiter=/&encoding-type=url&prefix=&max-keys=1000", "")
	if !strings.Contains(w.Body.String(), "<CommonPrefixes><Prefix>v/</Prefix></CommonPrefixes>") {
		t.Errorf("rolled up: %s", w.Body)
	}
	r.refused(400, "InvalidArgument", "GET", "/bkt?versions&version-id-marker=x", "")
	if w := r.ok("DELETE", "/bkt/v/k?versionId="+marker, ""); header(w, "x-amz-delete-marker") != "true" || header(w, "x-amz-version-id") != marker {
		t.Errorf("delete the marker: %v", w.Header())
	}
	r.holds("/bkt/v/k", "2")
	r.ok("DELETE", "/bkt/v/k?versionId="+v2, "")
	r.holds("/bkt/v/k", "1")
	r.ok("DELETE", "/bkt/v/k?versionId=none", "")
}

func TestDeleteObjects(t *testing.T) {
	r := newRig(t)
	for _, k := range []string{"a", "b%20%26", "c"} {
		r.ok("PUT", "/bkt/"+k, "x")
	}
	w := r.ok("POST", "/bkt?delete", "<Delete><Object><Key>a</Key></Object><Object><Key>b &amp;</Key></Object><Object><Key>none</Key></Object></Delete>")
	if strings.Count(w.Body.String(), "<Deleted>") != 3 || strings.Contains(w.Body.String(), "<Error>") || element(t, w, "DeleteMarker") != "true" {
		t.Errorf("%s", w.Body)
	}
	r.holds("/bkt/a", "-")
	r.holds("/bkt/b%20%26", "-")
	w = r.ok("POST", "/bkt?delete", `<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet><Object><Key>c</Key><ETag>"x"</ETag></Object><Object><Key>d</Key></Object></Delete>`)
	if strings.Contains(w.Body.String(), "<Deleted>") || element(t, w, "Code") != "PreconditionFailed" {
		t.Errorf("%s", w.Body)
	}
	r.holds("/bkt/c", "x")
	many := strings.Repeat("<Object><Key>k</Key></Object>", 1000)
	r.ok("POST", "/bkt?delete", "<Delete>"+many+"</Delete>")
	r.refused(400, "MalformedXML", "POST", "/bkt?delete", "<Delete>"+many+"<Object><Key>k</Key></Object></Delete>")
	r.refused(400, "MalformedXML", "POST", "/bkt?delete", "<Delete></Delete>")
	r.refused(400, "UserKeyMustBeSpecified", "POST", "/bkt?delete", "<Delete><Object></Object></Delete>")
	r.refused(400, "BadDigest", "POST", "/bkt?delete", "<Delete><Object><Key>c</Key></Object></Delete>", "Content-Md5: XrY7u+Ae7tCTyyK7j1rNww==")
	r.refused(404, "NoSuchBucket", "POST", "/nobucket?delete", "<Delete><Object><Key>c</Key></Object></Delete>")
	r.refused(412, "PreconditionFailed", "DELETE", "/bkt/c", "", `If-Match: "x"`)
	r.refused(412, "PreconditionFailed", "DELETE", "/bkt/c", "", "X-Amz-If-Match-Size: 7")
	r.refused(400, "InvalidArgument", "DELETE", "/bkt/c", "", "X-Amz-If-Match-Size: x")
	r.holds("/bkt/c", "x")
	r.ok("DELETE", "/bkt/c", "", "X-Amz-If-Match-Size: 1", "X-Amz-If-Match-Last-Modified-Time: 2026-11-20T08:30:15.000Z")
	r.holds("/bkt/c", "-")
}

func TestTagging(t *testing.T) {
	r := newRig(t)
	put := func(tags ...string) string {
		doc := "<Tagging><TagSet>"
		for _, tag := range tags {
			name, value, _ := strings.Cut(tag, "=")
			doc += "<Tag><Key>" + name + "</Key><Value>" + value + "</Value></Tag>"
		}
		return doc + "</TagSet></Tagging>"
	}
	r.ok("PUT", "/bkt/hello.txt?tagging", put("b=2", "a=&amp;"))
	w := r.ok("GET", "/bkt/hello.txt?tagging", "")
	if !strings.Contains(w.Body.String(), "<TagSet><Tag><Key>a</Key><Value>&amp;</Value></Tag><Tag><Key>b</Key><Value>2</Value></Tag></TagSet>") {
		t.Errorf("%s", w.Body)
	}
	r.holds("/bkt/hello.txt", "0123456789")
	var eleven []string
	for i := range 11 {
		eleven = append(eleven, fmt.Sprintf("k%d=v", i))
	}
	r.ok("PUT", "/bkt/hello.txt?tagging", put(eleven[:10]...))
	r.refused(400, "BadRequest", "PUT", "/bkt/hello.txt?tagging", put(eleven...))
	r.refused(400, "InvalidTag", "PUT", "/bkt/hello.txt?tagging", put("a=1", "a=2"))
	r.refused(400, "InvalidTag", "PUT", "/bkt/hello.txt?tagging", put("=1"))
	r.refused(400, "InvalidTag", "PUT", "/bkt/hello.txt?tagging", put(strings.Repeat("k", 129)+"=1"))
	r.refused(400, "InvalidTag", "PUT", "/bkt/hello.txt?tagging", put("k="+strings.Repeat("v", 257)))
	r.refused(400, "MalformedXML", "PUT", "/bkt/hello.txt?tagging", "<Tagging></Tagging>")
	r.refused(404, "NoSuchKey", "PUT", "/bkt/none?tagging", put("a=1"))
	if w := r.ok("DELETE", "/bkt/hello.txt?tagging", ""); w.Code != 204 {
		t.Errorf("delete: %d", w.Code)
	}
	if w := r.ok("GET", "/bkt/hello.txt?tagging", ""); !strings.Contains(w.Body.String(), "<TagSet></TagSet>") {
		t.Errorf("%s", w.Body)
	}
	r.ok("PUT", "/bkt?tagging", put(eleven...))
	if w := r.ok("GET", "/bkt?tagging", ""); strings.Count(w.Body.String(), "<Tag>") != 11 {
		t.Errorf("%s", w.Body)
	}
	r.ok("DELETE", "/bkt?tagging", "")
	r.refused(404, "NoSuchTagSet", "GET", "/bkt?tagging", "")
}

func TestObjectAttributes(t *testing.T) {
	r := newRig(t)
	r.ok("PUT", "/bkt/k", "content", "X-Amz-Checksum-Sha1: "+sumOf("sha1", "content"))
	w := r.ok("GET", "/bkt/k?attributes", "", "X-Amz-Object-Attributes: ETag,Checksum,ObjectParts,StorageClass,ObjectSize")
	for name, value := range map[string]string{
		"ETag": "9a0364b9e99bb480dd25e1f0284c8555", "ChecksumSHA1": sumOf("sha1", "content"), "StorageClass": "STANDARD", "ObjectSize": "7",
	} {
		if got := element(t, w, name); got != value {
			t.Errorf("%s %q, want %q", name, got, value)
		}
	}
	if w := r.ok("GET", "/bkt/k?attributes", "", "X-Amz-Object-Attributes: ObjectSize"); strings.Contains(w.Body.String(), "ETag") {
		t.Errorf("more than asked: %s", w.Body)
	}
	r.refused(400, "InvalidArgument", "GET", "/bkt/k?attributes", "", "X-Amz-Object-Attributes: ObjectSize,Colour")
	r.refused(400, "InvalidArgument", "GET", "/bkt/k?attributes", "", "X-Amz-Object-Attributes: ObjectSize", "X-Amz-Max-Parts: -1")
	r.refused(404, "NoSuchKey", "GET", "/bkt/none?attributes", "", "X-Amz-Object-Attributes: ObjectSize")
}
