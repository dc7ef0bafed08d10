package main

import (
	"maps"
	"strings"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// withParams gives parameters that specs declare other values: NAME=VALUE each. A
// value takes the place of a sweep, too.
func withParams(specs []spec.Spec, params []string) ([]spec.Spec, error) {
	for _, p := range params {
		name, value, ok := strings.Cut(p, "=")
		if !ok {
			return nil, usagef("parameter %q: want NAME=VALUE", p)
		}
		known := false
		for i := range specs {
			s := &specs[i]
			_, fixed := s.Parameters[name]
			_, swept := s.Sweep[name]
			if !fixed && !swept {
				continue
			}
			known = true
			s.Parameters, s.Sweep = maps.Clone(s.Parameters), maps.Clone(s.Sweep)
			if s.Parameters == nil {
				s.Parameters = map[string]string{}
			}
			s.Parameters[name] = value
			if delete(s.Sweep, name); len(s.Sweep) == 0 {
				s.Sweep = nil
			}
		}
		if !known {
			return nil, usagef("no spec in the file declares a parameter %q", name)
		}
	}
	for _, s := range specs {
		if err := s.Validate(); err != nil {
			return nil, err
		}
	}
	return specs, nil
}
