package spec

import (
	"fmt"

	"go.yaml.in/yaml/v3"
)

// Defaults are fields that specs inherit which do not have them themselves. The
// zero value has none.
type Defaults struct{ fields map[string]any }

// Fields returns the defaults by field, for people and other programs.
func (d Defaults) Fields() map[string]any {
	out := map[string]any{}
	inherit(out, d.fields)
	return out
}

// ParseDefaults reads defaults in YAML or JSON: a spec that lacks what makes a
// pipeline this one, its name and its input. A spec inherits each field that it
// does not have; of objects (transform, datum) and of names with values (env,
// metadata) each by itself. The error joins a [Error] for everything that is
// wrong.
func ParseDefaults(filename string, data []byte) (Defaults, error) {
	nodes, err := readNodes(filename, data)
	if err != nil {
		return Defaults{}, err
	}
	if len(nodes) != 1 {
		return Defaults{}, &Error{File: filename, Reason: fmt.Sprintf("want one document, found %d", len(nodes))}
	}
	n := followAlias(nodes[0])
	r := &reader{file: filename, at: map[string]*yaml.Node{"": n}}
	for _, field := range []string{"pipeline", "input"} {
		if at := fieldOf(n, field); at != nil {
			r.fail(at, field, "%s is each pipeline's own: there is no default for it", field)
		}
	}
	d := Defaults{fields: r.object(n, "", "")}
	if len(r.wrong) == 0 { // as they are in the least spec that there is
		least := &yaml.Node{}
		if err := least.Encode(map[string]any{
			"pipeline": "defaults", "transform": map[string]any{"cmd": []string{"true"}}, "input": map[string]any{"repo": "any", "glob": "/"},
		}); err != nil {
			return Defaults{}, fmt.Errorf("spec of defaults: %w", err)
		}
		probe := &reader{file: filename, at: map[string]*yaml.Node{"": least}, defaults: d}
		probe.read(least)
		for _, e := range probe.wrong {
			e.Line, e.Column = 0, 0
			if at := r.locate(e.Field); at != nil {
				e.Line, e.Column = at.Line, at.Column
			}
			r.wrong = append(r.wrong, e)
		}
	}
	return d, joinErrors(r.wrong)
}

// inherit adds to fields what they lack of the defaults.
func inherit(fields, defaults map[string]any) {
	for name, value := range defaults {
		own, has := fields[name]
		inner, nested := value.(map[string]any)
		switch {
		case !has && nested:
			copied := map[string]any{}
			inherit(copied, inner)
			fields[name] = copied
		case !has:
			fields[name] = value
		case nested:
			if own, ok := own.(map[string]any); ok {
				inherit(own, inner)
			}
		}
	}
}
