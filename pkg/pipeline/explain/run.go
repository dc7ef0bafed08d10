package explain

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/repo"
)

// Run is what came of one commit by a user, through the whole graph of
// pipelines: all jobs with its run ID, and what is still to come of it.
type Run struct {
	ID      string           `json:"id"`
	Origins []commit.Ref     `json:"origins,omitempty"` // the commit that it begins with
	State   string           `json:"state"`             // running, done, failed or killed
	Counts  history.Counts   `json:"counts"`            // of all stages
	Datums  map[string]int64 `json:"datums,omitempty"`  // how many are in which state; only where one run is asked for
	Created time.Time        `json:"created,omitzero"`
	Ended   time.Time        `json:"ended,omitzero"` // of the last job, if none is under way
	Stages  []Stage          `json:"stages"`         // upstream first
}

// The states of a stage that has no job.
const (
	StageWaiting    = "waiting"    // for what is before it
	StageUnrunnable = "unrunnable" // something before it failed, or it can't run
	StageOvertaken  = "overtaken"  // newer inputs came before it began
)

// Stage is one job of a run, or a pipeline that has none yet.
type Stage struct {
	Pipeline string         `json:"pipeline"`
	Branch   string         `json:"branch"`
	State    string         `json:"state"` // of the job, or one of those above
	Reason   string         `json:"reason,omitempty"`
	By       string         `json:"by,omitempty"` // the principal that cancelled it
	Job      history.JobID  `json:"job,omitzero"`
	Counts   history.Counts `json:"counts"`
	Created  time.Time      `json:"created,omitzero"`
	Started  time.Time      `json:"started,omitzero"`
	Ended    time.Time      `json:"ended,omitzero"`
	Output   commit.ID      `json:"output,omitzero"`
}

// Over reports whether nothing more is to come of the run.
func (r Run) Over() bool { return r.State != string(history.Running) }

