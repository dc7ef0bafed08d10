package s3proxy

import (
	"encoding/base64"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dvx-io/dvx/pkg/s3proxy/sigv4"
)

// maxKeys is S3's limit on the entries of one page.
const maxKeys = 1000

// listing is what the two list operations have in common.
type listing struct {
	query      ListQuery
	page       ListPage
	encode     func(string) string
	encodeType string
	owner      *Owner // shown with each key, or nil
}

// list runs a list query that begins behind after.
func (x *exchange) list(after string) (*listing, error) {
	q := x.req.Query
	encode, err := keyEncoding(q)
	if err != nil {
		return nil, err
	}
	limit, err := countParam(q, "max-keys", 0, maxKeys)
	if err != nil {
		return nil, err
	}
	l := &listing{
		query: ListQuery{
			Prefix:     q.Get("prefix"),
			Delimiter:  q.Get("delimiter"),
			StartAfter: after,
			MaxKeys:    limit,
		},
		encode:     encode,
		encodeType: q.Get("encoding-type"),
	}
	if err := checkListText(q); err != nil {
		return nil, err
	}
	l.page, err = x.backend.List(x.r.Context(), x.bucket, l.query)
	return l, err
}

// checkListText refuses what no key can be compared with.
func checkListText(q sigv4.Query) error {
	for _, p := range q {
		if modifiers[p.Name] && !utf8.ValidString(p.Value) {
			return failf(codeInvalidArgument, "%s is not valid UTF-8", p.Name)
		}
	}
	return nil
}

// head writes the elements that both versions of the answer share.
func (l *listing) head(d *document, bucket string) {
	d.text("Name", bucket)
	d.text("Prefix", l.encode(l.query.Prefix))
	d.int("MaxKeys", int64(l.query.MaxKeys))
	if l.query.Delimiter != "" {
		d.text("Delimiter", l.encode(l.query.Delimiter))
	}
	if l.encodeType != "" {
		d.text("EncodingType", l.encodeType)
	}
	d.bool("IsTruncated", l.page.Truncated)
}

// entries writes the keys and the common prefixes of the page.
func (l *listing) entries(d *document) {
	for _, o := range l.page.Objects {
		d.open("Contents")
		d.text("Key", l.encode(o.Key))
		d.time("LastModified", o.LastModified)
		d.text("ETag", quote(o.ETag))
		d.listedChecksum(o.Checksum)
		d.int("Size", o.Size)
		if l.owner != nil {
			d.owner("Owner", *l.owner)
		}
		d.text("StorageClass", storageClass(o))
		d.close("Contents")
	}
	for _, p := range l.page.CommonPrefixes {
		d.open("CommonPrefixes")
		d.text("Prefix", l.encode(p))
		d.close("CommonPrefixes")
	}
}

func storageClass(o ObjectInfo) string {
	if o.StorageClass == "" {
		return "STANDARD"
	}
	return o.StorageClass
}

func (x *exchange) listObjects() error {
	marker := x.req.Query.Get("marker")
	l, err := x.list(marker)
	if err != nil {
		return err
	}
	l.owner = &x.opts.Owner
	const root = "ListBucketResult"
	d := newDocument(root)
	l.head(d, x.bucket)
	d.text("Marker", l.encode(marker))
	if l.page.Truncated && l.query.Delimiter != "" {
		d.text("NextMarker", l.encode(l.page.Last()))
	}
	l.entries(d)
	x.finish(d, root)
	return nil
}

func (x *exchange) listObjectsV2() error {
	q := x.req.Query
	if v := q.Get("list-type"); v != "2" {
		return failf(codeInvalidArgument, "list-type %q is not 2", v)
	}
	token, hasToken := q.Lookup("continuation-token")
	startAfter, hasStart := q.Lookup("start-after")
	after, err := decodeToken(token)
	if err != nil {
		return err
	}
	if token == "" {
		after = startAfter
	}
	l, err := x.list(after)
	if err != nil {
		return err
	}
	if q.Get("fetch-owner") == "true" {
		l.owner = &x.opts.Owner
	}
	const root = "ListBucketResult"
	d := newDocument(root)
	l.head(d, x.bucket)
	d.int("KeyCount", int64(len(l.page.Objects)+len(l.page.CommonPrefixes)))
	if hasToken {
		d.text("ContinuationToken", token)
	}
	if hasStart {
		d.text("StartAfter", l.encode(startAfter))
	}
	if l.page.Truncated {
		d.text("NextContinuationToken", encodeToken(l.page.Last()))
	}
	l.entries(d)
	x.finish(d, root)
	return nil
}

// keyEncoding returns how keys are written into the answer.
func keyEncoding(q sigv4.Query) (func(string) string, error) {
	switch v := q.Get("encoding-type"); v {
	case "":
		return func(s string) string { return s }, nil
	case "url":
		return sigv4.EscapePath, nil
	default:
		return nil, failf(codeInvalidArgument, "Invalid Encoding Method specified in Request")
	}
}

// countParam reads a count between low and high; without one it is high, and
// a greater one counts as high.
func countParam(q sigv4.Query, name string, low, high int) (int, error) {
	v := q.Get(name)
	if v == "" {
		return high, nil
	}
	n, err := strconv.ParseInt(v, 10, 32)
	if err != nil || !isDigits(v) || int(n) < low {
		return 0, failf(codeInvalidArgument, "Argument %s must be an integer between %d and 2147483647", name, low)
	}
	return min(int(n), high), nil
}

// tokenVersion begins every token, so that its form can change.
const tokenVersion = "1"

// encodeToken makes a continuation token: where the next page begins, which
// the client has seen, and nothing else.
func encodeToken(after string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(tokenVersion + after))
}

// decodeToken reads a continuation token; the empty one is that of the first
// page. A token that encodeToken would not write is refused.
func decodeToken(token string) (string, error) {
	if token == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	broken := strings.ContainsAny(token, "\r\n") // which the decoder passes over
	if err != nil || broken || len(b) < 2 || string(b[:1]) != tokenVersion || len(b) > 1+maxKeyBytes || !utf8.Valid(b) {
		return "", failf(codeInvalidArgument, "The continuation token provided is incorrect")
	}
	return string(b[1:]), nil
}
