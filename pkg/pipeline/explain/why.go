package explain

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/datum"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// detailsMax is how many files an answer names of a component.
const detailsMax = 10

// Answer says why a datum of a job ran, was skipped or failed.
type Answer struct {
	Identity string   `json:"identity"`
	State    string   `json:"state"`
	Reason   string   `json:"reason,omitempty"` // how it ended, if not well
	Key      memo.Key `json:"key"`
	New      bool     `json:"new,omitempty"` // the version before had no such datum
	Causes   []Cause  `json:"causes,omitempty"`
}

// Cause is a component of the memo key that differs from that of the result
// that the version before had of the datum.
type Cause struct {
	Component string   `json:"component"` // as memo.Work.Parts names it: command, code, env:NAME, input:NAME …
	Change    string   `json:"change"`    // changed, added or removed
	Details   []string `json:"details,omitempty"`
}

// String says the cause on one line.
func (c Cause) String() string {
	if len(c.Details) == 0 {
		return c.Component + " " + c.Change
	}
	return c.Component + " " + c.Change + ": " + strings.Join(c.Details, ", ")
}

// Why yields for each datum of a job, or the one of an identity, why it ran, was
// skipped or failed. The sequence ends after an error.
func (x *Explainer) Why(ctx context.Context, job history.Job, identity string) iter.Seq2[Answer, error] {
	return func(yield func(Answer, error) bool) {
		if err := x.why(ctx, job, identity, func(a Answer) bool { return yield(a, nil) }); err != nil {
			yield(Answer{}, fmt.Errorf("why of job %s: %w", job.ID.Short(), err))
		}
	}
}

func (x *Explainer) why(ctx context.Context, job history.Job, identity string, yield func(Answer) bool) error {
	if err := x.sync(ctx); err != nil {
		return err
	}
	w := &inquiry{x: x, job: job, changed: map[string]datum.Datum{}}
	if err := w.open(ctx); err != nil {
		return err
	}
	for d, err := range x.o.Jobs.Datums(ctx, job.ID) {
		if err != nil {
			return err
		}
		if identity != "" && d.Identity != identity {
			continue
		}
		a, err := w.answer(ctx, d)
		if err != nil {
			return err
		}
		if !yield(a) {
			return nil
		}
	}
	return nil
}

// inquiry compares a job with the output before it.
type inquiry struct {
	x        *Explainer
	job      history.Job
	r        chunk.Reader
	old, now side
	table    tree.Root              // of the output before
	changed  map[string]datum.Datum // what the inputs' differences concern, by identity
	listing  *pipeline.Listing      // of a job that has no output, if it is of the newest heads
	listed   bool
}

func (w *inquiry) open(ctx context.Context) error {
	var err error
	if w.r, err = w.x.o.Store.ReadAny(ctx); err != nil {
		return err
	}
	before, err := w.before(ctx)
	if err != nil {
		return err
	}
	if w.old, err = w.x.sideOf(ctx, w.r, before); err != nil {
		return err
	}
	if w.now, err = w.x.read(ctx, w.r, w.job.Spec, w.job.Inputs); err != nil {
		return err
	}
	prov := w.old.commit.Prov
	if prov == nil || prov.Datums == nil {
		return nil
	}
	w.table = *prov.Datums
	in := w.now.version.Spec.Input
	if !w.old.version.Spec.Input.SameDatums(in) || len(w.old.inputs.Trees) != len(w.now.inputs.Trees) {
		return nil
	}
	for c, err := range datum.AllChanges(ctx, w.old.inputs, w.now.inputs, w.now.version.Spec) {
		if err != nil {
			return err
		}
		w.changed[c.Datum.Identity] = c.Datum
	}
	return nil
}

// before returns the output that the job's replaced, or would have.
func (w *inquiry) before(ctx context.Context) (commit.ID, error) {
	if !w.job.Output.IsZero() {
		c, err := commit.Load(ctx, w.r, w.job.Output)
		if err != nil || len(c.Parents) == 0 {
			return commit.ID{}, err
		}
		return c.Parents[0], nil
	}
	view, err := w.x.o.Store.View(ctx)
	if err != nil {
		return commit.ID{}, err
	}
	return view.Repos[w.job.Pipeline].Branches[w.job.Branch].Commit, nil
}

func (w *inquiry) answer(ctx context.Context, d pipeline.DatumInfo) (Answer, error) {
	a := Answer{Identity: d.Identity, State: d.State, Reason: d.Reason, Key: d.Key}
	row, err := rowOf(ctx, w.r, w.table, d.Identity)
	switch {
	case err != nil:
		return a, err
	case row == nil:
		a.New = true
		return a, nil
	case row.Key == d.Key:
		return a, nil
	}
	was, ok, err := w.x.memo.Lookup(ctx, row.Key, w.x.o.Scope)
	if err != nil {
		return a, err
	}
	parts, known, err := w.parts(ctx, d.Key)
	if err != nil || !ok || !known {
		return a, err
	}
	for _, line := range memo.Explain(was.Parts, parts) {
		component, change, _ := strings.Cut(line, " ")
		c := Cause{Component: component, Change: change}
		if c.Details, err = w.details(ctx, d.Identity, component); err != nil {
			return a, err
		}
		a.Causes = append(a.Causes, c)
	}
	return a, nil
}

