package s3proxy

import (
	"errors"
	"net/http"
	"strconv"
)

// uploader returns the backend as one that takes objects in parts.
func (x *exchange) uploader() (Uploader, error) {
	if x.Handler.uploader == nil {
		return nil, ErrReadOnly
	}
	return x.Handler.uploader, nil
}

// uploadName is the upload that a request is about.
func (x *exchange) uploadName() UploadName {
	return UploadName{Bucket: x.bucket, Key: x.key, ID: x.req.Query.Get("uploadId")}
}

// upload describes the upload that a request is about.
func (x *exchange) upload(u Uploader) (Upload, error) {
	page, err := u.ListParts(x.r.Context(), x.uploadName(), 0, 0)
	return page.Upload, err
}

func (x *exchange) partNumber() (int, error) {
	n, err := strconv.Atoi(x.req.Query.Get("partNumber"))
	if err != nil || n < 1 || n > maxParts {
		return 0, failf(codeInvalidArgument, "Part number must be an integer between 1 and 10000, inclusive")
	}
	return n, nil
}

// uploadChecksum reads which checksum the object of an upload shall have. S3
// gives it one over its content if the client does not say.
func uploadChecksum(h http.Header) (Checksum, error) {
	named, kind := h.Get("X-Amz-Checksum-Algorithm"), h.Get("X-Amz-Checksum-Type")
	if named == "" {
		if kind != "" {
			return Checksum{}, failf(codeInvalidRequest, "The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.")
		}
		return Checksum{Algorithm: CRC64NVME}, nil
	}
	a, ok := findAlgorithm(named)
	if !ok {
		return Checksum{}, unsupportedAlgorithm()
	}
	c := Checksum{Algorithm: a.name, Composite: a.compositeByDefault}
	switch kind {
	case "":
	case "COMPOSITE":
		c.Composite = true
	case "FULL_OBJECT":
		c.Composite = false
	default:
		return Checksum{}, failf(codeInvalidRequest, "Value for x-amz-checksum-type header is invalid.")
	}
	if c.Composite && a.name == CRC64NVME || !c.Composite && a.poly == 0 {
		return Checksum{}, failf(codeInvalidRequest, "The %s checksum type cannot be used with the %s checksum algorithm.", c.kind(), a.name)
	}
	return c, nil
}

func (x *exchange) createMultipartUpload() error {
	u, err := x.uploader()
	if err != nil {
		return err
	}
	if _, err := x.document(); err != nil { // which S3 takes no notice of
		return err
	}
	attrs, err := readAttributes(x.r.Header)
	if err != nil {
		return err
	}
	sum, err := uploadChecksum(x.r.Header)
	if err != nil {
		return err
	}
	id, err := u.CreateUpload(x.r.Context(), x.written(), attrs, sum)
	if err != nil {
		return err
	}
	if x.r.Header.Get("X-Amz-Checksum-Algorithm") != "" {
		x.w.Header()["x-amz-checksum-algorithm"] = []string{string(sum.Algorithm)}
		x.w.Header()["x-amz-checksum-type"] = []string{sum.kind()}
	}
	const root = "InitiateMultipartUploadResult"
	d := newDocument(root)
	d.text("Bucket", x.bucket)
	d.text("Key", x.key)
	d.text("UploadId", id)
	x.finish(d, root)
	return nil
}

func (x *exchange) uploadPart() error {
	u, err := x.uploader()
	if err != nil {
		return err
	}
	number, err := x.partNumber()
	if err != nil {
		return err
	}
	if err := checkStorageHeaders(x.r.Header); err != nil {
		return err
	}
	c, err := x.object()
	if err != nil {
		return err
	}
	upload, err := x.upload(u)
	if err != nil {
		return err
	}
	want := upload.Checksum
	if sent := c.wanted; sent != want.Algorithm && want.Algorithm != CRC64NVME && (sent != "" || want.Composite) {
		if sent == "" {
			sent = "null"
		}
		return failf(codeInvalidRequest, "Checksum Type mismatch occurred, expected checksum Type: %s, actual checksum Type: %s", want.Algorithm, sent)
	}
	sent := c.wanted
	c.want(want.Algorithm)
	part, err := u.PutPart(x.r.Context(), x.uploadName(), number, c)
	if f := c.failure(); err != nil && f != nil {
		return f
	}
	if err != nil {
		return err
	}
	x.w.Header()["ETag"] = []string{quote(part.ETag)}
	if sent != "" && sent != want.Algorithm {
		c.wanted = sent // is shown to who sent it
	}
	if a, ok := findAlgorithm(string(c.wanted)); ok {
		x.w.Header()[a.header()] = []string{c.Checksum().Value}
	}
	x.w.WriteHeader(http.StatusOK)
	return nil
}

func (x *exchange) abortMultipartUpload() error {
	u, err := x.uploader()
	if err != nil {
		return err
	}
	if err := u.AbortUpload(x.r.Context(), x.uploadName()); err != nil {
		return err
	}
	x.w.WriteHeader(http.StatusNoContent)
	return nil
}

