package explain

import (
	"context"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
	"github.com/dvx-io/dvx/pkg/tree"
)

// ForecastDatumsMax is how many datums a forecast names; it counts all.
const ForecastDatumsMax = 100

// The states of a forecast.
const (
	UpToDate  = "up to date"
	WouldRun  = "would run"
	MayRun    = "may run"   // a pipeline that it reads would run first
	NotAgain  = "not again" // its last job ended without an output, and nothing has changed since
	Waiting   = "waiting"   // an input has no version yet, or none that fits the others
	CannotRun = "can't run"
)

// Forecast is what the engine would do for a pipeline.
type Forecast struct {
	Pipeline string        `json:"pipeline"`
	Branch   string        `json:"branch"`
	State    string        `json:"state"`
	Problem  string        `json:"problem,omitempty"` // why it can't run, or what it waits for
	Job      history.JobID `json:"job,omitzero"`
	After    []string      `json:"after,omitempty"`   // pipelines whose output it would wait for
	Because  []string      `json:"because,omitempty"` // what differs from the last output's spec and inputs

	Total     int64 `json:"total"`     // datums
	Unchanged int64 `json:"unchanged"` // as in the last output
	Hits      int64 `json:"hits"`      // of the others: a result is there
	Runs      int64 `json:"runs"`      // of the others: none is
	Removed   int64 `json:"removed"`   // of the last output: gone
	Nodes     int64 `json:"nodes"`     // tree nodes that were read to list them

	Datums []ForecastDatum `json:"datums,omitempty"` // those that would run, then those that are gone
}

// ForecastDatum is a datum that would run or is gone.
type ForecastDatum struct {
	Identity string   `json:"identity"`
	Gone     bool     `json:"gone,omitempty"`
	Why      []string `json:"why,omitempty"` // the components of its key that differ from the last output's
}

// Draft is a spec version that is not registered: what a plan would be with it.
type Draft struct {
	Branch  string
	Version engine.Version
	Reader  chunk.Reader // reads its code
}

// PlanQuery says for which pipelines a plan is wanted. The zero value is all.
type PlanQuery struct {
	Pipeline string                             // empty: all
	Branch   string                             // empty: all
	May      func(pipeline, branch string) bool // others are not looked into; nil: all may be
}

func (q PlanQuery) wants(h engine.PipelineHead) bool {
	return (q.Pipeline == "" || h.Name == q.Pipeline) && (q.Branch == "" || h.Branch == q.Branch) && (q.May == nil || q.May(h.Name, h.Branch))
}

// Plan says what the engine would do for pipelines. It fails with
// fs.ErrNotExist if there is none of the name that is asked for.
func (x *Explainer) Plan(ctx context.Context, q PlanQuery) ([]Forecast, error) {
	return x.PlanDraft(ctx, q, nil)
}

// PlanDraft is Plan if the draft took the place of the version that its
// pipeline has. No draft is nil.
func (x *Explainer) PlanDraft(ctx context.Context, q PlanQuery, draft *Draft) ([]Forecast, error) {
	if x.o.Runner == nil {
		return nil, fmt.Errorf("plan: no runner: %w", fs.ErrInvalid)
	}
	if err := x.sync(ctx); err != nil {
		return nil, err
	}
	snap, err := x.observer.Observe(ctx)
	if err != nil {
		return nil, err
	}
	if draft != nil {
		if snap, err = x.withDraft(ctx, snap, draft); err != nil {
			return nil, err
		}
	}
	ledger, err := x.o.Jobs.Ledger(ctx)
	if err != nil {
		return nil, err
	}
	p := &planner{x: x, snap: snap, ledger: ledger, draft: draft, wanted: map[int]engine.JobSpec{}, runs: map[int]bool{}}
	out, err := p.run(ctx, q)
	if err == nil && len(out) == 0 && q.Pipeline != "" {
		err = fmt.Errorf("no pipeline %s on branch %s: %w", q.Pipeline, q.Branch, fs.ErrNotExist)
	}
	return out, err
}

