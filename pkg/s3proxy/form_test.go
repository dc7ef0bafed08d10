package s3proxy_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"mime/multipart"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/s3proxy"
)

const (
	formDate       = "20261121T120000Z"
	formCredential = testID + "/20261121/us-east-1/s3/aws4_request"
	goodPolicy     = `{"expiration":"2026-11-21T13:00:00Z","conditions":[{"bucket":"bkt"},["starts-with","$key","up/"],` +
		`["starts-with","$Content-Type","image/"],["content-length-range",2,10],{"x-amz-meta-a":"b"},["starts-with","$success_action_status",""],` +
		`["starts-with","$success_action_redirect",""],["starts-with","$tagging",""],["starts-with","$x-amz-checksum-crc32",""],["eq","$acl","private"],` +
		`{"x-amz-algorithm":"AWS4-HMAC-SHA256"},{"x-amz-credential":"` + formCredential + `"},{"x-amz-date":"` + formDate + `"}]}`
)

// post sends a form; fields replace or, if nil, remove those of a good one.
func (r rig) post(policy, file string, fields map[string]*string) *httptest.ResponseRecorder {
	r.t.Helper()
	encoded := base64.StdEncoding.EncodeToString([]byte(policy))
	key := []byte("AWS4" + testSecret)
	for _, part := range []string{"20261121", "us-east-1", "s3", "aws4_request"} {
		key = hmacSHA256(key, part)
	}
	all := map[string]string{
		"key": "up/${filename}", "Content-Type": "image/png", "x-amz-meta-a": "b", "policy": encoded, "acl": "private",
		"x-amz-algorithm": "AWS4-HMAC-SHA256", "x-amz-credential": formCredential, "x-amz-date": formDate,
		"x-amz-signature": hex.EncodeToString(hmacSHA256(key, encoded)),
	}
	for name, value := range fields {
		delete(all, name)
		if value != nil {
			all[name] = *value
		}
	}
	var body bytes.Buffer
	m := multipart.NewWriter(&body)
	for name, value := range all {
		if err := m.WriteField(name, value); err != nil {
			r.t.Fatal(err)
		}
	}
	if file != "" {
		w, err := m.CreateFormFile("file", `C:\pics\a b.png`)
		if err != nil {
			r.t.Fatal(err)
		}
		if _, err := w.Write([]byte(file)); err != nil {
			r.t.Fatal(err)
		}
	}
	if err := m.Close(); err != nil {
		r.t.Fatal(err)
	}
	req := httptest.NewRequest("POST", or(r.to, "/bkt"), &body)
	req.Host = "s3.test"
	req.Header.Set("Content-Type", m.FormDataContentType())
	return serve(r.h, req)
}

