package pipeline

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/datum"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// keying is what the datums of a job have in common.
type keying struct {
	version  engine.Version
	settings []setting // at least one
}

// setting is what the datums of one setting of the spec's sweep have in common.
type setting struct {
	spec    spec.Spec // without a sweep
	cmd     []string  // expanded
	runtime memo.Runtime
	keyer   *memo.Keyer
	task    func() (task.Task, error) // without a datum; made on first use
}

// keying returns what the datums of a pipeline have in common.
func (o *Lister) keying(ctx context.Context, p engine.PipelineHead) (*keying, error) {
	r, err := o.Code, error(nil)
	if r == nil {
		if r, err = o.Store.ReadAny(ctx); err != nil {
			return nil, err
		}
	}
	v := p.Version
	k := &keying{version: v}
	var rt memo.Runtime
	for i, values := range v.Spec.Settings() {
		s := setting{spec: v.Spec.With(values)}
		t, err := s.spec.Expand()
		if err != nil {
			return nil, err
		}
		if i == 0 || !slices.Equal(t.Cmd, k.settings[i-1].cmd) {
			if rt, err = o.Runner.Runtime(ctx, t, v.Code, r); err != nil {
				return nil, fmt.Errorf("find what runs the command of pipeline %s: %w", p.Name, err)
			}
		}
		s.cmd, s.runtime, s.keyer = t.Cmd, rt, datum.Work(s.spec, rt, v.Code.Content, o.Platform, datum.Datum{}).Keyer()
		s.task = sync.OnceValues(func() (task.Task, error) { return datum.Task(s.spec, v.Code, datum.Datum{}, memo.Key{}, 0) })
		k.settings = append(k.settings, s)
	}
	return k, nil
}

// taskOf returns the task that runs a datum whose inputs give values to
// parameters.
func (k *keying) taskOf(d datum.Datum, e engine.Start, values map[string]string) (t task.Task, err error) {
	if s := k.settings[d.Setting]; len(values) == 0 {
		t, err = s.task()
	} else {
		t, err = datum.Task(s.spec.With(values), k.version.Code, d, e.Key, e.Attempt)
	}
	t.Runtime = k.settings[d.Setting].runtime
	t.Key, t.Attempt, t.Last, t.Inputs = e.Key, e.Attempt, e.Last, d.Inputs
	return t, err
}

// anew reports whether results are neither looked up nor kept for others.
func (k *keying) anew() bool { return k.version.Spec.Cache == spec.CacheNever }

// counts reports whether a record is a result for these datums: there is one,
// and the spec as it is now accepts its exit status.
func (k *keying) counts(r memo.Record) bool {
	return r.Key != memo.Key{} && k.version.Spec.Transform.Accepts(r.Exit)
}

func (k *keying) key(d datum.Datum) memo.Key { return k.settings[d.Setting].keyer.Key(d.Visible()) }

func (k *keying) parts(d datum.Datum) []memo.Part {
	return k.settings[d.Setting].keyer.Parts(d.Visible())
}
