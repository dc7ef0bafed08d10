package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/dvx-io/dvx/pkg/commit"
)

// Limits of a spec file.
const (
	SizeMax    = 1 << 20 // bytes of a file, and of one encoded spec
	errorsMax  = 20      // errors that are reported of one spec
	depthMax   = 32      // nested values
	perFileMax = 1000

	inputPartsMax = 1000 // parts of combinations of inputs
)

// Parse reads a file with one spec in YAML or JSON, fills in the defaults
// and validates it. The error joins a [Error] for everything that is wrong.
// filename is for messages, and says that a file is JSON by ending in .json.
func Parse(filename string, data []byte) (Spec, error) {
	specs, err := ParseAll(filename, data)
	if err != nil {
		return Spec{}, err
	}
	if len(specs) != 1 {
		return Spec{}, &Error{File: filename, Reason: fmt.Sprintf("want one spec, found %d", len(specs))}
	}
	return specs[0], nil
}

// ParseAll is [Parse] for a file with any number of specs: YAML
// documents, or JSON objects one after the other. No two may be of one
// pipeline.
func ParseAll(filename string, data []byte) ([]Spec, error) {
	return Defaults{}.ParseAll(filename, data)
}

// ParseAll is the function of the same name, for specs that inherit the
// defaults: see [ParseDefaults].
func (d Defaults) ParseAll(filename string, data []byte) ([]Spec, error) {
	nodes, err := readNodes(filename, data)
	if err != nil {
		return nil, err
	}
	var specs []Spec
	var wrong []*Error
	lines := map[string]int{}
	for _, n := range nodes {
		r := &reader{file: filename, at: map[string]*yaml.Node{"": n}, defaults: d}
		s := r.read(n)
		if first := lines[s.Pipeline]; first > 0 && s.Pipeline != "" {
			r.fail(r.at["pipeline"], "pipeline", "pipeline %q is in the file already, in line %d", s.Pipeline, first)
		}
		if at := r.at["pipeline"]; at != nil {
			lines[s.Pipeline] = at.Line
		}
		specs = append(specs, s)
		wrong = append(wrong, r.wrong...)
	}
	if len(wrong) > errorsMax {
		wrong = wrong[:errorsMax]
	}
	if err := joinErrors(wrong); err != nil {
		return nil, err
	}
	return specs, nil
}

// ParseInput reads an input in YAML or JSON, alone or in a spec of which only
// the input counts, fills in the defaults and checks it, as [Parse] does.
func ParseInput(filename string, data []byte) (Input, error) {
	nodes, err := readNodes(filename, data)
	if err != nil {
		return Input{}, err
	}
	if len(nodes) != 1 {
		return Input{}, &Error{File: filename, Reason: fmt.Sprintf("want one input, found %d documents", len(nodes))}
	}
	n, pipeline := followAlias(nodes[0]), ""
	if in := fieldOf(n, "input"); in != nil {
		if name := fieldOf(n, "pipeline"); name != nil {
			pipeline = name.Value
		}
		n = in
	}
	r := &reader{file: filename, at: map[string]*yaml.Node{"": n, "input": n}}
	fields := r.object(n, "input", "input")
	var s Spec
	if len(r.wrong) == 0 {
		b, err := json.Marshal(map[string]any{"input": fields})
		if err == nil {
			err = json.Unmarshal(b, &s)
		}
		if err != nil {
			return Input{}, &Error{File: filename, Reason: err.Error()}
		}
		for in := range s.Input.Leaves() {
			if in.Sourced() && in.Repo == "" && pipeline == "" {
				return Input{}, &Error{File: filename, Line: n.Line, Column: n.Column, Field: "input", Reason: "cron and url are filled for a pipeline, into a repo of its own: name a spec in place of an input alone"}
			}
		}
		s.Input = s.Input.withDefaults(pipeline)
		var c checker
		c.input(s)
		r.place(c)
	}
	return s.Input, joinErrors(r.wrong)
}

// fieldOf returns the value of a field of a mapping, nil if it has none.
func fieldOf(n *yaml.Node, name string) *yaml.Node {
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return followAlias(n.Content[i+1])
		}
	}
	return nil
}

// place notes what is wrong, with where it is.
func (r *reader) place(wrong []*Error) {
	for _, e := range wrong {
		e.File = r.file
		if at := r.locate(e.Field); at != nil {
			e.Line, e.Column = at.Line, at.Column
		}
		r.wrong = append(r.wrong, e)
	}
}

// reader reads one spec from nodes and remembers where everything was.
type reader struct {
	file  string
	at    map[string]*yaml.Node // by dotted path
	depth int                   // of combinations of inputs
	parts int                   // of all combinations
	wrong []*Error

	defaults Defaults
}

