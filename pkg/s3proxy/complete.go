package s3proxy

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// minPartBytes is S3's limit on every part but the last.
const minPartBytes = 5 << 20

// completion is the document that lists the parts of an upload.
type completion struct {
	XMLName xml.Name        `xml:"CompleteMultipartUpload"`
	Parts   []completedPart `xml:"Part"`
}

// completedPart is a part as the client knows it.
type completedPart struct {
	PartNumber        int
	ETag              string
	ChecksumCRC32     string
	ChecksumCRC32C    string
	ChecksumCRC64NVME string
	ChecksumSHA1      string
	ChecksumSHA256    string
}

// checksum returns the checksum that the client gives of algorithm a, or "".
func (p completedPart) checksum(a Algorithm) string {
	switch a {
	case CRC32:
		return p.ChecksumCRC32
	case CRC32C:
		return p.ChecksumCRC32C
	case CRC64NVME:
		return p.ChecksumCRC64NVME
	case SHA1:
		return p.ChecksumSHA1
	case SHA256:
		return p.ChecksumSHA256
	}
	return ""
}

func parseCompletion(doc []byte) ([]completedPart, error) {
	var c completion
	if len(doc) == 0 {
		return nil, fail(codeMalformedXML)
	}
	if err := decodeXML(doc, &c); err != nil {
		return nil, err
	}
	if len(c.Parts) == 0 || len(c.Parts) > maxParts {
		return nil, fail(codeMalformedXML)
	}
	for i, p := range c.Parts {
		switch {
		case p.PartNumber < 1 || p.PartNumber > maxParts:
			return nil, failf(codeInvalidArgument, "PartNumber must be >= 1")
		case i > 0 && p.PartNumber <= c.Parts[i-1].PartNumber:
			return nil, fail(codeInvalidPartOrder)
		}
		c.Parts[i].ETag = strings.Trim(p.ETag, `"`)
	}
	return c.Parts, nil
}

// withoutChecksums returns headers without those that hold a checksum, which
// here is not of the body but of the object.
func withoutChecksums(h http.Header) http.Header {
	h = h.Clone()
	for _, a := range algorithms {
		h.Del(a.header())
	}
	return h
}

func (x *exchange) completeMultipartUpload() error {
	u, err := x.uploader()
	if err != nil {
		return err
	}
	doc, err := x.documentAs(withoutChecksums(x.r.Header))
	if err != nil {
		return err
	}
	wanted, err := parseCompletion(doc)
	if err != nil {
		return err
	}
	ctx, name := x.r.Context(), x.uploadName()
	page, err := u.ListParts(ctx, name, 0, maxParts)
	if errors.Is(err, ErrNoSuchUpload) {
		return x.completedBefore(wanted, err)
	}
	if err != nil {
		return err
	}
	c, err := complete(page.Upload, page.Parts, wanted, x.r.Header)
	if err != nil {
		return err
	}
	c.If = NewPrecondition(x.r.Header)
	info, err := u.CompleteUpload(ctx, name, c)
	if errors.Is(err, ErrNoSuchUpload) { // by another request, meanwhile
		return x.completedBefore(wanted, err)
	}
	if err != nil {
		return err
	}
	x.sendCompleted(info)
	return nil
}

// completedBefore answers a request for an upload that is no more. Where the
// object is what the request's parts make, an earlier try has succeeded whose
// answer the client did not get.
func (x *exchange) completedBefore(wanted []completedPart, none error) error {
	o, err := x.backend.Open(x.r.Context(), x.written())
	if err != nil {
		return none
	}
	info := o.Info()
	x.closed(o.Close())
	parts := make([]Part, len(wanted))
	for i, p := range wanted {
		parts[i].ETag = p.ETag
	}
	if etag, err := joinETags(parts); err != nil || etag != info.ETag {
		return none
	}
	x.sendCompleted(info)
	return nil
}

func (x *exchange) sendCompleted(info ObjectInfo) {
	const root = "CompleteMultipartUploadResult"
	x.showVersion(info.VersionID)
	d := newDocument(root)
	d.text("Location", x.origin()+x.req.RawPath)
	d.text("Bucket", x.bucket)
	d.text("Key", x.key)
	d.text("ETag", quote(info.ETag))
	d.checksum(info.Checksum)
	if info.Checksum.Algorithm != "" {
		d.text("ChecksumType", info.Checksum.kind())
	}
	x.finish(d, root)
}

// origin returns the scheme and host that the client used.
func (x *exchange) origin() string {
	if x.r.TLS != nil {
		return "https://" + x.req.Host
	}
	return "http://" + x.req.Host
}

