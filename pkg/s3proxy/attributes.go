package s3proxy

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// maxMetaBytes is S3's limit on the user's metadata: names and values together.
const maxMetaBytes = 2 << 10

const metaPrefix = "X-Amz-Meta-"

// storageClasses are the classes that S3 knows. All are kept as STANDARD.
var storageClasses = []string{
	"STANDARD", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING",
	"GLACIER", "GLACIER_IR", "DEEP_ARCHIVE", "OUTPOSTS", "SNOW", "EXPRESS_ONEZONE",
}

// readAttributes reads what a client wants to have stored with an object from
// the headers of its request, or the fields of its form.
func readAttributes(h http.Header) (Attributes, error) {
	if err := checkStorageHeaders(h); err != nil {
		return Attributes{}, err
	}
	a := Attributes{
		ContentType:        h.Get("Content-Type"),
		CacheControl:       strings.Join(h["Cache-Control"], ", "),
		ContentDisposition: h.Get("Content-Disposition"),
		ContentEncoding:    withoutChunked(h["Content-Encoding"]),
		ContentLanguage:    h.Get("Content-Language"),
		Expires:            h.Get("Expires"),
	}
	var err error
	if a.Meta, err = readMeta(h); err != nil {
		return Attributes{}, err
	}
	a.Tags, err = parseTagHeader(h.Get("X-Amz-Tagging"))
	return a, err
}

// withoutChunked returns a Content-Encoding without aws-chunked, which is how a
// body was sent and not what it holds. One that does not have it stays as it is.
func withoutChunked(values []string) string {
	given := strings.Join(values, ", ")
	chunked := false
	var kept []string
	for v := range strings.SplitSeq(given, ",") {
		v = strings.TrimSpace(v)
		if strings.EqualFold(v, "aws-chunked") {
			chunked = true
		} else if v != "" {
			kept = append(kept, v)
		}
	}
	if !chunked {
		return given
	}
	return strings.Join(kept, ", ")
}

// readMeta returns the user's metadata. As in S3, values in the encoding of
// RFC 2047 are decoded.
func readMeta(h http.Header) (map[string]string, error) {
	var meta map[string]string
	size := 0
	var decoder mime.WordDecoder
	for name, values := range h {
		name, ok := strings.CutPrefix(name, metaPrefix)
		if !ok || name == "" {
			continue
		}
		value := strings.Join(values, ",")
		size += len(name) + len(value)
		if decoded, err := decoder.DecodeHeader(value); err == nil {
			value = decoded
		}
		if meta == nil {
			meta = map[string]string{}
		}
		meta[strings.ToLower(name)] = value
	}
	if size > maxMetaBytes {
		return nil, fail(codeMetadataTooLarge)
	}
	return meta, nil
}

// cannedACLs are the lists of rights that S3 has names for. They are accepted
// and change nothing: who may do what is not kept with objects.
var cannedACLs = []string{
	"private", "public-read", "public-read-write", "authenticated-read",
	"aws-exec-read", "bucket-owner-read", "bucket-owner-full-control", "log-delivery-write",
}

// checkStorageHeaders refuses headers that ask for what is not served, where
// taking no notice would break a promise, and those that no server knows.
func checkStorageHeaders(h http.Header) error {
	for name := range h {
		switch {
		case strings.HasPrefix(name, "X-Amz-Server-Side-Encryption"),
			strings.HasPrefix(name, "X-Amz-Copy-Source-Server-Side-Encryption"):
			return failf(codeNotImplemented, "Server side encryption is not served.")
		case strings.HasPrefix(name, "X-Amz-Object-Lock"):
			return failf(codeInvalidRequest, "Bucket is missing Object Lock Configuration")
		case name == "X-Amz-Write-Offset-Bytes":
			return failf(codeNotImplemented, "Appending to an object is not served.")
		}
	}
	if v := h.Get("X-Amz-Storage-Class"); v != "" && !slices.Contains(storageClasses, v) {
		return fail(codeInvalidStorageClass)
	}
	if v := h.Get("X-Amz-Acl"); v != "" && !slices.Contains(cannedACLs, v) {
		return failf(codeInvalidArgument, "The canned ACL %.40q is not known", v)
	}
	return nil
}

// parseTagHeader reads tags written as a query: a=1&b=2.
func parseTagHeader(v string) (map[string]string, error) {
	if v == "" {
		return nil, nil
	}
	q, err := url.ParseQuery(v)
	if err != nil {
		return nil, failf(codeInvalidArgument, "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
	}
	tags := map[string]string{}
	for name, values := range q {
		if len(values) > 1 {
			return nil, failf(codeInvalidArgument, "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.")
		}
		tags[name] = values[0]
	}
	return tags, checkTags(tags, maxObjectTags)
}
