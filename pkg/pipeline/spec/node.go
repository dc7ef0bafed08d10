package spec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// readNodes returns the documents of a file.
func readNodes(filename string, data []byte) ([]*yaml.Node, error) {
	fail := func(line int, format string, args ...any) ([]*yaml.Node, error) {
		return nil, &Error{File: filename, Line: line, Column: min(line, 1), Reason: fmt.Sprintf(format, args...)}
	}
	if len(data) > SizeMax {
		return fail(0, "%d bytes exceed the limit of %d", len(data), SizeMax)
	}
	if i := badText(data); i >= 0 {
		return fail(1+bytes.Count(data[:i], []byte("\n")), "byte 0x%02x is not UTF-8 text", data[i])
	}
	read := newYAMLReader(data)
	if isJSON(filename, data) {
		read = newJSONReader(data)
	}
	var nodes []*yaml.Node
	for {
		n, err := read()
		var at *Error
		switch {
		case errors.Is(err, io.EOF) && len(nodes) > 0:
			return nodes, nil
		case errors.Is(err, io.EOF):
			return fail(1, "is empty")
		case errors.As(err, &at):
			at.File = filename
			return nil, at
		case err != nil:
			return fail(0, "%v", err)
		case len(nodes) == perFileMax:
			return fail(n.Line, "more than %d specs", perFileMax)
		}
		nodes = append(nodes, n)
	}
}

// badText returns the index of the first byte that is not UTF-8, or -1.
func badText(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// newYAMLReader returns a function that reads the next document, io.EOF at the
// end. Empty documents are skipped.
func newYAMLReader(data []byte) func() (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	return func() (*yaml.Node, error) {
		for {
			var doc yaml.Node
			if err := dec.Decode(&doc); err != nil {
				return nil, yamlError(err)
			}
			if len(doc.Content) == 1 && !isNull(doc.Content[0]) {
				return doc.Content[0], nil
			}
		}
	}
}

// yamlError gives the library's error its line.
func yamlError(err error) error {
	reason, line := strings.TrimPrefix(err.Error(), "yaml: "), 0
	if _, scanErr := fmt.Sscanf(reason, "line %d:", &line); scanErr != nil {
		if errors.Is(err, io.EOF) {
			return err
		}
		return &Error{Line: 1, Column: 1, Reason: "not YAML: " + reason} // it names no first line
	}
	_, reason, _ = strings.Cut(reason, ": ")
	for _, own := range []string{"',' or", "'-'", "key", "node", "<"} {
		if strings.HasPrefix(reason, "did not find expected "+own) {
			line++ // the library's parser, unlike its scanner, counts from 0
		}
	}
	if strings.Contains(reason, "alphabetic or numeric") {
		reason += "; quote a value that begins with * or &"
	}
	return &Error{Line: line, Column: 1, Reason: "not YAML: " + reason}
}

// newJSONReader returns a function that reads the next JSON value as the node
// that YAML would give, io.EOF at the end.
func newJSONReader(data []byte) func() (*yaml.Node, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	j := &jsonReader{data: data, dec: dec, seen: filePlace{line: 1, column: 1}}
	return func() (*yaml.Node, error) {
		n, err := j.value(0)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, j.fail(err)
		}
		return n, err
	}
}

type jsonReader struct {
	data []byte
	dec  *json.Decoder
	seen filePlace
}

// filePlace is a byte of the file and where people look for it.
type filePlace struct{ offset, line, column int }

// forward moves the place on to an offset.
func (p *filePlace) forward(data []byte, offset int) {
	passed := data[p.offset:max(p.offset, min(offset, len(data)))]
	if last := bytes.LastIndexByte(passed, '\n'); last >= 0 {
		p.line += bytes.Count(passed, []byte("\n"))
		p.column = 1
		p.offset += last + 1
		passed = passed[last+1:]
	}
	p.column += utf8.RuneCount(passed)
	p.offset += len(passed)
}

// token reads the next token and makes a node of it that has its place.
func (j *jsonReader) token() (json.Token, *yaml.Node, error) {
	at := int(j.dec.InputOffset())
	for at < len(j.data) && strings.IndexByte(" \t\r\n,:", j.data[at]) >= 0 {
		at++
	}
	j.seen.forward(j.data, at)
	n := &yaml.Node{Kind: yaml.ScalarNode, Line: j.seen.line, Column: j.seen.column}
	t, err := j.dec.Token()
	return t, n, err
}

// value reads a value at a depth.
func (j *jsonReader) value(depth int) (*yaml.Node, error) {
	t, n, err := j.token()
	if err != nil {
		return nil, err
	}
	switch v := t.(type) {
	case json.Delim:
		if depth == depthMax {
			return nil, fmt.Errorf("more than %d nested values", depthMax)
		}
		n.Kind, n.Tag = yaml.MappingNode, "!!map"
		if v == '[' {
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		}
		return n, j.inside(n, depth+1)
	case string:
		n.Tag, n.Value = "!!str", v
	case json.Number:
		n.Tag, n.Value = "!!float", v.String()
		if !strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!int"
		}
	case bool:
		n.Tag, n.Value = "!!bool", fmt.Sprint(v)
	default:
		n.Tag = "!!null"
	}
	return n, nil
}

// inside reads what is in an object or a list, and its end.
func (j *jsonReader) inside(n *yaml.Node, depth int) error {
	for j.dec.More() {
		child, err := j.value(depth)
		if err != nil {
			return noEOF(err)
		}
		n.Content = append(n.Content, child)
	}
	_, _, err := j.token()
	return noEOF(err)
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

func (j *jsonReader) fail(err error) error {
	at := int(j.dec.InputOffset())
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) && syntax.Offset > 0 {
		at = int(syntax.Offset) - 1
	}
	j.seen.forward(j.data, at)
	return &Error{Line: j.seen.line, Column: j.seen.column, Reason: "not JSON: " + err.Error()}
}