func TestPostObject(t *testing.T) {
	r := newRig(t)
	w := r.post(goodPolicy, "picture", nil)
	if w.Code != 204 || header(w, "ETag") == "" || header(w, "Location") != "http://s3.test/bkt/up/a%20b.png" {
		t.Fatalf("%d %s %v", w.Code, w.Body, w.Header())
	}
	got := r.ok("GET", "/bkt/up/a%20b.png", "")
	if got.Body.String() != "picture" || header(got, "Content-Type") != "image/png" || header(got, "x-amz-meta-a") != "b" {
		t.Errorf("stored as %q %v", got.Body, got.Header())
	}
	s := func(v string) *string { return &v }
	if w := r.post(goodPolicy, "picture", map[string]*string{"success_action_status": s("201")}); w.Code != 201 || element(t, w, "Key") != "up/a b.png" {
		t.Errorf("201: %d %s", w.Code, w.Body)
	}
	w = r.post(goodPolicy, "picture", map[string]*string{"success_action_redirect": s("http://page.test/done?x=1")})
	if to := header(w, "Location"); w.Code != 303 || !strings.HasPrefix(to, "http://page.test/done?bucket=bkt&etag=%22") || !strings.Contains(to, "x=1") {
		t.Errorf("redirect: %d %s", w.Code, to)
	}
	tags := "<Tagging><TagSet><Tag><Key>a</Key><Value>b</Value></Tag></TagSet></Tagging>"
	if w := r.post(goodPolicy, "picture", map[string]*string{"tagging": s(tags), "x-ignore-this": s("x"), "x-amz-checksum-crc32": s(sumOf("crc32", "picture"))}); w.Code != 204 {
		t.Errorf("tags and checksum: %d %s", w.Code, w.Body)
	}
	if w := r.ok("HEAD", "/bkt/up/a%20b.png", ""); header(w, "x-amz-tagging-count") != "1" {
		t.Errorf("tags: %v", w.Header())
	}
	without := func(part string) string {
		if !strings.Contains(goodPolicy, part) {
			t.Errorf("the policy has no %s", part)
		}
		return strings.Replace(goodPolicy, part, "", 1)
	}
	for _, tt := range []struct {
		name, policy, file string
		fields             map[string]*string
		status             int
		code               string
	}{
		{"wrong signature", goodPolicy, "picture", map[string]*string{"x-amz-signature": s(strings.Repeat("0", 64))}, 403, "SignatureDoesNotMatch"},
		{"unknown key", goodPolicy, "picture", map[string]*string{"x-amz-credential": s("NOBODY/20261121/us-east-1/s3/aws4_request")}, 403, "InvalidAccessKeyId"},
		{"no signature", goodPolicy, "picture", map[string]*string{"x-amz-signature": nil}, 400, "InvalidArgument"},
		{"no policy", goodPolicy, "picture", map[string]*string{"policy": nil}, 400, "InvalidArgument"},
		{"version 2", goodPolicy, "picture", map[string]*string{"policy": nil, "x-amz-signature": nil, "x-amz-credential": nil, "AWSAccessKeyId": s(testID), "signature": s("c2ln")}, 403, "AccessDenied"},
		{"expired", strings.Replace(goodPolicy, "T13:", "T11:", 1), "picture", nil, 403, "AccessDenied"},
		{"no expiration", without(`"expiration":"2026-11-21T13:00:00Z",`), "picture", nil, 400, "InvalidPolicyDocument"},
		{"no conditions", `{"expiration":"2026-11-21T13:00:00Z"}`, "picture", nil, 400, "InvalidPolicyDocument"},
		{"policy is no JSON", "nonsense", "picture", nil, 400, "InvalidPolicyDocument"},
		{"unknown condition", strings.Replace(goodPolicy, `"starts-with","$key"`, `"ends-with","$key"`, 1), "picture", nil, 400, "InvalidPolicyDocument"},
		{"condition on no field", strings.Replace(goodPolicy, `"$key"`, `"key"`, 1), "picture", nil, 400, "InvalidPolicyDocument"},
		{"range upside down", strings.Replace(goodPolicy, "2,10", "10,2", 1), "picture", nil, 400, "InvalidPolicyDocument"},
		{"negative range", strings.Replace(goodPolicy, "2,10", "-2,10", 1), "picture", nil, 400, "InvalidPolicyDocument"},
		{"other key", goodPolicy, "picture", map[string]*string{"key": s("down/x")}, 403, "AccessDenied"},
		{"no key", goodPolicy, "picture", map[string]*string{"key": nil}, 400, "InvalidArgument"},
		{"key too long", goodPolicy, "picture", map[string]*string{"key": s("up/" + strings.Repeat("k", 1025))}, 400, "KeyTooLongError"},
		{"other type", goodPolicy, "picture", map[string]*string{"Content-Type": s("text/html")}, 403, "AccessDenied"},
		{"other metadata", goodPolicy, "picture", map[string]*string{"x-amz-meta-a": s("c")}, 403, "AccessDenied"},
		{"metadata missing", goodPolicy, "picture", map[string]*string{"x-amz-meta-a": nil}, 403, "AccessDenied"},
		{"further field", goodPolicy, "picture", map[string]*string{"x-amz-meta-z": s("c")}, 403, "AccessDenied"},
		{"policy without bucket", without(`{"bucket":"bkt"},`), "picture", nil, 403, "AccessDenied"},
		{"policy of another bucket", strings.Replace(goodPolicy, `{"bucket":"bkt"}`, `{"bucket":"data"}`, 1), "picture", nil, 403, "AccessDenied"},
		{"policy without key", without(`["starts-with","$key","up/"],`), "picture", nil, 403, "AccessDenied"},
		{"too long", goodPolicy, "long picture", nil, 400, "EntityTooLarge"},
		{"too short", goodPolicy, "p", nil, 400, "EntityTooSmall"},
		{"no file", goodPolicy, "", nil, 400, "InvalidArgument"},
		{"other checksum", goodPolicy, "picture", map[string]*string{"x-amz-checksum-crc32": s(sumOf("crc32", "other"))}, 400, "BadDigest"},
		{"endless field", goodPolicy, "picture", map[string]*string{"x-ignore-a": s(strings.Repeat("x", 30000))}, 400, "MaxPostPreDataLengthExceededError"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(r.ok("GET", "/bkt?versions", "").Body.String())
			want(t, r.post(tt.policy, tt.file, tt.fields), tt.status, tt.code)
			if after := len(r.ok("GET", "/bkt?versions", "").Body.String()); after != before {
				t.Error("something was stored")
			}
		})
	}
	r.refused(412, "PreconditionFailed", "POST", "/bkt", "", "Content-Type: text/plain")
	body := "--x\r\nContent-Disposition: form-data; name=\"key\"\r\n\r\nk"
	req := httptest.NewRequest("POST", "/bkt", strings.NewReader(body))
	req.Header.Set("Content-Type", "multipart/form-data; boundary=x")
	want(t, serve(r.h, req), 400, "MalformedPOSTRequest")
}

