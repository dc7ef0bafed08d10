package s3proxy

import (
	"net/http"
	"strconv"
)

// writer returns the backend as one that takes writes.
func (x *exchange) writer() (Writer, error) {
	if x.Handler.writer == nil {
		return nil, ErrReadOnly
	}
	return x.Handler.writer, nil
}

// objectName is the object that a request is about, of the version that it
// names.
func (x *exchange) objectName() (ObjectName, error) {
	version, given := x.req.Query.Lookup("versionId")
	if given && version == "" {
		return ObjectName{}, failf(codeInvalidArgument, "Version id cannot be the empty string")
	}
	return ObjectName{Bucket: x.bucket, Key: x.key, VersionID: version}, nil
}

// written is the object that a request writes.
func (x *exchange) written() ObjectName { return ObjectName{Bucket: x.bucket, Key: x.key} }

// checkWritten refuses the write of an object that names a version, or a part
// without its upload: who asks for that does not mean to replace the object.
func (x *exchange) checkWritten() error {
	switch {
	case x.req.Query.Has("versionId"):
		return failf(codeInvalidArgument, "This operation does not accept a version-id.")
	case x.req.Query.Has("partNumber"):
		return failf(codeInvalidArgument, "This operation does not accept a part number without an upload ID.")
	}
	return nil
}

func (x *exchange) putObject() error {
	w, err := x.writer()
	if err != nil {
		return err
	}
	if err := x.checkWritten(); err != nil {
		return err
	}
	attrs, err := readAttributes(x.r.Header)
	if err != nil {
		return err
	}
	c, err := x.object()
	if err != nil {
		return err
	}
	c.wantDefault()
	info, err := x.put(w, x.written(), c, PutOptions{Attributes: attrs, If: NewPrecondition(x.r.Header)})
	if err != nil {
		return err
	}
	x.showWritten(info)
	x.w.WriteHeader(http.StatusOK)
	return nil
}

// put stores an object. What the content's sender did wrong outweighs what the
// backend made of it.
func (x *exchange) put(w Writer, name ObjectName, c *Content, o PutOptions) (ObjectInfo, error) {
	info, err := w.Put(x.r.Context(), name, c, o)
	if f := c.failure(); err != nil && f != nil {
		return info, f
	}
	return info, err
}

// showWritten sets the headers that describe what was written.
func (x *exchange) showWritten(info ObjectInfo) {
	h := x.w.Header()
	h["ETag"] = []string{quote(info.ETag)}
	h["x-amz-object-size"] = []string{strconv.FormatInt(info.Size, 10)}
	x.showVersion(info.VersionID)
	x.showChecksum(info.Checksum)
}

// showVersion sets the header that names a version, if there is one.
func (x *exchange) showVersion(id string) {
	if id != "" {
		x.w.Header()["x-amz-version-id"] = []string{id}
	}
}

// showChecksum sets the headers that hold a checksum, if there is one.
func (x *exchange) showChecksum(c Checksum) {
	if a, ok := findAlgorithm(string(c.Algorithm)); ok {
		x.w.Header()[a.header()] = []string{c.Value}
		x.w.Header()["x-amz-checksum-type"] = []string{c.kind()}
	}
}

func quote(etag string) string { return `"` + etag + `"` }