func (x *exchange) listParts() error {
	u, err := x.uploader()
	if errors.Is(err, ErrReadOnly) { // where no upload can be
		if err := x.statBucket(); err != nil {
			return err
		}
		return fail(codeNoSuchUpload)
	}
	q := x.req.Query
	limit, err := countParam(q, "max-parts", 0, maxKeys)
	if err != nil {
		return err
	}
	after, err := countParam(q, "part-number-marker", 0, 1<<31-1)
	if err != nil {
		return err
	}
	if q.Get("part-number-marker") == "" {
		after = 0
	}
	encode, err := keyEncoding(q)
	if err != nil {
		return err
	}
	page, err := u.ListParts(x.r.Context(), x.uploadName(), after, limit)
	if err != nil {
		return err
	}
	const root = "ListPartsResult"
	d := newDocument(root)
	d.text("Bucket", x.bucket)
	d.text("Key", encode(x.key))
	if v := q.Get("encoding-type"); v != "" {
		d.text("EncodingType", v)
	}
	d.text("UploadId", page.Upload.ID)
	d.owner("Initiator", x.opts.Owner)
	d.owner("Owner", x.opts.Owner)
	d.text("StorageClass", "STANDARD")
	d.int("PartNumberMarker", int64(after))
	next := after
	if n := len(page.Parts); n > 0 {
		next = page.Parts[n-1].Number
	}
	d.int("NextPartNumberMarker", int64(next))
	d.int("MaxParts", int64(limit))
	d.bool("IsTruncated", page.Truncated)
	if sum := page.Upload.Checksum; sum.Algorithm != "" {
		d.text("ChecksumAlgorithm", string(sum.Algorithm))
		d.text("ChecksumType", sum.kind())
	}
	for _, p := range page.Parts {
		d.open("Part")
		d.int("PartNumber", int64(p.Number))
		d.time("LastModified", p.Modified)
		d.text("ETag", quote(p.ETag))
		d.int("Size", p.Size)
		d.checksum(p.Checksum)
		d.close("Part")
	}
	x.finish(d, root)
	return nil
}

func (x *exchange) listMultipartUploads() error {
	if err := x.statBucket(); err != nil {
		return err
	}
	q := x.req.Query
	limit, err := countParam(q, "max-uploads", 0, maxKeys)
	if err != nil {
		return err
	}
	encode, err := keyEncoding(q)
	if err != nil {
		return err
	}
	uq := UploadQuery{
		Prefix: q.Get("prefix"), Delimiter: q.Get("delimiter"),
		KeyMarker: q.Get("key-marker"), IDMarker: q.Get("upload-id-marker"), Max: limit,
	}
	if uq.KeyMarker == "" {
		uq.IDMarker = "" // S3 ignores it by itself
	}
	var page UploadPage
	if u := x.Handler.uploader; u != nil {
		if page, err = u.ListUploads(x.r.Context(), x.bucket, uq); err != nil {
			return err
		}
	}
	x.sendUploads(uq, page, encode, q.Get("encoding-type"))
	return nil
}

func (x *exchange) sendUploads(q UploadQuery, page UploadPage, encode func(string) string, encoding string) {
	const root = "ListMultipartUploadsResult"
	d := newDocument(root)
	d.text("Bucket", x.bucket)
	d.text("KeyMarker", encode(q.KeyMarker))
	d.text("UploadIdMarker", q.IDMarker)
	if page.Truncated {
		key, id := page.last()
		d.text("NextKeyMarker", encode(key))
		d.text("NextUploadIdMarker", id)
	}
	d.text("Prefix", encode(q.Prefix))
	if q.Delimiter != "" {
		d.text("Delimiter", encode(q.Delimiter))
	}
	if encoding != "" {
		d.text("EncodingType", encoding)
	}
	d.int("MaxUploads", int64(q.Max))
	d.bool("IsTruncated", page.Truncated)
	for _, u := range page.Uploads {
		d.open("Upload")
		d.text("Key", encode(u.Key))
		d.text("UploadId", u.ID)
		d.owner("Initiator", x.opts.Owner)
		d.owner("Owner", x.opts.Owner)
		d.text("StorageClass", "STANDARD")
		d.time("Initiated", u.Started)
		if u.Checksum.Algorithm != "" {
			d.text("ChecksumAlgorithm", string(u.Checksum.Algorithm))
			d.text("ChecksumType", u.Checksum.kind())
		}
		d.close("Upload")
	}
	for _, p := range page.CommonPrefixes {
		d.open("CommonPrefixes")
		d.text("Prefix", encode(p))
		d.close("CommonPrefixes")
	}
	x.finish(d, root)
}

// last returns the markers of the page's greatest entry.
func (p UploadPage) last() (key, id string) {
	if n := len(p.Uploads); n > 0 {
		key, id = p.Uploads[n-1].Key, p.Uploads[n-1].ID
	}
	if n := len(p.CommonPrefixes); n > 0 && p.CommonPrefixes[n-1] > key {
		key, id = p.CommonPrefixes[n-1], ""
	}
	return key, id
}
