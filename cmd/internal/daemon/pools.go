package daemon

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/dvx-io/dvx/pkg/pipeline/engine"
)

// AddRunFlags adds the flags by which whoever runs pipelines says what they may
// use and do.
func AddRunFlags(f *pflag.FlagSet, o *Options) {
	f.BoolVar(&o.Hooks, "hooks", false, "run the hooks of pipelines, as your user: only if you trust whoever may register pipelines")
	f.Var((*poolFlag)(&o.Pools), "pool", "a pool that pipelines may name under concurrency: NAME=LIMIT, NAME=RATE/s (or /m, /h) or NAME=LIMIT,RATE/s; repeatable")
}

// poolFlag is a flag that may be given several times.
type poolFlag map[string]engine.Pool

// Set implements pflag.Value.
func (p *poolFlag) Set(text string) error {
	name, pool, err := engine.ParsePool(text)
	if err != nil {
		return err
	}
	if _, ok := (*p)[name]; ok {
		return fmt.Errorf("pool %s is given twice: %w", name, fs.ErrInvalid)
	}
	if *p == nil {
		*p = poolFlag{}
	}
	(*p)[name] = pool
	return nil
}

// String implements pflag.Value.
func (p *poolFlag) String() string { return strings.Join(slices.Sorted(maps.Keys(*p)), " ") }

// Type implements pflag.Value.
func (p *poolFlag) Type() string { return "pool" }
