package spec

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/commit"
)

// FieldChange is a field in which two specs differ.
type FieldChange struct {
	Field string `json:"field"`         // dotted path: "transform.cmd[1]"
	Old   string `json:"old,omitempty"` // as JSON; empty if the field was not there
	New   string `json:"new,omitempty"` // as JSON; empty if it is not there any more
}

// String says what changed, on one line.
func (c FieldChange) String() string {
	switch {
	case c.Old == "":
		return c.Field + " is now " + c.New
	case c.New == "":
		return c.Field + " is gone, was " + c.Old
	}
	return c.Field + " is now " + c.New + ", was " + c.Old
}

// Diff returns the fields in which other differs from s, in order of their
// paths, the defaults of both filled in.
func (s Spec) Diff(other Spec) []FieldChange {
	a, b := map[string]string{}, map[string]string{}
	flatten("", asValue(s), a)
	flatten("", asValue(other), b)
	var out []FieldChange
	fields := maps.Clone(a)
	maps.Copy(fields, b)
	for _, f := range slices.Sorted(maps.Keys(fields)) {
		if a[f] != b[f] {
			out = append(out, FieldChange{Field: f, Old: a[f], New: b[f]})
		}
	}
	return out
}

// asValue returns what JSON makes of a spec with its defaults.
func asValue(s Spec) any {
	b, err := commit.CanonicalJSON(s.WithDefaults())
	var v any
	if err == nil {
		err = json.Unmarshal(b, &v)
	}
	if err != nil {
		panic(fmt.Sprintf("dvx: bug: spec: %v", err)) // texts, numbers and flags always encode
	}
	return v
}

// flatten notes every value at its path.
func flatten(at string, v any, out map[string]string) {
	switch v := v.(type) {
	case map[string]any:
		for name, x := range v {
			flatten(joinField(at, name), x, out)
		}
	case []any:
		for i, x := range v {
			flatten(fmt.Sprintf("%s[%d]", at, i), x, out)
		}
	default:
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false) // for people: < and & as they are
		if err := enc.Encode(v); err != nil {
			panic(fmt.Sprintf("dvx: bug: spec: %v", err)) // a text, number or flag
		}
		out[at] = strings.TrimSuffix(b.String(), "\n")
	}
}
