package s3proxy

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	xmlHeader    = `<?xml version="1.0" encoding="UTF-8"?>` + "\n"
	xmlNamespace = "http://s3.amazonaws.com/doc/2006-03-01/"
	// timeLayout is how S3 writes times into XML: whole seconds, with zeros.
	timeLayout = "2006-01-02T15:04:05.000Z"
)

// document builds an XML answer. encoding/xml is not used because it replaces
// characters that XML 1.0 does not have, which would turn one key into
// another; S3 writes them as character references, and so does this.
type document struct{ buf bytes.Buffer }

// newDocument opens the root element in S3's namespace.
func newDocument(root string) *document {
	d := &document{}
	d.buf.WriteString(xmlHeader + "<" + root + ` xmlns="` + xmlNamespace + `">`)
	return d
}

func (d *document) open(name string) {
	d.buf.WriteByte('<')
	d.buf.WriteString(name)
	d.buf.WriteByte('>')
}

func (d *document) close(name string) {
	d.buf.WriteString("</")
	d.buf.WriteString(name)
	d.buf.WriteByte('>')
}

// text writes an element that holds only text; an empty one is still there.
func (d *document) text(name, value string) {
	d.open(name)
	d.escape(value)
	d.close(name)
}

func (d *document) int(name string, value int64) {
	d.open(name)
	d.buf.Write(strconv.AppendInt(d.buf.AvailableBuffer(), value, 10))
	d.close(name)
}

func (d *document) bool(name string, value bool) { d.text(name, strconv.FormatBool(value)) }

func (d *document) time(name string, t time.Time) {
	d.open(name)
	d.buf.Write(t.UTC().Truncate(time.Second).AppendFormat(d.buf.AvailableBuffer(), timeLayout))
	d.close(name)
}

// owner writes an Owner element, or another of the same content.
func (d *document) owner(name string, o Owner) {
	d.open(name)
	d.text("ID", o.ID)
	d.text("DisplayName", o.DisplayName)
	d.close(name)
}

func (d *document) escape(s string) {
	for len(s) > 0 {
		n := plainText(s)
		d.buf.WriteString(s[:n])
		if s = s[n:]; s == "" {
			return
		}
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == '<':
			d.buf.WriteString("&lt;")
		case r == '>':
			d.buf.WriteString("&gt;")
		case r == '&':
			d.buf.WriteString("&amp;")
		case r == '"':
			d.buf.WriteString("&quot;")
		case isControl(r):
			fmt.Fprintf(&d.buf, "&#x%X;", r)
		default:
			// An invalid byte decodes to the replacement character.
			d.buf.WriteRune(r)
		}
		s = s[size:]
	}
}

// plainText returns how many bytes s begins with that are themselves in XML.
func plainText(s string) int {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= 0x7f || c == '<' || c == '>' || c == '&' || c == '"' {
			return i
		}
	}
	return len(s)
}

// isControl tells whether a character must or should not be in XML as it is.
func isControl(r rune) bool {
	return r < ' ' || r == 0x7f || r == 0xfffe || r == 0xffff
}

// legible replaces control characters, for text that has to be read by any XML
// parser more than it has to be exact: that of errors.
func legible(s string) string {
	return strings.Map(func(r rune) rune {
		if isControl(r) {
			return utf8.RuneError
		}
		return r
	}, s)
}
