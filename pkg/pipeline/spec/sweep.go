package spec

import (
	"fmt"
	"maps"
	"slices"
)

// SettingsMax bounds the combinations of a sweep.
const SettingsMax = 10_000

// Settings returns the combinations of the sweep's values, the first name
// varying slowest: one datum of the input is as many datums. Without a sweep it
// is one setting that sets nothing.
func (s Spec) Settings() []map[string]string {
	all := []map[string]string{nil}
	for _, name := range slices.Sorted(maps.Keys(s.Sweep)) {
		var next []map[string]string
		for _, setting := range all {
			for _, value := range s.Sweep[name] {
				one := maps.Clone(setting)
				if one == nil {
					one = map[string]string{}
				}
				one[name] = value
				next = append(next, one)
			}
		}
		all = next
	}
	return all
}

// With returns the spec of one setting of its sweep: with its values as
// parameters, and no sweep.
func (s Spec) With(setting map[string]string) Spec {
	if len(setting) == 0 && len(s.Sweep) == 0 {
		return s
	}
	params := maps.Clone(s.Parameters)
	if params == nil {
		params = map[string]string{}
	}
	maps.Copy(params, setting)
	s.Parameters, s.Sweep = params, nil
	return s
}

// valueMark begins what stands for the value of an input where it is not known
// yet: a character that no text can hold, so that it is told from every text.
const valueMark = "\x00"

// sample returns the parameters that there are: those of a sweep with their
// first values, those that are values of inputs with what stands for them.
func (s Spec) sample() map[string]string {
	first := map[string]string{}
	for in := range s.Input.Leaves() {
		if _, given := s.Parameters[in.Value]; in.Value != "" && !given {
			first[in.Value] = valueMark + "{" + in.Value + "}"
		}
	}
	for name, values := range s.Sweep {
		if len(values) > 0 {
			first[name] = values[0]
		}
	}
	return s.With(first).Parameters
}

// sweep checks the values that parameters take in turn.
func (c *checker) sweep(s Spec) {
	n := 1
	for _, name := range slices.Sorted(maps.Keys(s.Sweep)) {
		at, values := "sweep."+name, s.Sweep[name]
		if reason := checkIdentifier(name); reason != "" {
			*c = append(*c, &Error{Field: at, Reason: fmt.Sprintf("sweep: the name %.80q %s", name, reason)})
			continue
		}
		if _, twice := s.Parameters[name]; twice {
			c.fail(at, "the parameter has a value under parameters already")
		}
		if len(values) == 0 {
			c.fail(at, "has no values")
			return
		}
		for i, v := range values {
			c.text(fmt.Sprintf("%s[%d]", at, i), v)
			if slices.Contains(values[:i], v) {
				c.fail(fmt.Sprintf("%s[%d]", at, i), "%.80q is there twice", v)
			}
		}
		if n *= len(values); n > SettingsMax {
			c.fail("sweep", "more than %d combinations", SettingsMax)
			return
		}
	}
	if len(s.Sweep) > 0 && s.Growth != nil {
		c.fail("growth", "has no meaning beside a sweep: which values would further datums have?")
	}
}
