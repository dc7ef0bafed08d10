package s3proxy

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// maxParts is S3's greatest part number.
const maxParts = 10_000

// copyBytes is the piece in which content goes to a client. The first piece is
// read before the answer begins, so that an object which cannot be read gets
// an error and not half an answer.
const copyBytes = 128 << 10

// buffers holds pieces between requests.
var buffers = sync.Pool{New: func() any { return new([copyBytes]byte) }}

// open opens the request's object.
func (x *exchange) open() (Object, error) {
	name, err := x.objectName()
	if err != nil {
		return nil, err
	}
	return x.backend.Open(x.r.Context(), name)
}

func (x *exchange) headObject() error { return x.read(false) }

func (x *exchange) getObject() error { return x.read(true) }

// read answers GetObject and HeadObject, which differ in the body only.
func (x *exchange) read(withBody bool) error {
	overrides, err := x.overrides()
	if err != nil {
		return err
	}
	o, err := x.open()
	if err != nil {
		return err
	}
	defer func() { x.closed(o.Close()) }()
	info := o.Info()
	if err := checkConditions(x.r.Header, info); err != nil {
		if isNotModified(err) {
			x.describe(info)
		}
		return err
	}
	part, err := x.span(info)
	if err != nil {
		return err
	}
	begin := func() {
		x.describe(info)
		x.describePart(info, part)
		x.w.Header().Set("Content-Length", strconv.FormatInt(part.length, 10))
		status := http.StatusOK
		if part.partial {
			status = http.StatusPartialContent
			x.w.Header().Set("Content-Range", part.contentRange(info.Size))
		}
		for _, f := range overrides {
			x.w.Header().Set(f.name, f.value)
		}
		x.w.WriteHeader(status)
	}
	if !withBody || part.length == 0 {
		begin()
		return nil
	}
	return x.sendContent(o, part, begin)
}

// closed logs what went wrong at closing: the answer has been given by then,
// and is right.
func (x *exchange) closed(err error) {
	if err != nil {
		x.opts.Log.Warn("close object", "request_id", x.id, "bucket", x.bucket, "key", x.key, "error", err)
	}
}

// describe sets the headers that describe an object.
func (x *exchange) describe(info ObjectInfo) {
	h := x.w.Header()
	h["ETag"] = []string{quote(info.ETag)}
	h.Set("Last-Modified", info.LastModified.UTC().Format(http.TimeFormat))
	h.Set("Accept-Ranges", "bytes")
	h.Set("Content-Type", "binary/octet-stream")
	for _, f := range []field{
		{"Content-Type", info.ContentType},
		{"Cache-Control", info.CacheControl},
		{"Content-Disposition", info.ContentDisposition},
		{"Content-Encoding", info.ContentEncoding},
		{"Content-Language", info.ContentLanguage},
		{"Expires", info.Expires},
	} {
		if f.value != "" {
			h.Set(f.name, f.value)
		}
	}
	// Names go out as they are stored: clients hand them to programs that
	// compare them.
	x.showVersion(info.VersionID)
	if info.StorageClass != "" && info.StorageClass != "STANDARD" {
		h["x-amz-storage-class"] = []string{info.StorageClass}
	}
	for name, value := range info.Meta {
		h["x-amz-meta-"+name] = []string{mime.BEncoding.Encode("UTF-8", value)}
	}
	if len(info.Tags) > 0 {
		h["x-amz-tagging-count"] = []string{strconv.Itoa(len(info.Tags))}
	}
}

// describePart sets the headers that depend on how much is answered with. A
// checksum is shown to who asked for it, and never beside other bytes than
// those that it is of: clients compare them.
func (x *exchange) describePart(info ObjectInfo, s span) {
	if x.req.Query.Has("partNumber") && len(info.Parts) > 0 {
		x.w.Header()["x-amz-mp-parts-count"] = []string{strconv.Itoa(len(info.Parts))}
	}
	if strings.EqualFold(x.r.Header.Get("X-Amz-Checksum-Mode"), "ENABLED") && !s.partial {
		x.showChecksum(info.Checksum)
	}
}