func (r *reader) fail(n *yaml.Node, field, format string, args ...any) {
	e := &Error{File: r.file, Field: field, Reason: fmt.Sprintf(format, args...)}
	if n != nil {
		e.Line, e.Column = n.Line, n.Column
	}
	r.wrong = append(r.wrong, e)
}

// read returns the spec with its defaults; what is wrong is in r.wrong.
func (r *reader) read(n *yaml.Node) Spec {
	fields := r.object(n, "", "")
	if len(r.wrong) > 0 {
		s, _ := fields["pipeline"].(string)
		return Spec{Pipeline: s}
	}
	inherit(fields, r.defaults.fields)
	r.sweep(fields)
	var s Spec
	b, err := json.Marshal(fields)
	if err == nil {
		err = commit.StrictJSON(b, &s)
	}
	if err != nil {
		r.fail(n, "", "%v", err)
		return s
	}
	s = s.WithDefaults()
	r.place(s.problems())
	return s
}

// locate returns the node of a field, or of what it is missing in.
func (r *reader) locate(field string) *yaml.Node {
	for {
		if n := r.at[field]; n != nil {
			return n
		}
		field = field[:max(0, strings.LastIndexAny(field, ".["))]
	}
}

// object reads the fields of the object at a dotted path, which the table has
// at row.
func (r *reader) object(n *yaml.Node, at, row string) map[string]any {
	fields := map[string]any{}
	r.pairs(n, at, "fields", func(key, value *yaml.Node) {
		field := joinField(at, key.Value)
		f, known := fieldAt(joinField(row, key.Value))
		switch {
		case !known:
			hint := ""
			if near := nearest(strings.TrimSuffix(joinField(row, "x"), "x"), key.Value); near != "" {
				hint = fmt.Sprintf(" (did you mean %q?)", near)
			} else if row == "input" && key.Value == "pfs" {
				hint = " (is it a spec of Pachyderm? dvx pipeline import pachyderm makes one of it)"
			}
			r.fail(key, field, "unknown field %q%s%s", key.Value, inField(at), hint)
		case f.shape == unbuilt:
			r.unsupported(key, field, fmt.Sprintf("field %q is not supported yet", field))
		case isNull(value):
			r.fail(value, field, "field %q has no value", field)
		default:
			r.at[field] = value
			fields[key.Value] = r.value(value, f, field)
		}
	})
	return fields
}

func (r *reader) unsupported(n *yaml.Node, field, reason string) {
	r.fail(n, field, "%s", reason)
	r.wrong[len(r.wrong)-1].Unsupported = true
}

// inField says of which object a field is, for messages.
func inField(at string) string {
	if at == "" {
		return ""
	}
	return fmt.Sprintf(" in %q", at)
}

func joinField(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

// value reads what a field of that shape holds, nil if it is wrong.
func (r *reader) value(n *yaml.Node, f fieldRow, at string) any {
	switch f.shape {
	case shapeObject:
		return r.object(n, at, f.path)
	case shapeInputs:
		return r.inputs(n, at)
	case shapeText:
		return r.text(n, at)
	case shapeQuantity, shapeTime: // that a time needs a unit is said where it is checked
		if n.Tag == "!!int" || n.Tag == "!!float" {
			return r.literal(n, at)
		}
		return r.text(n, at)
	case shapeNumber:
		return r.number(n, at)
	case shapeShare:
		return r.share(n, at)
	case shapeFlag:
		if n.Kind != yaml.ScalarNode || n.Tag != "!!bool" {
			r.fail(n, at, "%s: want true or false, found %s", at, describeNode(n))
			return nil
		}
		return strings.EqualFold(n.Value, "true")
	case shapeTexts:
		return r.literals(n, at)
	case shapeNumbers:
		return r.list(n, at, r.number)
	case shapeCounts:
		return r.dict(n, at, "names with whole numbers", r.number)
	case shapeLists:
		return r.dict(n, at, "names with lists", r.literals)
	case shapeValues:
		return r.dict(n, at, "names with values", func(n *yaml.Node, at string) any {
			if n.Kind == yaml.SequenceNode {
				return r.literals(n, at)
			}
			return r.literal(n, at)
		})
	default: // shapeDict
		return r.dict(n, at, "names with values", r.literal)
	}
}

// dict reads names with values.
func (r *reader) dict(n *yaml.Node, at, what string, one func(*yaml.Node, string) any) any {
	m := map[string]any{}
	r.pairs(n, at, what, func(key, value *yaml.Node) {
		at := at + "." + key.Value
		r.at[at] = value
		m[key.Value] = one(followAlias(value), at)
	})
	return m
}

func (r *reader) literals(n *yaml.Node, at string) any { return r.list(n, at, r.literal) }

// sweep takes lists of values out of the parameters: what a parameter takes in
// turn is the sweep's.
func (r *reader) sweep(fields map[string]any) {
	params, _ := fields["parameters"].(map[string]any)
	sweep, _ := fields["sweep"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(params)) {
		values, ok := params[name].([]any)
		if !ok {
			continue
		}
		at := r.at["parameters."+name]
		if _, twice := sweep[name]; twice {
			r.fail(at, "parameters."+name, "parameters.%s: the parameter is under sweep already", name)
			continue
		}
		if sweep == nil {
			sweep = map[string]any{}
		}
		sweep[name], r.at["sweep."+name] = values, at
		for i := range values {
			r.at[fmt.Sprintf("sweep.%s[%d]", name, i)] = r.at[fmt.Sprintf("parameters.%s[%d]", name, i)]
		}
		delete(params, name)
		fields["sweep"] = sweep
	}
}

// inputs reads the parts of a combination of inputs.
func (r *reader) inputs(n *yaml.Node, at string) any {
	if r.depth++; r.depth > InputDepthMax {
		r.fail(n, at, "%s: more than %d combinations in each other", at, InputDepthMax)
		return nil
	}
	defer func() { r.depth-- }()
	if r.parts += len(n.Content); r.parts > inputPartsMax {
		r.fail(n, at, "%s: more than %d parts in the combinations of the input", at, inputPartsMax)
		return nil
	}
	return r.list(n, at, func(n *yaml.Node, at string) any { return r.object(n, at, "input") })
}

// pairs calls fn for each key and value of an object.
func (r *reader) pairs(n *yaml.Node, at, what string, fn func(key, value *yaml.Node)) {
	n = followAlias(n)
	if n.Kind != yaml.MappingNode {
		r.fail(n, at, "%swant %s, found %s", labelField(at), what, describeNode(n))
		return
	}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := followAlias(n.Content[i]), followAlias(n.Content[i+1])
		switch {
		case key.Kind != yaml.ScalarNode || isNull(key) || key.Tag == "!!merge":
			r.fail(key, at, "%swant a name, found %s", labelField(at), describeNode(key))
		case lines[key.Value] > 0:
			r.fail(key, joinField(at, key.Value), "field %q is given twice, first in line %d", joinField(at, key.Value), lines[key.Value])
		default:
			lines[key.Value] = key.Line
			fn(key, value)
		}
	}
}

