package s3proxy_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/dvx-io/dvx/pkg/s3proxy"
	"github.com/dvx-io/dvx/pkg/s3proxy/s3mem"
)

// rig is a handler over a store in memory, and requests to it.
type rig struct {
	t testing.TB
	h *s3proxy.Handler
	s *s3mem.Store

	to string // where forms are posted; "" is the bucket
}

func newRig(t testing.TB) rig {
	t.Helper()
	s := newMem(t)
	return rig{t: t, h: newHandler(t, s, s3proxy.Options{}), s: s}
}

// send sends a well-signed request; headers are "Name: value".
func (r rig) send(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	a := attempt{method: method, target: target, body: body}
	if method == "PUT" && body == "" {
		headers = append(headers, "Content-Length: 0")
	}
	if strings.HasSuffix(target, "?delete") && !strings.Contains(strings.Join(headers, "\n"), "Content-Md5: ") {
		sum := md5.Sum([]byte(body))
		headers = append(headers, "Content-Md5: "+base64.StdEncoding.EncodeToString(sum[:]))
	}
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		a.headers = append(a.headers, [2]string{name, value})
	}
	return serve(r.h, a.byHeader(r.t))
}

// ok is send for a request that has to succeed.
func (r rig) ok(method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r.t.Helper()
	w := r.send(method, target, body, headers...)
	if w.Code >= 300 {
		r.t.Fatalf("%s %s: %d %s", method, target, w.Code, w.Body)
	}
	return w
}

// refused fails unless the request gets an error of that status and code.
func (r rig) refused(status int, code, method, target, body string, headers ...string) {
	r.t.Helper()
	w := r.send(method, target, body, headers...)
	if w.Code != status || !strings.Contains(w.Body.String(), "<Code>"+code+"<") {
		r.t.Errorf("%s %s %q: got %d %s, want %d %s", method, target, headers, w.Code, w.Body, status, code)
	}
}

// holds fails unless the key has that content; "-" means that it has none.
func (r rig) holds(target, content string) {
	r.t.Helper()
	w := r.send("GET", target, "")
	switch {
	case content == "-" && w.Code != 404:
		r.t.Errorf("%s: %d %q, want nothing", target, w.Code, w.Body)
	case content != "-" && (w.Code != 200 || w.Body.String() != content):
		r.t.Errorf("%s: %d %.100q, want %.100q", target, w.Code, w.Body, content)
	}
}

// element returns the text of the first element of that name.
func element(t testing.TB, w *httptest.ResponseRecorder, name string) string {
	t.Helper()
	m := regexp.MustCompile("(?s)<" + name + ">(.*?)</" + name + ">").FindStringSubmatch(w.Body.String())
	if m == nil {
		t.Fatalf("no <%s> in %d %s", name, w.Code, w.Body)
	}
	var text string
	if err := xml.Unmarshal([]byte("<a>"+m[1]+"</a>"), &text); err != nil {
		t.Fatal(err)
	}
	return text
}

// header returns the value of a header that is sent as it is spelt.
func header(w *httptest.ResponseRecorder, name string) string {
	if v := w.Header()[name]; len(v) == 1 {
		return v[0]
	}
	return ""
}

// numbered writes the document that completes an upload.
func numbered(etags ...string) string {
	var b strings.Builder
	b.WriteString("<CompleteMultipartUpload>")
	for i, e := range etags {
		fmt.Fprintf(&b, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>", i+1, e)
	}
	return b.String() + "</CompleteMultipartUpload>"
}
