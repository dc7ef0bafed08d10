package datum

import (
	"context"
	"iter"
	"net/url"

	"github.com/dvx-io/dvx/pkg/pipeline/spec"
)

// All yields the datums of a spec: those of its input, each once with every
// setting of its sweep. Such datums have the setting at the end of their
// identities, as in "images:/a.png?lr=0.1&seed=2", names in order and values
// escaped as in a URL. The sequence ends after an error.
func All(ctx context.Context, v Version, s spec.Spec) iter.Seq2[Datum, error] {
	settings := s.Settings()
	return func(yield func(Datum, error) bool) {
		for d, err := range List(ctx, v, s.Input) {
			if err != nil {
				yield(Datum{}, err)
				return
			}
			for i, setting := range settings {
				if !yield(d.with(i, setting), nil) {
					return
				}
			}
		}
	}
}

// AllChanges is [Changes] for the datums that [All] yields, if the sweep is the
// same.
func AllChanges(ctx context.Context, old, now Version, s spec.Spec) iter.Seq2[Change, error] {
	settings := s.Settings()
	return func(yield func(Change, error) bool) {
		for x, err := range Changes(ctx, old, now, s.Input) {
			if err != nil {
				yield(Change{}, err)
				return
			}
			for i, setting := range settings {
				if !yield(Change{Kind: x.Kind, Datum: x.Datum.with(i, setting)}, nil) {
					return
				}
			}
		}
	}
}

// with returns the datum with a setting.
func (d Datum) with(i int, setting map[string]string) Datum {
	if len(setting) == 0 {
		return d
	}
	values := url.Values{}
	for name, value := range setting {
		values.Set(name, value)
	}
	d.Setting = i
	d.Identity += "?" + values.Encode()
	return d
}