// complete makes of the parts that an upload has, and those that the client
// wants, what the upload becomes.
func complete(u Upload, has []Part, wanted []completedPart, h http.Header) (Completion, error) {
	var c Completion
	for i, w := range wanted {
		p, ok := findPart(has, w)
		if !ok {
			return c, invalidPart(u, w)
		}
		if err := checkPartSum(u, p, w); err != nil {
			return c, err
		}
		if p.Size < minPartBytes && i < len(wanted)-1 {
			f := fail(codeEntityTooSmall)
			f.fields = []field{
				{"ProposedSize", strconv.FormatInt(p.Size, 10)},
				{"MinSizeAllowed", strconv.Itoa(minPartBytes)},
				{"PartNumber", strconv.Itoa(p.Number)},
				{"ETag", p.ETag},
			}
			return c, f
		}
		c.Parts = append(c.Parts, p)
		c.Size += p.Size
	}
	var err error
	if c.ETag, err = joinETags(c.Parts); err != nil {
		return c, err
	}
	if v := h.Get("X-Amz-Mp-Object-Size"); v != "" {
		if n, err := strconv.ParseInt(v, 10, 64); err != nil || n < 0 {
			return c, failf(codeInvalidRequest, "Value for x-amz-mp-object-size header is invalid.")
		} else if n != c.Size {
			return c, failf(codeInvalidRequest, "The provided 'x-amz-mp-object-size' header value %d does not match what was computed: %d", n, c.Size)
		}
	}
	c.Checksum, err = joinChecksums(u.Checksum, c.Parts)
	if err != nil {
		return c, err
	}
	return c, checkWhole(c.Checksum, h)
}

func findPart(has []Part, w completedPart) (Part, bool) {
	for _, p := range has { // at most 10,000, against which a request is long
		if p.Number == w.PartNumber {
			return p, p.ETag == w.ETag
		}
	}
	return Part{}, false
}

func invalidPart(u Upload, w completedPart) error {
	f := fail(codeInvalidPart)
	f.fields = []field{{"UploadId", u.ID}, {"PartNumber", strconv.Itoa(w.PartNumber)}, {"ETag", w.ETag}}
	return f
}

// checkPartSum compares the checksum that a client gives of a part.
func checkPartSum(u Upload, p Part, w completedPart) error {
	for _, a := range algorithms {
		given := w.checksum(a.name)
		switch {
		case given == "" && u.Checksum.Composite && a.name == u.Checksum.Algorithm:
			return failf(codeInvalidRequest, "The upload was created using a %s checksum. The complete request must include the checksum for each part. It was missing for part %d in the request.",
				strings.ToLower(string(a.name)), w.PartNumber)
		case given == "":
		case !a.valid(given), p.Checksum.Algorithm == a.name && p.Checksum.Value != given:
			return invalidPart(u, w)
		}
	}
	return nil
}

// joinETags returns the ETag of an object that comes in parts.
func joinETags(parts []Part) (string, error) {
	h := md5.New()
	for _, p := range parts {
		b, err := hex.DecodeString(p.ETag)
		if err != nil || len(b) != md5.Size {
			return "", fail(codeInvalidPart)
		}
		h.Write(b)
	}
	return fmt.Sprintf("%x-%d", h.Sum(nil), len(parts)), nil
}

// joinChecksums returns the checksum of an object from those of its parts, or
// zero where a part has none of that algorithm.
func joinChecksums(want Checksum, parts []Part) (Checksum, error) {
	a, ok := findAlgorithm(string(want.Algorithm))
	for _, p := range parts {
		ok = ok && p.Checksum.Algorithm == want.Algorithm
	}
	if !ok {
		return Checksum{}, nil
	}
	var err error
	if want.Composite {
		want.Value, err = a.composite(parts)
		want.Value += "-" + strconv.Itoa(len(parts))
	} else {
		want.Value, err = a.join(parts)
	}
	return want, err
}

// checkWhole compares the checksum that a client gives of the whole object.
func checkWhole(c Checksum, h http.Header) error {
	if kind := h.Get("X-Amz-Checksum-Type"); kind != "" && kind != c.kind() {
		return failf(codeInvalidRequest, "The upload was created using the %s checksum mode. The complete request must use the same checksum mode.", c.kind())
	}
	for _, a := range algorithms {
		given := h.Get(a.header())
		switch {
		case given == "" || a.name != c.Algorithm:
		case given != c.Value && given != strings.SplitN(c.Value, "-", 2)[0]:
			return badChecksum(a)
		}
	}
	return nil
}