// span returns the part of the object that Range or partNumber asks for.
func (x *exchange) span(info ObjectInfo) (span, error) {
	header := x.r.Header.Get("Range")
	number, given := x.req.Query.Lookup("partNumber")
	if !given {
		if header == "" || !rangeApplies(x.r.Header, info) {
			return span{length: info.Size}, nil
		}
		return parseRange(header, info.Size)
	}
	n, err := strconv.Atoi(number)
	switch {
	case header != "":
		return span{}, failf(codeInvalidRequest, "Cannot specify both Range header and partNumber query parameter")
	case err != nil || n < 1 || n > maxParts:
		return span{}, failf(codeInvalidArgument, "Part number must be an integer between 1 and 10000, inclusive")
	}
	return partSpan(info, n)
}

// partSpan returns where the part of a number lies in an object. What was put
// whole is one part.
func partSpan(info ObjectInfo, number int) (span, error) {
	if len(info.Parts) == 0 && number == 1 {
		return span{length: info.Size, partial: info.Size > 0}, nil
	}
	var offset int64
	for _, p := range info.Parts {
		if p.Number == number {
			return span{offset: offset, length: p.Size, partial: p.Size > 0}, nil
		}
		offset += p.Size
	}
	return span{}, fail(codeBadPartNumber)
}

// sendContent sends a part of an object, calling begin when its first piece is
// at hand. Once the answer has begun, an error can only be shown by cutting the
// connection, which fail does.
func (x *exchange) sendContent(o Object, part span, begin func()) error {
	body, err := o.Range(x.r.Context(), part.offset, part.length)
	if err != nil {
		return err
	}
	defer func() { x.closed(body.Close()) }()
	buf := buffers.Get().(*[copyBytes]byte)
	defer func() {
		if buf != nil {
			buffers.Put(buf)
		}
	}()
	least := 1 // what more is in buf may lie in another chunk, which would be fetched alone
	if part.length <= copyBytes {
		least = int(part.length)
	}
	n, err := io.ReadAtLeast(body, buf[:min(part.length, copyBytes)], least)
	if err != nil {
		return noEOF(err)
	}
	first := buf[:n]
	out := x.w.watchWrites(x.opts.Stall)
	defer out.stop()
	begin()
	if _, err := out.Write(first); err != nil {
		return err
	}
	rest := part.length - int64(len(first))
	if rest == 0 {
		return nil
	}
	var sent int64
	if w, ok := body.(io.WriterTo); ok {
		buffers.Put(buf) // which a slow client would keep
		buf = nil
		sent, err = w.WriteTo(out) // exactly rest bytes, see [Object]
	} else {
		sent, err = io.CopyBuffer(out, io.LimitReader(body, rest), buf[:])
	}
	if err == nil && sent < rest {
		err = io.ErrUnexpectedEOF
	}
	return err
}

// noEOF makes a stream that ended early an error that nobody takes for its end.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// overrides returns the headers that the response- parameters set. They are
// part of what is signed, so that nobody can make a trusted URL answer with a
// type or name of his own choice; an unsigned request may not use them.
func (x *exchange) overrides() ([]field, error) {
	var out []field
	for _, p := range x.req.Query {
		name, ok := strings.CutPrefix(p.Name, "response-")
		if !ok {
			continue
		}
		switch name {
		case "content-type", "content-language", "expires", "cache-control", "content-disposition", "content-encoding":
		default:
			continue
		}
		if x.caller.anonymous {
			return nil, failf(codeInvalidRequest, "Request specific response headers cannot be used for anonymous GET requests.")
		}
		if p.Value != "" {
			out = append(out, field{http.CanonicalHeaderKey(name), p.Value})
		}
	}
	return out, nil
}

// statObject fails unless the object exists.
func (x *exchange) statObject() error {
	o, err := x.open()
	if err != nil {
		return err
	}
	return o.Close()
}

// noObjectLock answers for locks on an object, which no bucket has.
func (x *exchange) noObjectLock() error {
	if x.route.readsBody() {
		if _, err := x.document(); err != nil {
			return err
		}
	}
	if err := x.statObject(); err != nil {
		return err
	}
	return failf(codeInvalidRequest, "Bucket is missing Object Lock Configuration")
}
