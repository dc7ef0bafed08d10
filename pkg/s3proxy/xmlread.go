package s3proxy

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
)

// maxXMLDepth is more than twice the depth of any document that S3 takes.
const maxXMLDepth = 16

// decodeXML reads a document into v. It takes nothing but one element with
// what is in it: no document type, so no entities, and no depth without end.
func decodeXML(doc []byte, v any) error {
	if err := checkXML(doc); err != nil {
		return err
	}
	if err := xml.Unmarshal(doc, v); err != nil {
		return fail(codeMalformedXML)
	}
	return nil
}

func checkXML(doc []byte) error {
	d := xml.NewDecoder(bytes.NewReader(doc))
	depth, roots := 0, 0
	for {
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fail(codeMalformedXML)
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				roots++
			}
			if depth++; depth > maxXMLDepth || roots > 1 {
				return fail(codeMalformedXML)
			}
		case xml.EndElement:
			depth--
		case xml.Directive:
			return fail(codeMalformedXML)
		case xml.CharData:
			if depth == 0 && len(bytes.TrimSpace(bytes.TrimPrefix(t, []byte("\ufeff")))) > 0 {
				return fail(codeMalformedXML)
			}
		}
	}
	if depth != 0 || roots != 1 {
		return fail(codeMalformedXML)
	}
	return nil
}
