package sigv4

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxExpires is the longest life of a presigned request: S3's seven days.
const maxExpires = 7 * 24 * time.Hour

// maxIDBytes bounds an access key ID; AWS's longest is 128.
const maxIDBytes = 128

// Claim is what a request says about its signature; it is not proven until
// CheckTime and Verify have returned nil.
type Claim struct {
	// ID is the access key ID.
	ID string
	// Scope is the credential scope; its Day is the day of At.
	Scope Scope
	// At is the time of signing, in UTC.
	At time.Time
	// Presigned tells whether the signature came in the query.
	Presigned bool
	// Expires is the life of a presigned request: 1 s to 7 days.
	Expires time.Duration
	// SignedHeaders are the covered headers, in lower case and sorted.
	SignedHeaders []string
	// Payload is the payload hash or mode that the signature covers.
	Payload string
	// Token is the session token that came with the request, or "".
	Token string

	signature string
	policy    string // of a form
}

// Present tells whether a request carries any part of a version 4 signature,
// or an Authorization header of any kind.
func Present(r *Request) bool {
	return r.Header["Authorization"] != nil || hasQueryForm(r.Query)
}

// Parse reads the claim of a request. It returns ErrAbsent if the request
// carries none, and refuses whatever is duplicated, unsigned though it must be
// signed, or not understood in full.
func Parse(r *Request) (*Claim, error) {
	byHeader, byQuery := r.Header["Authorization"] != nil, hasQueryForm(r.Query)
	if err := checkDuplicates(r); err != nil {
		return nil, err
	}
	var c *Claim
	var err error
	switch {
	case byHeader && byQuery:
		return nil, failf(ErrAmbiguous, "signed by header and by query")
	case byHeader:
		c, err = parseHeader(r)
	case byQuery:
		c, err = parseQuery(r)
	default:
		return nil, ErrAbsent
	}
	if err != nil {
		return nil, err
	}
	if err := c.checkHeaders(r); err != nil {
		return nil, err
	}
	return c, nil
}

// queryForm lists the parameters whose presence makes a request presigned.
// They are recognised in any case, so that a misspelt one is refused, not ignored.
var queryForm = []string{"x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-expires", "x-amz-signedheaders", "x-amz-signature"}

func hasQueryForm(q Query) bool {
	return slices.ContainsFunc(q, func(p Param) bool {
		return slices.Contains(queryForm, strings.ToLower(p.Name))
	})
}

// repeatable are the headers that may occur more than once, because neither
// a signature nor an S3 operation depends on them.
var repeatable = map[string]bool{
	"Accept": true, "Accept-Charset": true, "Accept-Encoding": true, "Accept-Language": true,
	"Cache-Control": true, "Connection": true, "Cookie": true, "Forwarded": true, "Pragma": true,
	"Te": true, "Upgrade": true, "Via": true, "Warning": true, "X-Forwarded-For": true,
	"X-Forwarded-Host": true, "X-Forwarded-Proto": true,
}

func checkDuplicates(r *Request) error {
	for name, values := range r.Header {
		if len(values) > 1 && !repeatable[name] {
			return failf(ErrAmbiguous, "header %q is given %d times", name, len(values))
		}
	}
	if name := r.Query.Duplicate(); name != "" {
		return failf(ErrAmbiguous, "query parameter %q is given more than once", name)
	}
	return nil
}

func parseHeader(r *Request) (*Claim, error) {
	algorithm, rest, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if algorithm != Algorithm {
		return nil, failf(ErrUnsupported, "%q", algorithm)
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.Trim(part, " \t"), "=")
		if _, again := fields[name]; !ok || again {
			return nil, failf(ErrMalformedHeader, "field %q", name)
		}
		fields[name] = value
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if fields[name] == "" {
			return nil, failf(ErrMalformedHeader, "%s is missing", name)
		}
	}
	if len(fields) != 3 {
		return nil, failf(ErrMalformedHeader, "unknown field")
	}
	c := &Claim{Token: r.Header.Get("X-Amz-Security-Token")}
	dateHeader := "x-amz-date"
	var err error
	if c.At, dateHeader, err = headerTime(r.Header); err != nil {
		return nil, err
	}
	if err := c.fill(ErrMalformedHeader, fields); err != nil {
		return nil, err
	}
	if !slices.Contains(c.SignedHeaders, dateHeader) {
		return nil, failf(ErrUnsignedHeader, "%s", dateHeader)
	}
	c.Payload = r.Header.Get("X-Amz-Content-Sha256")
	if c.Payload == "" {
		return nil, ErrPayloadMissing
	}
	if !isPayload(c.Payload) {
		return nil, failf(ErrPayload, "%q", c.Payload)
	}
	return c, nil
}

// headerTime returns the time of a header-signed request and the name of the
// header that holds it.
func headerTime(h http.Header) (time.Time, string, error) {
	if v := h.Get("X-Amz-Date"); v != "" {
		t, err := time.Parse(TimeFormat, v)
		if err != nil {
			return time.Time{}, "", failf(ErrDate, "x-amz-date %q", v)
		}
		return t, "x-amz-date", nil
	}
	v := h.Get("Date")
	if t, err := time.Parse(TimeFormat, v); err == nil {
		return t, "date", nil
	}
	t, err := http.ParseTime(v)
	if err != nil {
		return time.Time{}, "", failf(ErrDate, "date %q", v)
	}
	return t.UTC(), "date", nil
}