func TestAnonymousForm(t *testing.T) {
	s := newMem(t)
	h := newHandler(t, s, s3proxy.Options{Anonymous: &s3proxy.Credential{Principal: "anyone"}})
	r := rig{t: t, h: h, s: s}
	w := r.post("", "picture", map[string]*string{"policy": nil, "x-amz-signature": nil, "x-amz-credential": nil, "x-amz-date": nil, "x-amz-algorithm": nil})
	if w.Code != 204 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	r.holds("/bkt/up/a%20b.png", "picture")
}

func TestCORS(t *testing.T) {
	r := newRig(t)
	doc := "<CORSConfiguration>" +
		"<CORSRule><AllowedOrigin>http://*.page.test</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedHeader>x-amz-*</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>30</MaxAgeSeconds></CORSRule>" +
		"<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>PUT</AllowedMethod></CORSRule></CORSConfiguration>"
	r.refused(404, "NoSuchCORSConfiguration", "GET", "/bkt?cors", "")
	r.ok("PUT", "/bkt?cors", doc)
	if got := r.ok("GET", "/bkt?cors", "").Body.String(); !strings.HasSuffix(got, strings.TrimPrefix(doc, "<CORSConfiguration>")) {
		t.Errorf("got %s", got)
	}
	for _, bad := range []string{
		"", "<CORSConfiguration></CORSConfiguration>", strings.Replace(doc, "<AllowedMethod>GET</AllowedMethod>", "", 1),
		strings.Replace(doc, "GET", "PATCH", 1), strings.Replace(doc, "*.page", "*.*", 1), strings.Replace(doc, "ETag", "x-*", 1),
		"<CORSConfiguration>" + strings.Repeat("<CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>", 101) + "</CORSConfiguration>",
	} {
		if w := r.send("PUT", "/bkt?cors", bad); w.Code != 400 {
			t.Errorf("%.80s: %d", bad, w.Code)
		}
	}
	preflight := func(origin, method, headers string) *httptest.ResponseRecorder {
		req := httptest.NewRequest("OPTIONS", "/bkt/hello.txt", nil)
		for name, v := range map[string]string{"Origin": origin, "Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers} {
			if v != "" {
				req.Header.Set(name, v)
			}
		}
		return serve(r.h, req)
	}
	for _, tt := range []struct {
		origin, method, headers string
		status                  int
		allowed                 string
	}{
		{"http://a.page.test", "GET", "X-Amz-Date, x-amz-meta-a", 200, "http://a.page.test"},
		{"http://a.page.test", "GET", "Authorization", 403, ""},
		{"http://page.test", "GET", "", 403, ""},
		{"http://any.test", "PUT", "", 200, "*"},
		{"http://any.test", "DELETE", "", 403, ""},
		{"http://any.test", "PATCH", "", 400, ""},
		{"", "GET", "", 400, ""},
		{"http://any.test", "", "", 400, ""},
	} {
		w := preflight(tt.origin, tt.method, tt.headers)
		if w.Code != tt.status || header(w, "Access-Control-Allow-Origin") != tt.allowed || tt.headers != "" && tt.status == 200 && header(w, "Access-Control-Allow-Headers") == "" {
			t.Errorf("%+v: %d %v", tt, w.Code, w.Header())
		}
	}
	w := r.ok("GET", "/bkt/hello.txt", "", "Origin: http://b.page.test")
	if header(w, "Access-Control-Allow-Origin") != "http://b.page.test" || header(w, "Access-Control-Expose-Headers") != "ETag" || header(w, "Access-Control-Max-Age") != "30" {
		t.Errorf("%v", w.Header())
	}
	if w := r.ok("GET", "/bkt/hello.txt", "", "Origin: http://other.test"); header(w, "Access-Control-Allow-Origin") != "" {
		t.Errorf("%v", w.Header())
	}
	r.ok("DELETE", "/bkt?cors", "")
	if w := preflight("http://any.test", "PUT", ""); w.Code != 403 {
		t.Errorf("after removal: %d", w.Code)
	}
}

