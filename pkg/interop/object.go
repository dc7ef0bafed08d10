package interop

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// object is the fields of an object that are not read yet, in snake case.
type object map[string]any

// fields returns an object's fields in snake case.
func fields(m map[string]any) object {
	o := object{}
	for name, v := range m {
		var b strings.Builder
		last := 'A'
		for _, r := range name {
			if unicode.IsUpper(r) && !unicode.IsUpper(last) {
				b.WriteByte('_')
			}
			b.WriteRune(unicode.ToLower(r))
			last = r
		}
		o[b.String()] = v
	}
	return o
}

// drop removes fields that have no meaning outside of the other system.
func (o object) drop(names ...string) {
	for _, name := range names {
		delete(o, name)
	}
}

// empty reports whether a value is what a field has that is not given.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case map[string]any:
		return len(v) == 0
	case []any:
		return len(v) == 0
	}
	return slices.Contains([]string{"", "0", "false"}, fmt.Sprint(v))
}

// scalar returns a text, number or boolean as it is written.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	case bool, int, int64, uint64:
		return fmt.Sprint(v), true
	}
	return "", v == nil
}

// taken removes a field and returns it; with a note if it is not what is wanted.
func taken[T any](p *pachyderm, at string, o object, name, want string, read func(any) (T, bool)) T {
	v, there := o[name]
	delete(o, name)
	var none T
	if !there || v == nil {
		return none
	}
	got, ok := read(v)
	if !ok {
		p.note(at+name, fmt.Sprintf("want %s, found %.80q: it was left out", want, fmt.Sprint(v)))
		return none
	}
	return got
}

func (p *pachyderm) text(at string, o object, name string) string {
	return taken(p, at, o, name, "a text", scalar)
}

func (p *pachyderm) number(at string, o object, name string) int {
	return taken(p, at, o, name, "a whole number", func(v any) (int, bool) {
		s, _ := scalar(v)
		n, err := strconv.Atoi(s)
		return n, err == nil
	})
}

func (p *pachyderm) flag(at string, o object, name string) bool {
	return taken(p, at, o, name, "true or false", func(v any) (bool, bool) {
		s, _ := scalar(v)
		b, err := strconv.ParseBool(s)
		return b, err == nil
	})
}

func (p *pachyderm) object(at string, o object, name string) object {
	return taken(p, at, o, name, "an object", func(v any) (object, bool) {
		m, ok := v.(map[string]any)
		return fields(m), ok
	})
}

// texts reads a list of the transform.
func (p *pachyderm) texts(o object, name string) []string {
	return taken(p, "transform.", o, name, "a list of texts", func(v any) ([]string, bool) {
		list, ok := v.([]any)
		var out []string
		for _, v := range list {
			s, single := scalar(v)
			out, ok = append(out, s), ok && single
		}
		return out, ok
	})
}

func (p *pachyderm) dict(at string, o object, name string) map[string]string {
	return taken(p, at, o, name, "names with texts", func(v any) (map[string]string, bool) {
		m, ok := v.(map[string]any)
		out := map[string]string{}
		for k, v := range m {
			s, single := scalar(v)
			out[k], ok = s, ok && single
		}
		return out, ok
	})
}

// rest notes the fields of an object that were not read and hold something.
func (p *pachyderm) rest(at string, o object) {
	for _, name := range slices.Sorted(maps.Keys(o)) {
		if !empty(o[name]) {
			p.note(at+name, "has no counterpart here, and was left out")
		}
	}
}
