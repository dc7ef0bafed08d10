package tree

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Fields of encoded Attrs.
const (
	attrTime    = 1 // milliseconds since 1970
	attrOp      = 2
	attrType    = 3
	attrHeaders = 4
	attrMeta    = 5
	attrMD5     = 6
	attrETag    = 7
)

// timeMax is the end of the year 9999 in milliseconds since 1970.
const timeMax = 253402300799999

// IsZero reports whether a says nothing.
func (a *Attrs) IsZero() bool {
	return a.Time.IsZero() && a.Op == OpID{} && a.isPlain()
}

// isPlain reports whether a says only when and by which operation.
func (a *Attrs) isPlain() bool {
	return a.ContentType == "" && len(a.Headers) == 0 && len(a.Meta) == 0 && len(a.MD5) == 0 && a.ETag == ""
}

// appendAttrs appends the encoding of a, which must have passed checkAttrs.
func appendAttrs(b []byte, a *Attrs) []byte {
	head := len(b)
	b = append(b, majorMap)
	count := func(b []byte) []byte { b[head]++; return b }
	if !a.Time.IsZero() {
		b = count(appendUintField(b, attrTime, uint64(a.Time.UnixMilli())))
	}
	if a.Op != (OpID{}) {
		b = count(appendBytesField(b, attrOp, a.Op[:]))
	}
	if a.ContentType != "" {
		b = count(appendTextField(b, attrType, a.ContentType))
	}
	if len(a.Headers) > 0 {
		b = count(appendPairs(append(b, attrHeaders), a.Headers))
	}
	if len(a.Meta) > 0 {
		b = count(appendPairs(append(b, attrMeta), a.Meta))
	}
	if len(a.MD5) > 0 {
		b = count(appendBytesField(b, attrMD5, a.MD5))
	}
	if a.ETag != "" {
		b = count(appendTextField(b, attrETag, a.ETag))
	}
	return b
}

// comparePairKeys orders text as deterministic CBOR orders map keys.
func comparePairKeys(a, b string) int {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}

func appendPairs(b []byte, m map[string]string) []byte {
	b = appendHead(b, majorMap, uint64(len(m)))
	for _, k := range slices.SortedFunc(maps.Keys(m), comparePairKeys) {
		b = append(appendHead(b, majorText, uint64(len(k))), k...)
		b = append(appendHead(b, majorText, uint64(len(m[k]))), m[k]...)
	}
	return b
}

func (p *parser) attrs() (a Attrs) {
	seen := p.fields(attrETag, func(key uint64) {
		switch key {
		case attrTime:
			a.Time = time.UnixMilli(int64(p.uint(timeMax))).UTC()
		case attrOp:
			if n := copy(a.Op[:], p.raw(majorBytes, len(a.Op))); n != len(a.Op) || a.Op == (OpID{}) {
				p.fail("bad operation id")
			}
		case attrType:
			a.ContentType = p.nonEmpty()
		case attrHeaders:
			a.Headers = p.pairs()
		case attrMeta:
			a.Meta = p.pairs()
		case attrMD5:
			if a.MD5 = slices.Clone(p.raw(majorBytes, 16)); len(a.MD5) != 16 {
				p.fail("md5 of %d bytes", len(a.MD5))
			}
		case attrETag:
			a.ETag = p.nonEmpty()
		}
	})
	if seen == 0 {
		p.fail("empty attributes are not left out")
	}
	return a
}

func (p *parser) nonEmpty() string {
	s := p.text(AttrsSizeMax)
	if s == "" {
		p.fail("empty text is not left out")
	}
	return s
}

func (p *parser) pairs() map[string]string {
	n := p.length(majorMap, AttrsSizeMax/2)
	m := make(map[string]string, min(n, 64))
	last := ""
	for range n {
		key := p.text(AttrsSizeMax)
		if p.failErr(checkPairKey(key)); comparePairKeys(key, last) <= 0 {
			p.fail("key %q after key %q", key, last)
		}
		value := p.text(AttrsSizeMax)
		if p.err != nil {
			return nil
		}
		m[key], last = value, key
	}
	if n == 0 {
		p.fail("empty map is not left out")
	}
	return m
}

func checkPairKey(key string) error {
	if key == "" {
		return errors.New("empty header name")
	}
	for i := range len(key) {
		if c := key[i]; c >= 'A' && c <= 'Z' {
			return fmt.Errorf("header name %.80q is not in lower case", key)
		}
	}
	return nil
}

// checkAttrs fails with fs.ErrInvalid unless a can be stored. Size is the
// caller's matter.
func checkAttrs(a *Attrs) error {
	if a.IsZero() {
		return nil
	}
	if !a.Time.IsZero() {
		if ms := a.Time.UnixMilli(); ms < 0 || ms > timeMax {
			return fmt.Errorf("time %v is not from 1970 to 9999: %w", a.Time, fs.ErrInvalid)
		}
		if a.Time.Nanosecond()%int(time.Millisecond) != 0 {
			return fmt.Errorf("time %v is not in whole milliseconds: %w", a.Time, fs.ErrInvalid)
		}
	}
	if n := len(a.MD5); n != 0 && n != 16 {
		return fmt.Errorf("md5 of %d bytes: %w", n, fs.ErrInvalid)
	}
	for _, s := range []string{a.ContentType, a.ETag} {
		if !utf8.ValidString(s) {
			return fmt.Errorf("attribute %.80q is not UTF-8: %w", s, fs.ErrInvalid)
		}
	}
	for _, m := range []map[string]string{a.Headers, a.Meta} {
		for k, v := range m {
			if err := checkPairKey(k); err != nil {
				return fmt.Errorf("%w: %w", err, fs.ErrInvalid)
			}
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				return fmt.Errorf("header %.80q: %.80q is not UTF-8: %w", k, v, fs.ErrInvalid)
			}
		}
	}
	return nil
}