func TestBuckets(t *testing.T) {
	r := newRig(t)
	r.ok("PUT", "/new-bucket", "")
	r.refused(409, "BucketAlreadyOwnedByYou", "PUT", "/new-bucket", "")
	r.ok("PUT", "/main.repo", "<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>")
	for _, name := range []string{"ab", "Upper", "under_score", "-dash", "dash-", "a..b", "192.168.5.4", "xn--a", strings.Repeat("a", 64), "a-s3alias", ".a.b"} {
		r.refused(400, "InvalidBucketName", "PUT", "/"+name, "")
	}
	r.refused(400, "MalformedXML", "PUT", "/third", "<Nonsense/>")
	r.refused(501, "NotImplemented", "PUT", "/third", "", "X-Amz-Bucket-Object-Lock-Enabled: true")
	r.refused(404, "NoSuchBucket", "DELETE", "/third", "")
	r.ok("PUT", "/new-bucket/k", "x")
	r.refused(409, "BucketNotEmpty", "DELETE", "/new-bucket", "")
	r.ok("DELETE", "/main.repo", "")
	r.refused(404, "NoSuchBucket", "GET", "/main.repo", "")
	const enabled = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
	r.ok("PUT", "/bkt?versioning", enabled)
	r.refused(409, "InvalidBucketState", "PUT", "/bkt?versioning", strings.Replace(enabled, "Enabled", "Suspended", 1))
	r.refused(400, "IllegalVersioningConfigurationException", "PUT", "/bkt?versioning", strings.Replace(enabled, "Enabled", "Perhaps", 1))
	r.refused(404, "NoSuchBucket", "PUT", "/nobucket?versioning", enabled)
	r.refused(403, "AccessDenied", "GET", "/bkt", "", "X-Amz-Expected-Bucket-Owner: 123456789012")
	r.ok("GET", "/bkt", "", "X-Amz-Expected-Bucket-Owner: owner")
}

func TestPutACL(t *testing.T) {
	r := newRig(t)
	acl := func(id, permission string) string {
		return fmt.Sprintf(`<AccessControlPolicy><Owner><ID>owner</ID></Owner><AccessControlList><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="CanonicalUser"><ID>%s</ID></Grantee><Permission>%s</Permission></Grant></AccessControlList></AccessControlPolicy>`, id, permission)
	}
	for _, target := range []string{"/bkt?acl", "/bkt/hello.txt?acl"} {
		r.ok("PUT", target, "", "X-Amz-Acl: private")
		r.ok("PUT", target, acl("owner", "FULL_CONTROL"))
		r.refused(400, "AccessControlListNotSupported", "PUT", target, "", "X-Amz-Acl: public-read")
		r.refused(400, "AccessControlListNotSupported", "PUT", target, "", "X-Amz-Grant-Read: id=1")
		r.refused(400, "AccessControlListNotSupported", "PUT", target, acl("eve", "FULL_CONTROL"))
		r.refused(400, "AccessControlListNotSupported", "PUT", target, acl("owner", "READ"))
		r.refused(400, "InvalidArgument", "PUT", target, "", "X-Amz-Acl: nonsense")
		r.refused(400, "MalformedXML", "PUT", target, "nonsense")
		r.refused(400, "MissingSecurityHeader", "PUT", target, "")
	}
	r.refused(404, "NoSuchKey", "PUT", "/bkt/none?acl", "", "X-Amz-Acl: private")
}

// TestFormIsAnObjectOnly: whoever holds a signed policy may post an object, and
// nothing else that a POST to a bucket can ask for.
func TestFormIsAnObjectOnly(t *testing.T) {
	r := newRig(t)
	for _, op := range s3proxy.Operations() {
		if op.Method != "POST" || !op.OnBucket || op.Operation == "PostObject" {
			continue
		}
		r.to = "/bkt?" + op.Query
		want(t, r.post(goodPolicy, "<Delete><Object><Key>hello.txt</Key></Object></Delete>", nil), 400, "InvalidRequest")
	}
}
