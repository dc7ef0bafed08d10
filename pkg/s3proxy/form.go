package s3proxy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/dvx-io/dvx/pkg/s3proxy/sigv4"
)

const (
	// maxFormBytes bounds the fields before a form's file; S3's limit is 20 KB.
	maxFormBytes = 20 << 10
	// maxFormFields bounds their number.
	maxFormFields = 100
)

// postObject is the one operation that a form can ask for.
const postObject Operation = "PostObject"

// form is what a browser posts to a bucket: fields, and then a file.
type form struct {
	fields   http.Header // by canonical names, each once
	file     *multipart.Part
	fileName string
}

// isForm tells whether a request is a browser's form.
func isForm(r *http.Request, t target) bool {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return r.Method == http.MethodPost && t.bucket != "" && t.key == "" && err == nil && kind == "multipart/form-data"
}

// readForm reads the fields of a form up to its file.
func (x *exchange) readForm() (*form, error) {
	_, params, err := mime.ParseMediaType(x.r.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		return nil, failf(codeMalformedPOST, "The body of your POST request is not well-formed multipart/form-data.")
	}
	in := &watchedReader{r: x.r.Body, w: x.w, limit: x.opts.Stall}
	parts := multipart.NewReader(in, params["boundary"])
	f := &form{fields: http.Header{}}
	size := 0
	for range maxFormFields {
		p, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			return nil, failf(codeInvalidArgument, "POST requires exactly one file upload per request.")
		}
		if err != nil {
			return nil, formError(err)
		}
		name := http.CanonicalHeaderKey(p.FormName())
		if name == "File" {
			f.file, f.fileName = p, p.FileName()
			return f, nil
		}
		b, err := io.ReadAll(io.LimitReader(p, int64(maxFormBytes-size+1)))
		if err != nil {
			return nil, formError(err)
		}
		if size += len(b) + len(name); size > maxFormBytes {
			return nil, fail(codePreDataTooLarge)
		}
		if name == "" || f.fields[name] != nil {
			return nil, failf(codeInvalidArgument, "POST requires each field once, with a name.")
		}
		f.fields[name] = []string{string(b)}
	}
	return nil, failf(codeInvalidRequest, "The form has too many fields.")
}

// formError tells a body that ended early from one that is no form.
func formError(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return failf(codeMalformedPOST, "The body of your POST request is not well-formed multipart/form-data.")
}

// get returns a field by its name in any case.
func (f *form) get(name string) string { return f.fields.Get(name) }

// postObject stores the file of a form.
func (x *exchange) postObject() error {
	w, err := x.writer()
	if err != nil {
		return err
	}
	f := x.form
	if f == nil {
		return failf(codePreconditionFailed, "Bucket POST must be of the enclosure-type multipart/form-data")
	}
	limits, err := x.checkPolicy(f)
	if err != nil {
		return err
	}
	attrs, err := readAttributes(f.attributeFields())
	if err != nil {
		return err
	}
	if doc := f.get("tagging"); doc != "" {
		if attrs.Tags, err = parseTags([]byte(doc), maxObjectTags); err != nil {
			return err
		}
	}
	c, err := x.formContent(f, limits)
	if err != nil {
		return err
	}
	info, err := x.put(w, x.written(), c, PutOptions{Attributes: attrs})
	if err != nil {
		return err
	}
	return x.sendPosted(f, info)
}

// attributeFields returns the fields that are stored as headers would be.
func (f *form) attributeFields() http.Header {
	h := f.fields.Clone()
	if acl := f.get("acl"); acl != "" {
		h.Set("X-Amz-Acl", acl)
	}
	h.Del("Tagging")
	return h
}

// formContent returns a form's file. Its length is not known ahead, so that it
// is as long as it is, within limits.
func (x *exchange) formContent(f *form, limits sizeLimits) (*Content, error) {
	sum, err := claimedChecksum(f.fields)
	if err != nil {
		return nil, err
	}
	c := contentOf(&limitedReader{r: f.file, limits: limits}, -1)
	if err := c.expectContentMD5(f.fields); err != nil {
		return nil, err
	}
	c.claim(sum, func(string) (string, bool) { return "", false })
	c.wantDefault()
	return c, nil
}

// limitedReader reads a form's file and holds it to the limits of its policy.
type limitedReader struct {
	r      io.Reader
	limits sizeLimits
	read   int64
}

// Read implements io.Reader.
func (l *limitedReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.read += int64(n)
	switch {
	case l.read > l.limits.high:
		err = fail(codeEntityTooLarge)
	case errors.Is(err, io.EOF) && l.read < l.limits.low:
		err = fail(codeEntityTooSmall)
	case err != nil && !errors.Is(err, io.EOF):
		err = formError(err)
	}
	return n, err
}

// formKey returns the key that a form asks for; ${filename} in it stands for
// the name of the file.
func (f *form) key() string {
	name := f.fileName
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	return strings.ReplaceAll(f.get("key"), "${filename}", name)
}

// sendPosted answers as the form asks: with a redirect, or a status.
func (x *exchange) sendPosted(f *form, info ObjectInfo) error {
	x.showWritten(info)
	h := x.w.Header()
	location := x.origin() + "/" + x.bucket + "/" + sigv4.EscapePath(x.key)
	h.Set("Location", location)
	if to, err := url.Parse(or(f.get("success_action_redirect"), f.get("redirect"))); err == nil && to.Host != "" {
		q := to.Query()
		q.Set("bucket", x.bucket)
		q.Set("key", x.key)
		q.Set("etag", quote(info.ETag))
		to.RawQuery = q.Encode()
		h.Set("Location", to.String())
		x.w.WriteHeader(http.StatusSeeOther)
		return nil
	}
	status, err := strconv.Atoi(f.get("success_action_status"))
	if err != nil || status != http.StatusOK && status != http.StatusCreated {
		status = http.StatusNoContent
	}
	if status != http.StatusCreated {
		x.w.WriteHeader(status)
		return nil
	}
	d := &document{buf: *bytes.NewBufferString(xmlHeader)}
	d.open("PostResponse")
	d.text("Location", location)
	d.text("Bucket", x.bucket)
	d.text("Key", x.key)
	d.text("ETag", quote(info.ETag))
	d.close("PostResponse")
	x.sendXML(status, d)
	return nil
}

// decodePolicy returns the policy document of a form.
func (f *form) decodePolicy() ([]byte, error) {
	b, err := base64.StdEncoding.DecodeString(f.get("policy"))
	if err != nil {
		return nil, failf(codeInvalidPolicy, "Invalid Policy: Invalid Base64 Encoding.")
	}
	return b, nil
}