// Runs yields the runs, newest first.
func (x *Explainer) Runs(ctx context.Context) iter.Seq2[Run, error] {
	return func(yield func(Run, error) bool) {
		b, err := x.runBook(ctx)
		if err != nil {
			yield(Run{}, err)
			return
		}
		for _, id := range b.order {
			r, err := b.run(ctx, id)
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// Run returns the run of an ID, or of a unique prefix of one of at least 6
// digits; that of a job, by its ID or prefix; the newest of a pipeline; or that
// of a version, as in images@main. It fails with fs.ErrNotExist if there is
// none.
func (x *Explainer) Run(ctx context.Context, name string) (Run, error) {
	b, err := x.runBook(ctx)
	if err != nil {
		return Run{}, err
	}
	id, err := b.find(ctx, name)
	if err != nil {
		return Run{}, err
	}
	r, err := b.run(ctx, id)
	if err != nil {
		return r, err
	}
	r.Datums = map[string]int64{}
	for _, s := range r.Stages {
		if err := x.countDatums(ctx, s, r.Datums); err != nil {
			return r, err
		}
	}
	return r, nil
}

// countDatums adds the datums of a stage by their states.
func (x *Explainer) countDatums(ctx context.Context, s Stage, into map[string]int64) error {
	if s.Job.IsZero() {
		return nil
	}
	ran, err := x.o.Jobs.Ran(ctx, s.Job)
	if err != nil {
		return err
	}
	listed := int64(0)
	for _, d := range ran {
		if d.State != skippedState {
			listed++
			into[d.State]++
		}
	}
	if n := s.Counts.Total - listed; n > 0 {
		into[skippedState] += n
	}
	return nil
}

// skippedState is how pipeline.Jobs calls a datum that had a result already.
const skippedState = "skipped"

// Watch yields a run whenever it may have changed, until it is over. name is as
// for Run, and names the same run throughout.
func (x *Explainer) Watch(ctx context.Context, name string) iter.Seq2[Run, error] {
	return func(yield func(Run, error) bool) {
		last, seen := "", uint64(0)
		for {
			var err error
			if seen, err = x.o.Jobs.Watch(ctx, seen); err != nil {
				yield(Run{}, err)
				return
			}
			b, err := x.runBook(ctx)
			if err != nil {
				yield(Run{}, err)
				return
			}
			id, err := b.find(ctx, name)
			if err != nil {
				yield(Run{}, err)
				return
			}
			r, err := b.run(ctx, id)
			if text := fmt.Sprint(r); err != nil || text != last {
				last = text
				if !yield(r, err) || err != nil {
					return
				}
			}
			if r.Over() {
				return
			}
			name = id
			if err := pause(ctx, watchPause); err != nil {
				yield(Run{}, err)
				return
			}
		}
	}
}

// watchPause is the least time between two looks: an engine may take thousands
// of steps a second.
const watchPause = 100 * time.Millisecond

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// runBook is the runs of a store at one moment.
type runBook struct {
	x     *Explainer
	snap  engine.Snapshot
	r     chunk.Reader
	order []string                 // run IDs, newest first
	jobs  map[string][]history.Job // by run, oldest first
	newer map[string]history.Job   // the newest job of a pipeline
}

func (x *Explainer) runBook(ctx context.Context) (*runBook, error) {
	b := &runBook{x: x, jobs: map[string][]history.Job{}, newer: map[string]history.Job{}}
	all, err := x.o.Jobs.List(ctx, "")
	if err != nil {
		return nil, err
	}
	if b.snap, err = x.observer.Observe(ctx); err != nil {
		return nil, err
	}
	if b.r, err = x.o.Store.ReadAny(ctx); err != nil {
		return nil, err
	}
	for _, j := range all {
		if _, ok := b.newer[j.Pipeline]; !ok {
			b.newer[j.Pipeline] = j
		}
		if j.Run == "" {
			continue // recorded before runs were
		}
		if b.jobs[j.Run] == nil {
			b.order = append(b.order, j.Run)
		}
		b.jobs[j.Run] = append(b.jobs[j.Run], j)
	}
	for _, list := range b.jobs {
		slices.Reverse(list)
	}
	return b, nil
}

// find returns the ID of the run that a name means.
func (b *runBook) find(ctx context.Context, name string) (string, error) {
	if j, ok := b.newer[name]; ok && j.Run != "" {
		return j.Run, nil
	}
	if strings.ContainsAny(name, "@:") {
		return b.ofVersion(ctx, name)
	}
	found := map[string]bool{}
	for id, jobs := range b.jobs {
		match := strings.HasPrefix(id, name)
		for _, j := range jobs {
			match = match || strings.HasPrefix(j.ID.String(), name)
		}
		if match {
			found[id] = true
		}
	}
	switch {
	case b.jobs[name] != nil || isRunID(name):
		return name, nil
	case slices.ContainsFunc(b.snap.Pipelines, func(p engine.PipelineHead) bool { return p.Name == name }):
		return "", fmt.Errorf("pipeline %s has no run yet: %w", name, fs.ErrNotExist)
	case len(name) < 6:
		return "", fmt.Errorf("run %q: give at least 6 digits of its id, a pipeline that has jobs, or a version as in images@main: %w", name, fs.ErrInvalid)
	case len(found) == 1:
		for id := range found {
			return id, nil
		}
	case len(found) > 1:
		return "", fmt.Errorf("%d runs begin with %q: give more digits: %w", len(found), name, fs.ErrInvalid)
	}
	return "", fmt.Errorf("no run %.80q: see dvx run list: %w", name, fs.ErrNotExist)
}

// isRunID reports whether a name is a whole run ID.
func isRunID(name string) bool {
	_, err := chunk.ParseID(name)
	return err == nil
}

// ofVersion returns the run that a version began, or belongs to.
func (b *runBook) ofVersion(ctx context.Context, name string) (string, error) {
	at, err := repo.Resolve(ctx, b.x.o.Store, name)
	if err != nil {
		return "", err
	}
	if at.ID.IsZero() {
		return "", fmt.Errorf("run of %s: nothing is committed there yet: %w", name, fs.ErrNotExist)
	}
	if at.Commit.Run != "" {
		return at.Commit.Run, nil
	}
	view, err := b.x.o.Store.View(ctx)
	if err != nil {
		return "", err
	}
	head := ""
	for branch, ref := range view.Repos[at.Ref.Repo].Branches {
		id := engine.OriginRun([]commit.Ref{{Repo: at.Ref.Repo, Branch: branch, Commit: at.ID}})
		if b.jobs[id] != nil {
			return id, nil
		}
		if ref.Commit == at.ID && (head == "" || branch == at.Ref.Name) {
			head = id
		}
	}
	if head == "" {
		return "", fmt.Errorf("no pipeline has read %s: %w", name, fs.ErrNotExist)
	}
	return head, nil
}

// run puts a run together.
func (b *runBook) run(ctx context.Context, id string) (Run, error) {
	r := Run{ID: id, Stages: []Stage{}}
	for _, j := range b.jobs[id] {
		r.Stages = append(r.Stages, stageOf(j))
	}
	var err error
	if r.Origins, err = b.origins(ctx, id); err != nil {
		return r, err
	}
	r.Stages = append(r.Stages, b.toCome(id, r)...)
	b.sort(r.Stages)
	r.sum()
	return r, nil
}

func stageOf(j history.Job) Stage {
	return Stage{
		Pipeline: j.Pipeline, Branch: j.Branch, State: string(j.State), Reason: j.Reason, By: j.By, Job: j.ID, Counts: j.Counts,
		Created: j.Created, Started: j.Started, Ended: j.Ended, Output: j.Output,
	}
}

// sum says what the stages come to: of a pipeline with several jobs the newest
// counts.
func (r *Run) sum() {
	newest := map[string]Stage{}
	for _, s := range r.Stages {
		at := s.Pipeline + "@" + s.Branch
		if n, ok := newest[at]; !ok || s.Created.After(n.Created) {
			newest[at] = s
		}
		if !s.Created.IsZero() && (r.Created.IsZero() || s.Created.Before(r.Created)) {
			r.Created = s.Created
		}
		if s.Ended.After(r.Ended) {
			r.Ended = s.Ended
		}
	}
	r.State = string(history.Done)
	worse := func(state string) {
		order := []string{string(history.Done), string(history.Killed), string(history.Failed), string(history.Running)}
		if slices.Index(order, state) > slices.Index(order, r.State) {
			r.State = state
		}
	}
	for _, s := range newest {
		r.Counts.Total += s.Counts.Total
		r.Counts.Hit += s.Counts.Hit
		r.Counts.Ran += s.Counts.Ran
		r.Counts.Failed += s.Counts.Failed
		r.Counts.Recovered += s.Counts.Recovered
		switch state := history.State(s.State); {
		case s.State == StageUnrunnable:
			worse(string(history.Failed))
		case s.State == StageOvertaken || state == history.Done:
		case state.Final():
			worse(s.State)
		default:
			worse(string(history.Running))
		}
	}
	if !r.Over() {
		r.Ended = time.Time{}
	}
}

// origins returns the commits with which a run begins, as far as they are
// still there.
func (b *runBook) origins(ctx context.Context, id string) ([]commit.Ref, error) {
	var all []commit.Ref
	for _, j := range b.jobs[id] {
		for _, in := range j.Inputs {
			c, err := commit.Load(ctx, b.r, in.Commit)
			if errors.Is(err, chunk.ErrNotFound) {
				continue // collected
			}
			if err != nil {
				return nil, fmt.Errorf("origin of run %.12s: %w", id, err)
			}
			from := c.Origins
			if len(from) == 0 {
				from = []commit.Ref{in.Ref}
			}
			for _, o := range from {
				if engine.OriginRun([]commit.Ref{o}) == id {
					return []commit.Ref{o}, nil
				}
			}
			all = from
		}
	}
	if len(b.jobs[id]) > 0 {
		return all, nil
	}
	for _, p := range b.snap.Pipelines { // nothing has begun yet
		for _, in := range p.Inputs {
			o := commit.Ref{Repo: in.Repo, Branch: in.Branch, Commit: in.Head.ID}
			if !in.Head.ID.IsZero() && engine.OriginRun([]commit.Ref{o}) == id {
				return []commit.Ref{o}, nil
			}
		}
	}
	return nil, nil
}

// branchRef names a branch of a repo.
type branchRef struct{ repo, branch string }

// toCome returns the pipelines that read what is of the run and have no job in
// it.
func (b *runBook) toCome(id string, r Run) []Stage {
	state := map[branchRef]string{} // of what is reached, "" for the origins
	for _, o := range r.Origins {
		state[branchRef{o.Repo, o.Branch}] = ""
	}
	for _, s := range r.Stages {
		state[branchRef{s.Pipeline, s.Branch}] = s.State
	}
	var out []Stage
	for grown := true; grown; {
		grown = false
		for _, p := range b.snap.Pipelines {
			me := branchRef{p.Name, p.Branch}
			if _, ok := state[me]; ok {
				continue
			}
			s, ok := b.stageToCome(id, r, p, state)
			if !ok {
				continue
			}
			state[me], grown = s.State, true
			out = append(out, s)
		}
	}
	return out
}

// stageToCome says what will become of a pipeline in a run, if it reads
// anything of it.
func (b *runBook) stageToCome(id string, r Run, p engine.PipelineHead, state map[branchRef]string) (Stage, bool) {
	s := Stage{Pipeline: p.Name, Branch: p.Branch}
	reads := false
	for _, in := range p.Inputs {
		up, ok := state[branchRef{in.Repo, in.Branch}]
		reads = reads || ok
		switch up {
		case string(history.Failed), string(history.Killed), StageUnrunnable:
			s.State, s.Reason = StageUnrunnable, in.Repo+"@"+in.Branch+" has no output"
		case StageOvertaken:
			s.State = cmp.Or(s.State, StageOvertaken)
		}
	}
	current := engine.RunOf(p) == id
	switch {
	case !reads || !current && !r.Created.IsZero() && p.SpecCommit.Time.After(r.Created):
		return s, false // it was not there then
	case s.State != "":
	case p.Problem != "":
		s.State, s.Reason = StageUnrunnable, p.Problem
	case !current && b.overtaken(r, p):
		s.State = StageOvertaken
	default:
		s.State, s.Reason = StageWaiting, p.Waits
	}
	return s, true
}

// overtaken reports whether a pipeline will never see what a run began with:
// its inputs have all gone further.
func (b *runBook) overtaken(r Run, p engine.PipelineHead) bool {
	for _, s := range r.Stages {
		if !history.State(s.State).Final() {
			return false
		}
	}
	for _, in := range p.Inputs {
		if in.Head.Commit.Run == r.ID {
			return false
		}
	}
	for _, h := range b.snap.Pipelines {
		for _, in := range h.Inputs {
			for _, o := range r.Origins {
				if in.Repo == o.Repo && in.Branch == o.Branch && in.Head.ID == o.Commit {
					return false
				}
			}
		}
	}
	return true
}

// sort puts stages upstream first, then the oldest first.
func (b *runBook) sort(stages []Stage) {
	depth := map[branchRef]int{}
	for grown := true; grown; { // the longest way from a source
		grown = false
		for _, p := range b.snap.Pipelines {
			me := branchRef{p.Name, p.Branch}
			for _, in := range p.Inputs {
				if d := depth[branchRef{in.Repo, in.Branch}] + 1; d > depth[me] && d <= len(b.snap.Pipelines) { // there may be cycles
					depth[me], grown = d, true
				}
			}
		}
	}
	slices.SortStableFunc(stages, func(a, c Stage) int {
		return cmp.Or(
			cmp.Compare(depth[branchRef{a.Pipeline, a.Branch}], depth[branchRef{c.Pipeline, c.Branch}]),
			strings.Compare(a.Pipeline+"@"+a.Branch, c.Pipeline+"@"+c.Branch), a.Created.Compare(c.Created))
	})
}
