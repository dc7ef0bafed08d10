package s3proxy

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const copySource = "X-Amz-Copy-Source"

// parseCopySource reads the header that names what is copied: a bucket, a key
// and perhaps a version, escaped as in a URL.
func parseCopySource(v string) (ObjectName, error) {
	path, query, _ := strings.Cut(v, "?")
	path, err := url.PathUnescape(path)
	if err != nil {
		return ObjectName{}, failf(codeInvalidArgument, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	t := locate("", "/"+strings.TrimPrefix(path, "/"), "")
	if t.bucket == "" || t.key == "" || t.check() != nil {
		return ObjectName{}, failf(codeInvalidArgument, "Copy Source must mention the source bucket and key: sourcebucket/sourcekey")
	}
	name := ObjectName{Bucket: t.bucket, Key: t.key}
	if query != "" {
		id, ok := strings.CutPrefix(query, "versionId=")
		if name.VersionID, err = url.QueryUnescape(id); err != nil || !ok || id == "" {
			return ObjectName{}, failf(codeInvalidArgument, "Version id cannot be the empty string")
		}
	}
	return name, nil
}

// openSource opens what a request copies, if its caller may read it and its
// conditions hold.
func (x *exchange) openSource() (Object, ObjectName, error) {
	name, err := parseCopySource(x.r.Header.Get(copySource))
	if err != nil {
		return nil, name, err
	}
	err = x.opts.Authorize(x.r.Context(), Access{
		Principal: x.caller.principal, Operation: "GetObject", Right: Read, Bucket: name.Bucket, Key: name.Key,
	})
	if err != nil {
		return nil, name, err
	}
	o, err := x.backend.Open(x.r.Context(), name)
	if err != nil {
		return nil, name, err
	}
	if err := checkCopyConditions(x.r.Header, o.Info()); err != nil {
		x.closed(o.Close())
		return nil, name, err
	}
	return o, name, nil
}

// checkCopyConditions applies the conditions on what is copied: those of reads
// under other names, except that nothing is ever "not modified".
func checkCopyConditions(h http.Header, info ObjectInfo) error {
	read := http.Header{}
	for _, name := range []string{"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since"} {
		if v := h.Get(copySource + "-" + name); v != "" {
			read.Set(name, v)
		}
	}
	err := checkConditions(read, info)
	if isNotModified(err) {
		return preconditionFailed("x-amz-copy-source-If-None-Match")
	}
	return err
}

// directive reads a header that says COPY or REPLACE.
func (x *exchange) directive(name string) (replace bool, err error) {
	switch v := x.r.Header.Get(name); v {
	case "", "COPY":
		return false, nil
	case "REPLACE":
		return true, nil
	default:
		return false, failf(codeInvalidArgument, "Unknown %s.", strings.ToLower(strings.TrimPrefix(name, "X-Amz-")))
	}
}

func (x *exchange) copyObject() error {
	w, err := x.writer()
	if err != nil {
		return err
	}
	if err := x.checkWritten(); err != nil {
		return err
	}
	if err := x.checkBody(); err != nil {
		return err
	}
	replaceMeta, err := x.directive("X-Amz-Metadata-Directive")
	if err != nil {
		return err
	}
	replaceTags, err := x.directive("X-Amz-Tagging-Directive")
	if err != nil {
		return err
	}
	given, err := readAttributes(x.r.Header)
	if err != nil {
		return err
	}
	from, name, err := x.openSource()
	if err != nil {
		return err
	}
	defer func() { x.closed(from.Close()) }()
	if name == x.written() && !replaceMeta && !replaceTags && x.r.Header.Get("X-Amz-Storage-Class") == "" {
		return failf(codeInvalidRequest, "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.")
	}
	source := from.Info()
	attrs := source.Attributes
	if replaceMeta {
		attrs = given
	}
	attrs.Tags = source.Tags
	if replaceTags {
		attrs.Tags = given.Tags
	}
	sum, err := x.copiedChecksum(from)
	if err != nil {
		return err
	}
	info, err := w.Copy(x.r.Context(), from, x.written(), PutOptions{Attributes: attrs, Checksum: sum, If: NewPrecondition(x.r.Header)})
	if err != nil {
		return err
	}
	x.showVersion(info.VersionID)
	x.showSource(source.VersionID)
	x.sendCopied("CopyObjectResult", info.ETag, info.LastModified, info.Checksum)
	return nil
}

// copiedChecksum returns the checksum that a copy is to have, zero for that of
// its source. One that the source has not is computed of the content.
func (x *exchange) copiedChecksum(from Object) (Checksum, error) {
	named := x.r.Header.Get("X-Amz-Checksum-Algorithm")
	if named == "" {
		return Checksum{}, nil
	}
	a, ok := findAlgorithm(named)
	if !ok {
		return Checksum{}, unsupportedAlgorithm()
	}
	source := from.Info()
	if has := source.Checksum; has.Algorithm == a.name && !has.Composite {
		return Checksum{}, nil
	}
	h := a.new()
	if source.Size > 0 {
		body, err := from.Range(x.r.Context(), 0, source.Size)
		if err != nil {
			return Checksum{}, err
		}
		defer func() { x.closed(body.Close()) }()
		if _, err := io.CopyN(h, body, source.Size); err != nil {
			return Checksum{}, noEOF(err)
		}
	}
	return Checksum{Algorithm: a.name, Value: base64.StdEncoding.EncodeToString(h.Sum(nil))}, nil
}

// showSource sets the header that says which version was copied.
func (x *exchange) showSource(versionID string) {
	if versionID != "" {
		x.w.Header()["x-amz-copy-source-version-id"] = []string{versionID}
	}
}

func (x *exchange) sendCopied(root, etag string, at time.Time, sum Checksum) {
	d := newDocument(root)
	d.time("LastModified", at)
	d.text("ETag", quote(etag))
	if sum.Algorithm != "" {
		d.text(sum.Algorithm.element(), sum.Value)
		d.text("ChecksumType", sum.kind())
	}
	x.finish(d, root)
}

// copyRange reads the part of a source that a part copies.
func copyRange(header string, size int64) (offset, length int64, err error) {
	if header == "" {
		return 0, size, nil
	}
	spec, ok := strings.CutPrefix(header, "bytes=")
	first, last, dash := strings.Cut(spec, "-")
	from, err1 := strconv.ParseInt(first, 10, 64)
	to, err2 := strconv.ParseInt(last, 10, 64)
	if !ok || !dash || !isDigits(first) || !isDigits(last) || err1 != nil || err2 != nil || to < from {
		return 0, 0, failf(codeInvalidArgument, "The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy")
	}
	if to >= size {
		return 0, 0, failf(codeInvalidRange, "Range specified is not valid for source object of size: %d", size)
	}
	return from, to - from + 1, nil
}

func (x *exchange) uploadPartCopy() error {
	u, err := x.uploader()
	if err != nil {
		return err
	}
	if err := x.checkBody(); err != nil {
		return err
	}
	number, err := x.partNumber()
	if err != nil {
		return err
	}
	upload, err := x.upload(u)
	if err != nil {
		return err
	}
	from, _, err := x.openSource()
	if err != nil {
		return err
	}
	defer func() { x.closed(from.Close()) }()
	source := from.Info()
	offset, length, err := copyRange(x.r.Header.Get(copySource+"-Range"), source.Size)
	if err != nil {
		return err
	}
	c := ContentOf(http.NoBody, 0, upload.Checksum.Algorithm)
	if length > 0 {
		body, err := from.Range(x.r.Context(), offset, length)
		if err != nil {
			return err
		}
		defer func() { x.closed(body.Close()) }()
		c = ContentOf(body, length, upload.Checksum.Algorithm)
	}
	part, err := u.PutPart(x.r.Context(), x.uploadName(), number, c)
	if err != nil {
		return err
	}
	x.showSource(source.VersionID)
	x.sendCopied("CopyPartResult", part.ETag, part.Modified, part.Checksum)
	return nil
}