// parts returns the parts of a key: of a result from its record, of a failed
// datum by listing the job again if it is of the newest heads.
func (w *inquiry) parts(ctx context.Context, key memo.Key) ([]memo.Part, bool, error) {
	rec, ok, err := w.x.memo.Lookup(ctx, key, w.x.o.Scope)
	if err != nil || ok {
		return rec.Parts, ok, err
	}
	if !w.listed {
		w.listed = true
		if err := w.list(ctx); err != nil {
			return nil, false, err
		}
	}
	if w.listing == nil {
		return nil, false, nil
	}
	d, ok := w.listing.Missing[key]
	if !ok {
		return nil, false, nil
	}
	return w.listing.Parts(d), true, nil
}

func (w *inquiry) list(ctx context.Context) error {
	if w.x.o.Runner == nil {
		return nil
	}
	snap, err := w.x.observer.Observe(ctx)
	if err != nil {
		return err
	}
	ledger, err := w.x.o.Jobs.Ledger(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(snap.Pipelines, func(h engine.PipelineHead) bool {
		return h.Name == w.job.Pipeline && h.Branch == w.job.Branch && h.Ready() && ledger.Current(h).ID == w.job.ID
	})
	if i < 0 {
		return nil
	}
	l := &pipeline.Lister{Store: w.x.o.Store, Runner: w.x.o.Runner, Memo: w.x.memo, Scope: w.x.o.Scope, Platform: w.x.o.Platform}
	w.listing, err = l.List(ctx, ledger.Current(snap.Pipelines[i]))
	return err
}

// details says what differs in a component.
func (w *inquiry) details(ctx context.Context, identity, component string) ([]string, error) {
	was, now := w.old.version, w.now.version
	before, err := was.Spec.Expand()
	if err != nil {
		return nil, nil // a spec of another release
	}
	after, err := now.Spec.Expand()
	if err != nil {
		return nil, err
	}
	kind, name, _ := strings.Cut(component, ":")
	switch kind {
	case "command":
		return turned(fmt.Sprintf("%q", before.Cmd), fmt.Sprintf("%q", after.Cmd)), nil
	case "stdin":
		return turned(fmt.Sprintf("%q", before.Stdin), fmt.Sprintf("%q", after.Stdin)), nil
	case "dir":
		return turned(before.WorkingDir, after.WorkingDir), nil
	case "salt":
		return turned(was.Spec.Reprocess, now.Spec.Reprocess), nil
	case "env":
		return turned(valueOf(before.Env, name), valueOf(after.Env, name)), nil
	case "param":
		return turned(valueOf(was.Spec.Parameters, name), valueOf(now.Spec.Parameters, name)), nil
	case "code":
		return w.differences(ctx, was.Code, now.Code, "")
	case "input":
		return w.input(ctx, identity, name)
	}
	return nil, nil
}

func turned(before, after string) []string { return []string{"was " + before + ", is " + after} }

func valueOf(m map[string]string, name string) string {
	if v, ok := m[name]; ok {
		return fmt.Sprintf("%q", v)
	}
	return "not there"
}

// input names the files of an input that differ for a datum.
func (w *inquiry) input(ctx context.Context, identity, name string) ([]string, error) {
	d, ok := w.changed[identity]
	if !ok {
		return nil, nil
	}
	i := 0
	for leaf := range w.now.version.Spec.Input.Leaves() {
		if leaf.Name == name {
			break
		}
		i++
	}
	j := slices.IndexFunc(d.Inputs, func(in task.Input) bool { return in.Name == name })
	if j < 0 || i >= len(w.now.inputs.Trees) {
		return nil, nil
	}
	found := map[string]bool{}
	for _, it := range d.Inputs[j].Items {
		prefix := it.Path
		if it.Entry.Kind == tree.Dir && it.Path != "" {
			prefix += "/"
		}
		some, err := w.differences(ctx, w.old.inputs.Trees[i], w.now.inputs.Trees[i], prefix)
		if err != nil {
			return nil, err
		}
		for _, line := range some {
			found[line] = true
		}
	}
	lines := slices.Sorted(maps.Keys(found))
	return lines[:min(len(lines), detailsMax)], nil
}

// differences names the files below a prefix in which two trees differ.
func (w *inquiry) differences(ctx context.Context, old, now tree.Root, prefix string) ([]string, error) {
	var lines []string
	for c, err := range tree.Diff(ctx, w.r, old, w.r, now, tree.DiffOptions{Prefix: prefix, Expand: true}) {
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(c.Path, "/") || !strings.HasSuffix(prefix, "/") && prefix != "" && c.Path != prefix {
			continue
		}
		if len(lines) == detailsMax {
			return append(lines, "and more"), nil
		}
		lines = append(lines, c.Path+" "+c.Kind.String())
	}
	return lines, nil
}