func parseQuery(r *Request) (*Claim, error) {
	q := r.Query
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"} {
		if q.Get(name) == "" {
			return nil, failf(ErrMalformedQuery, "%s is missing", name)
		}
	}
	if a := q.Get("X-Amz-Algorithm"); a != Algorithm {
		return nil, failf(ErrMalformedQuery, "algorithm %q", a)
	}
	at, err := time.Parse(TimeFormat, q.Get("X-Amz-Date"))
	if err != nil {
		return nil, failf(ErrMalformedQuery, "X-Amz-Date %q", q.Get("X-Amz-Date"))
	}
	seconds, err := strconv.ParseUint(q.Get("X-Amz-Expires"), 10, 32)
	if err != nil || seconds < 1 || time.Duration(seconds)*time.Second > maxExpires {
		return nil, failf(ErrMalformedQuery, "X-Amz-Expires %q is not between 1 and 604800", q.Get("X-Amz-Expires"))
	}
	c := &Claim{At: at, Presigned: true, Expires: time.Duration(seconds) * time.Second, Token: q.Get("X-Amz-Security-Token")}
	err = c.fill(ErrMalformedQuery, map[string]string{
		"Credential":    q.Get("X-Amz-Credential"),
		"SignedHeaders": q.Get("X-Amz-SignedHeaders"),
		"Signature":     q.Get("X-Amz-Signature"),
	})
	if err != nil {
		return nil, err
	}
	return c, c.queryPayload(r)
}

// queryPayload finds the payload value of a presigned request: in the query,
// else in a signed header, else the body is unsigned.
func (c *Claim) queryPayload(r *Request) error {
	byQuery, inQuery := r.Query.Lookup("X-Amz-Content-Sha256")
	byHeader, inHeader := r.Header["X-Amz-Content-Sha256"]
	switch {
	case inQuery && inHeader && byQuery != byHeader[0]:
		return failf(ErrAmbiguous, "x-amz-content-sha256 differs in query and header")
	case inQuery:
		c.Payload = byQuery
	case inHeader:
		c.Payload = byHeader[0]
	default:
		c.Payload = Unsigned
	}
	if !isPayload(c.Payload) {
		return failf(ErrPayload, "%q", c.Payload)
	}
	return nil
}

// fill sets what both forms write alike; c.At must be set.
func (c *Claim) fill(kind error, fields map[string]string) error {
	parts := strings.Split(fields["Credential"], "/")
	if len(parts) != 5 || parts[4] != terminator {
		return failf(kind, "credential %q is not ID/DAY/REGION/s3/aws4_request", fields["Credential"])
	}
	c.ID = parts[0]
	c.Scope = Scope{Day: parts[1], Region: parts[2], Service: parts[3]}
	switch {
	case c.ID == "" || len(c.ID) > maxIDBytes:
		return failf(kind, "access key ID of %d bytes", len(c.ID))
	case c.Scope.Region == "":
		return failf(kind, "region is empty")
	case c.Scope.Service != serviceS3:
		return failf(kind, "service %q is not s3", c.Scope.Service)
	case c.Scope.Day != c.At.UTC().Format(dayFormat):
		return failf(kind, "scope day %q is not the day of the request", c.Scope.Day)
	}
	c.SignedHeaders = strings.Split(fields["SignedHeaders"], ";")
	for i, name := range c.SignedHeaders {
		if name == "" || name != strings.ToLower(name) || i > 0 && name <= c.SignedHeaders[i-1] {
			return failf(kind, "signed headers %q are not sorted, unique and in lower case", fields["SignedHeaders"])
		}
	}
	if c.signature = fields["Signature"]; !isLowerHex(c.signature, 64) {
		return failf(kind, "signature is not 64 hex digits")
	}
	return nil
}

// checkHeaders refuses a request whose signature leaves out a header that must
// be signed, or covers one that is not there.
func (c *Claim) checkHeaders(r *Request) error {
	if !c.signs("host") {
		return failf(ErrUnsignedHeader, "host")
	}
	for name := range r.Header {
		if lower := strings.ToLower(name); c.mustSign(lower) && !c.signs(lower) {
			return failf(ErrUnsignedHeader, "%s", lower)
		}
	}
	for _, name := range c.SignedHeaders {
		if _, ok := r.header(name); !ok {
			return failf(ErrMismatch, "signed header %q is not in the request", name)
		}
	}
	return nil
}

// mustSign tells whether a header, if present, has to be signed. Content-Type
// is not among them, as it is not for S3: minio-go left it out for years, so
// restic and others do, and browsers add their own to a presigned URL.
func (c *Claim) mustSign(lower string) bool {
	return strings.HasPrefix(lower, "x-amz-") || !c.Presigned && lower == "content-md5"
}

func (c *Claim) signs(lower string) bool {
	_, ok := slices.BinarySearch(c.SignedHeaders, lower)
	return ok
}
