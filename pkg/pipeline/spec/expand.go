package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Expand returns the transform with its parameters in place: ${name} in cmd,
// stdin and the values of env stands for the parameter's value, and $${ for
// the characters ${ themselves. What is the value of an input, and not among
// the parameters, becomes a mark of its name. It fails, as Validate does, if a
// parameter is not declared.
func (s Spec) Expand() (Transform, error) {
	t, wrong := s.expand()
	return t, joinErrors(wrong)
}

func (s Spec) expand() (Transform, []*Error) {
	var c checker
	params := s.sample()
	one := func(field, v string) string {
		out, reason := substitute(v, params)
		if reason != "" {
			c.fail(field, "%s", reason)
		}
		return out
	}
	all := func(field string, list []string) []string {
		out := slices.Clone(list)
		for i, v := range out {
			out[i] = one(fmt.Sprintf("%s[%d]", field, i), v)
		}
		return out
	}
	t := s.Transform
	t.Cmd = all("transform.cmd", t.Cmd)
	if len(t.Cmd) > 0 && strings.Contains(t.Cmd[0], valueMark) {
		c.fail("transform.cmd[0]", "holds the value of an input: what runs must be known before")
	}
	t.Stdin = all("transform.stdin", t.Stdin)
	t.ErrCmd = all("transform.err_cmd", t.ErrCmd)
	t.Env = maps.Clone(t.Env)
	for _, name := range slices.Sorted(maps.Keys(t.Env)) {
		t.Env[name] = one("transform.env."+name, t.Env[name])
	}
	return t, c
}

// substitute returns v with parameters in place, or what is wrong with it.
func substitute(v string, params map[string]string) (out, reason string) {
	var b strings.Builder
	for {
		i := strings.Index(v, "${")
		if i < 0 {
			b.WriteString(v)
			return b.String(), ""
		}
		if i > 0 && v[i-1] == '$' {
			b.WriteString(v[:i-1] + "${")
			v = v[i+2:]
			continue
		}
		name, rest, closed := strings.Cut(v[i+2:], "}")
		value, known := params[name]
		switch {
		case !closed:
			return "", fmt.Sprintf("${ is not closed in %.80q; write $${ for the characters themselves", v[i:])
		case !known:
			return "", fmt.Sprintf("unknown parameter %.80q: declare it under parameters, or write $${ for the characters ${ themselves", name)
		}
		b.WriteString(v[:i] + value)
		v = rest
	}
}
