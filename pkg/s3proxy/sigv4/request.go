package sigv4

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Request is the part of an HTTP request that a signature may cover.
type Request struct {
	// Method is the HTTP method as sent.
	Method string
	// Host is the value of the Host header, with a port if one was sent.
	Host string
	// Path is the request path, percent-decoded exactly once; it begins with a slash.
	Path string
	// RawPath is the request path as sent.
	RawPath string
	// Query holds the decoded query parameters in the order sent.
	Query Query
	// Header holds the request's headers; it is shared with the HTTP request.
	Header http.Header
	// ContentLength is the declared body length, or -1.
	ContentLength int64
}

// FromHTTP returns r as a Request, decoding its path and query once; it
// returns an error of kind ErrEncoding if either cannot be decoded.
func FromHTTP(r *http.Request) (*Request, error) {
	raw := r.URL.EscapedPath()
	if raw == "" {
		raw = "/"
	}
	if raw[0] != '/' {
		return nil, failf(ErrEncoding, "path %q does not begin with a slash", raw)
	}
	path, err := url.PathUnescape(raw)
	if err != nil {
		return nil, failf(ErrEncoding, "path: %v", err)
	}
	query, err := ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, err
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	return &Request{
		Method:        r.Method,
		Host:          host,
		Path:          path,
		RawPath:       raw,
		Query:         query,
		Header:        r.Header,
		ContentLength: r.ContentLength,
	}, nil
}

// header returns the canonical value of a header named in lower case, and
// whether the request has it.
func (r *Request) header(name string) (string, bool) {
	values, ok := r.Header[http.CanonicalHeaderKey(name)]
	switch {
	case name == "host":
		return squeeze(r.Host), true
	case ok:
		trimmed := make([]string, len(values))
		for i, v := range values {
			trimmed[i] = squeeze(v)
		}
		return strings.Join(trimmed, ","), true
	case name == "content-length" && r.ContentLength >= 0:
		return strconv.FormatInt(r.ContentLength, 10), true
	}
	return "", false
}

// squeeze trims a header value and makes one space of each run of spaces.
func squeeze(v string) string {
	v = strings.Trim(v, " \t")
	if !strings.Contains(v, "  ") {
		return v
	}
	var b strings.Builder
	for i := 0; i < len(v); i++ {
		if v[i] != ' ' || v[i-1] != ' ' {
			b.WriteByte(v[i])
		}
	}
	return b.String()
}

// Param is one decoded query parameter; Value is empty if there was none.
type Param struct{ Name, Value string }

// Query is a decoded query in the order sent.
type Query []Param

// ParseQuery decodes a raw query once. Parameters are separated by "&" only,
// and "+" means a space, as S3 reads it.
func ParseQuery(raw string) (Query, error) {
	var q Query
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		n, err := url.QueryUnescape(name)
		if err != nil {
			return nil, failf(ErrEncoding, "query: %v", err)
		}
		v, err := url.QueryUnescape(value)
		if err != nil {
			return nil, failf(ErrEncoding, "query: %v", err)
		}
		q = append(q, Param{n, v})
	}
	return q, nil
}

// Get returns the value of the first parameter of that name, or "".
func (q Query) Get(name string) string {
	v, _ := q.Lookup(name)
	return v
}

// Has tells whether a parameter of that name is present, with a value or not.
func (q Query) Has(name string) bool {
	_, ok := q.Lookup(name)
	return ok
}

// Lookup returns the value of the first parameter of that name and whether
// there is one.
func (q Query) Lookup(name string) (string, bool) {
	for _, p := range q {
		if p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

// Duplicate returns a name that occurs more than once, without regard to case,
// or "".
func (q Query) Duplicate() string {
	names := make([]string, len(q))
	for i, p := range q {
		names[i] = strings.ToLower(p.Name)
	}
	slices.Sort(names)
	for i := 1; i < len(names); i++ {
		if names[i] == names[i-1] {
			return names[i]
		}
	}
	return ""
}

// canonical returns the query as SigV4 hashes it, without the parameter skip
// unless that is "".
func (q Query) canonical(skip string) string {
	pairs := make([][2]string, 0, len(q))
	for _, p := range q {
		if skip == "" || p.Name != skip {
			pairs = append(pairs, [2]string{Escape(p.Name), Escape(p.Value)})
		}
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		if c := strings.Compare(a[0], b[0]); c != 0 {
			return c
		}
		return strings.Compare(a[1], b[1])
	})
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p[0] + "=" + p[1])
	}
	return b.String()
}

// Escape percent-encodes all bytes of s but RFC 3986's unreserved ones, with
// upper-case digits: the encoding that SigV4 prescribes for query values.
func Escape(s string) string { return escape(s, false) }

// EscapePath is Escape, with slashes kept.
func EscapePath(s string) string { return escape(s, true) }

func escape(s string, keepSlash bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if isUnreserved(c) || c == '/' && keepSlash {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

func isUnreserved(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' ||
		c == '-' || c == '.' || c == '_' || c == '~'
}