// withDraft puts a draft into a snapshot.
func (x *Explainer) withDraft(ctx context.Context, snap engine.Snapshot, d *Draft) (engine.Snapshot, error) {
	view, err := x.o.Store.View(ctx)
	if err != nil {
		return snap, err
	}
	head, err := pipeline.NewObserver(x.o.Store).Head(ctx, view, d.Version, d.Branch)
	if err != nil {
		return snap, err
	}
	same := func(p engine.PipelineHead) bool { return p.Name == head.Name && p.Branch == head.Branch }
	if i := slices.IndexFunc(snap.Pipelines, same); i >= 0 {
		snap.Pipelines[i] = head
	} else {
		snap.Pipelines = append(snap.Pipelines, head)
	}
	engine.MarkCycles(snap.Pipelines)
	return snap, nil
}

// planner is one look ahead.
type planner struct {
	x      *Explainer
	snap   engine.Snapshot
	ledger engine.Ledger
	draft  *Draft
	wanted map[int]engine.JobSpec // by index of the pipeline
	runs   map[int]bool           // pipelines whose output may change
}

func (p *planner) run(ctx context.Context, q PlanQuery) ([]Forecast, error) {
	for _, j := range engine.Plan(p.snap, p.ledger) {
		i := slices.IndexFunc(p.snap.Pipelines, func(h engine.PipelineHead) bool { return h.Name == j.Head.Name && h.Branch == j.Head.Branch })
		p.wanted[i], p.runs[i] = j, true
	}
	for again := true; again; { // what reads an output that may change, may change too
		again = false
		for i, h := range p.snap.Pipelines {
			if !p.runs[i] && len(p.after(h)) > 0 {
				p.runs[i], again = true, true
			}
		}
	}
	var out []Forecast
	for i, h := range p.snap.Pipelines {
		if !q.wants(h) {
			continue
		}
		f, err := p.forecast(ctx, i, h)
		if err != nil {
			return nil, fmt.Errorf("plan of pipeline %s@%s: %w", h.Name, h.Branch, err)
		}
		out = append(out, f)
	}
	return out, nil
}

// after returns the pipelines that h reads and that would run.
func (p *planner) after(h engine.PipelineHead) []string {
	var names []string
	for _, in := range h.Inputs {
		for i, up := range p.snap.Pipelines {
			if p.runs[i] && up.Name == in.Repo && up.Branch == in.Branch {
				names = append(names, up.Name+"@"+up.Branch)
			}
		}
	}
	return names
}

// waitsFor says what a pipeline waits for that is not ready.
func waitsFor(h engine.PipelineHead) string {
	for _, in := range h.Inputs {
		if h.Waits == "" && in.Head.ID.IsZero() {
			return fmt.Sprintf("input %s: %s@%s has no version yet", in.Name, in.Repo, in.Branch)
		}
	}
	return h.Waits
}

// ending says how a job ended that has no output, and what tries it again.
func (p *planner) ending(ctx context.Context, id engine.JobID) string {
	text := "ended without an output"
	if j, err := p.x.o.Jobs.Get(ctx, id.String()); err == nil && j.Reason != "" {
		text = string(j.State) + ": " + j.Reason
	}
	return fmt.Sprintf("job %s %s; dvx job retry %s, or dvx run, tries it again", id.Short(), text, id.Short())
}

func (p *planner) forecast(ctx context.Context, i int, h engine.PipelineHead) (Forecast, error) {
	f := Forecast{Pipeline: h.Name, Branch: h.Branch, Problem: h.Problem, After: p.after(h)}
	job, wanted := p.wanted[i]
	switch {
	case h.Problem != "":
		f.State = CannotRun
		return f, nil
	case !h.Ready():
		f.State, f.Problem = Waiting, waitsFor(h)
		return f, nil
	case !wanted:
		f.State = UpToDate
		if len(f.After) > 0 {
			f.State = MayRun
		} else if last := p.ledger.Current(h).ID; h.Output.Job() != last {
			f.State, f.Job, f.Problem = NotAgain, last, p.ending(ctx, last)
		}
		f.Total, _ = engine.CountOf(h.Output.Commit)
		f.Unchanged = f.Total
		return f, nil
	}
	f.State, f.Job = WouldRun, job.ID
	return f, p.list(ctx, &f, job)
}