func labelField(at string) string {
	if at == "" {
		return ""
	}
	return at + ": "
}

func (r *reader) list(n *yaml.Node, at string, item func(*yaml.Node, string) any) any {
	if n.Kind != yaml.SequenceNode {
		r.fail(n, at, "%s: want a list, as in [a, b], found %s", at, describeNode(n))
		return nil
	}
	out := make([]any, 0, len(n.Content))
	for i, c := range n.Content {
		c, at := followAlias(c), fmt.Sprintf("%s[%d]", at, i)
		r.at[at] = c
		out = append(out, item(c, at))
	}
	return out
}

func (r *reader) text(n *yaml.Node, at string) any {
	if n.Kind != yaml.ScalarNode || n.Tag != "!!str" {
		r.fail(n, at, "%s: want text, found %s", at, describeNode(n))
		return nil
	}
	return n.Value
}

// literal reads a text, or a number or boolean as it was typed.
func (r *reader) literal(n *yaml.Node, at string) any {
	if n.Kind != yaml.ScalarNode || isNull(n) || n.Tag == "!!binary" {
		r.fail(n, at, "%s: want text, found %s", at, describeNode(n))
		return nil
	}
	return n.Value
}

func (r *reader) number(n *yaml.Node, at string) any {
	v, err := strconv.ParseInt(n.Value, 10, 32)
	if n.Kind != yaml.ScalarNode || n.Tag != "!!int" || err != nil {
		r.fail(n, at, "%s: want a whole number, found %s", at, describeNode(n))
		return nil
	}
	return v
}

// share reads a number or a percentage.
func (r *reader) share(n *yaml.Node, at string) any {
	if n.Tag == "!!int" {
		return r.number(n, at)
	}
	if _, err := parsePercent(n.Value); err != nil || n.Tag != "!!str" {
		r.fail(n, at, "%s: want a number like 3, or a percentage like 5%%, found %s", at, describeNode(n))
		return nil
	}
	return n.Value
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// describeNode says what a node is, for messages.
func describeNode(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "an object"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(n):
		return "nothing"
	case n.Tag == "!!str":
		return fmt.Sprintf("the text %.80q", n.Value)
	}
	return fmt.Sprintf("%.80s (quote it if text is meant)", n.Value)
}

// followAlias returns what an alias stands for. Only inputs have objects of
// their own kind within them, to a limited depth and number, so reading ends
// even if an alias names what it is in.
func followAlias(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode && n.Alias != nil {
		return n.Alias
	}
	return n
}

// isJSON reports whether a file is read as JSON.
func isJSON(filename string, data []byte) bool {
	return strings.EqualFold(path.Ext(filename), ".json") || json.Valid(data)
}