// list counts the datums of a job that would run.
func (p *planner) list(ctx context.Context, f *Forecast, job engine.JobSpec) error {
	r, err := p.x.o.Store.ReadAny(ctx)
	if err != nil {
		return err
	}
	old, err := p.x.sideOf(ctx, r, job.Head.Output.ID)
	if err != nil {
		return err
	}
	f.Because = p.because(old, job)
	lister := &pipeline.Lister{Store: p.x.o.Store, Runner: p.x.o.Runner, Memo: p.x.memo, Scope: p.x.o.Scope, Platform: p.x.o.Platform}
	if p.draft != nil {
		lister.Code = p.draft.Reader
	}
	l, err := lister.List(ctx, job)
	if err != nil {
		return err
	}
	f.Total, f.Removed, f.Nodes = l.Total, int64(len(l.Removed)), l.Nodes
	var table tree.Root
	if old.commit.Prov != nil && old.commit.Prov.Datums != nil {
		table = *old.commit.Prov.Datums
	}
	kept := int64(0)
	for _, it := range l.Items {
		row, err := rowOf(ctx, r, table, it.Identity)
		if err != nil {
			return err
		}
		if row != nil {
			kept++
		}
		switch {
		case it.Hit && row != nil && row.Key == it.Key:
			f.Unchanged++
		case it.Hit:
			f.Hits++
		default:
			f.Runs++
			if len(f.Datums) < ForecastDatumsMax {
				f.Datums = append(f.Datums, ForecastDatum{Identity: it.Identity, Why: p.why(ctx, row, l.Parts(l.Missing[it.Key]))})
			}
		}
	}
	if l.Delta {
		f.Unchanged += l.Total - int64(len(l.Items))
	} else if was, ok := engine.CountOf(old.commit); ok && !table.ID.IsZero() {
		f.Removed = was - kept
	}
	for _, id := range l.Removed {
		if len(f.Datums) < ForecastDatumsMax {
			f.Datums = append(f.Datums, ForecastDatum{Identity: id, Gone: true})
		}
	}
	return nil
}

// rowOf returns the row of a datum in a table that may be none.
func rowOf(ctx context.Context, r chunk.Reader, table tree.Root, identity string) (*output.Row, error) {
	if table.ID.IsZero() {
		return nil, nil
	}
	return output.Lookup(ctx, r, table, identity)
}

// why says how the key of a datum differs from that of its last result.
func (p *planner) why(ctx context.Context, row *output.Row, parts []memo.Part) []string {
	if row == nil {
		return []string{"new datum"}
	}
	rec, ok, err := p.x.memo.Lookup(ctx, row.Key, p.x.o.Scope)
	if err != nil || !ok {
		return []string{"its last result is not in the memo any more"}
	}
	return memo.Explain(rec.Parts, parts)
}

// because says what differs between the last output's spec and inputs and those
// of a job.
func (p *planner) because(old side, job engine.JobSpec) []string {
	if old.commit.Prov == nil {
		return []string{"no output yet"}
	}
	var out []string
	prov := old.commit.Prov
	if prov.Spec != job.Head.Spec {
		for _, c := range old.version.Spec.Diff(job.Head.Version.Spec) {
			out = append(out, "spec: "+c.String())
		}
		if old.version.Code.Content != job.Head.Version.Code.Content {
			out = append(out, "code")
		}
	}
	for i, in := range job.Head.Inputs {
		text := fmt.Sprintf("input %s: %s@%s at %s", in.Name, in.Repo, in.Branch, in.Head.ID.Short())
		switch {
		case i >= len(prov.Inputs):
			out = append(out, text)
		case prov.Inputs[i].Commit != in.Head.ID:
			out = append(out, text+", was "+strings.TrimSpace(refText(prov.Inputs[i])))
		}
	}
	if job.Rerun > 0 {
		out = append(out, fmt.Sprintf("rerun %d was asked for", job.Rerun))
	}
	return out
}
