package explain

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/repo"
)

// Event is something that happened to a pipeline, a job or a datum.
type Event struct {
	Time     time.Time     `json:"time"`
	Kind     string        `json:"kind"` // pipeline.VERB, job.STATE, datum.OUTCOME, or one of history
	Pipeline string        `json:"pipeline,omitempty"`
	Branch   string        `json:"branch,omitempty"`
	Job      history.JobID `json:"job,omitzero"`
	Run      string        `json:"run,omitempty"`
	Datum    string        `json:"datum,omitempty"`
	Attempt  int           `json:"attempt,omitempty"`
	Spec     commit.ID     `json:"spec,omitzero"`
	By       string        `json:"by,omitempty"` // who did it
	Text     string        `json:"text,omitempty"`
}

// EventQuery says which events are wanted. The zero value is all but those of
// datums.
type EventQuery struct {
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until,omitzero"` // zero: now
	Pipeline string    `json:"pipeline,omitempty"`
	Branch   string    `json:"branch,omitempty"`
	Datums   bool      `json:"datums,omitempty"` // also the attempts at datums
	Follow   bool      `json:"follow,omitempty"` // go on with what happens from now on
}

func (q EventQuery) wants(e Event) bool {
	return !e.Time.IsZero() && !e.Time.Before(q.Since) && (q.Until.IsZero() || !e.Time.After(q.Until)) &&
		(q.Pipeline == "" || q.Pipeline == e.Pipeline) && (q.Branch == "" || q.Branch == e.Branch)
}

// Events yields what happened, oldest first; with Follow then what happens,
// until ctx ends.
func (x *Explainer) Events(ctx context.Context, q EventQuery) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		told, seen := map[string]bool{}, uint64(0)
		for {
			var err error
			if q.Follow {
				if seen, err = x.o.Jobs.Watch(ctx, seen); err != nil {
					yield(Event{}, err)
					return
				}
			}
			list, err := x.eventList(ctx, q)
			if err != nil {
				yield(Event{}, err)
				return
			}
			for _, e := range list {
				if key := fmt.Sprintf("%v", e); !q.Follow || !told[key] {
					told[key] = true
					if !yield(e, nil) {
						return
					}
				}
			}
			if !q.Follow {
				return
			}
			if err := pause(ctx, 5*watchPause); err != nil {
				yield(Event{}, err)
				return
			}
		}
	}
}

func (x *Explainer) eventList(ctx context.Context, q EventQuery) ([]Event, error) {
	var all []Event
	add := func(e Event) {
		if q.wants(e) {
			all = append(all, e)
		}
	}
	jobs, err := x.o.Jobs.Evaluations(ctx)
	if err != nil {
		return nil, err
	}
	of := map[history.JobID]history.Job{}
	for _, j := range jobs {
		of[j.ID] = j
		jobEvents(j, add)
	}
	if err := x.pipelineEvents(ctx, add); err != nil {
		return nil, err
	}
	noted, err := x.o.Jobs.Events(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range noted {
		j := of[n.Job]
		add(Event{Time: n.Time, Kind: n.Kind, Pipeline: j.Pipeline, Branch: j.Branch, Job: n.Job, Run: j.Run, Text: n.Text})
	}
	if q.Datums {
		err = x.o.Jobs.EachAttempt(ctx, func(a history.Attempt) error {
			j := of[a.Job]
			add(Event{
				Time: a.Ended, Kind: "datum." + a.Outcome, Pipeline: j.Pipeline, Branch: j.Branch, Job: a.Job, Run: j.Run,
				Datum: a.Identity, Attempt: a.Attempt, By: a.By, Text: a.Reason,
			})
			return nil
		})
	}
	slices.SortStableFunc(all, func(a, b Event) int {
		return cmp.Or(a.Time.Compare(b.Time), strings.Compare(a.Pipeline, b.Pipeline), strings.Compare(a.Datum, b.Datum))
	})
	return slices.Compact(all), err
}

// jobEvents says which states a job came to, and when.
func jobEvents(j history.Job, add func(Event)) {
	e := Event{Time: j.Created, Kind: "job." + string(history.Pending), Pipeline: j.Pipeline, Branch: j.Branch, Job: j.ID, Run: j.Run, Spec: j.Spec}
	add(e)
	if e.Time = j.Started; !e.Time.IsZero() {
		e.Kind, e.Text = "job."+string(history.Running), fmt.Sprintf("%d datums", j.Counts.Total)
		add(e)
	}
	if e.Time = j.Ended; !e.Time.IsZero() {
		e.Kind, e.By, e.Text = "job."+string(j.State), j.By, j.Reason
		add(e)
	}
}

// pipelineEvents says how pipelines came to be what they are.
func (x *Explainer) pipelineEvents(ctx context.Context, add func(Event)) error {
	view, err := x.o.Store.View(ctx)
	if err != nil {
		return err
	}
	for name, r := range view.Repos {
		for branch, ref := range r.Specs {
			err := x.versions(ctx, ref.Commit, func(id commit.ID, c commit.Commit) bool {
				e := Event{Time: c.Time, Kind: "pipeline.updated", Pipeline: name, Branch: branch, Spec: id, By: c.Author, Text: c.Message}
				_, paused := pipeline.Paused(c)
				switch {
				case paused:
					e.Kind = "pipeline.paused"
				case len(c.Parents) == 0:
					e.Kind = "pipeline.created"
				}
				add(e)
				return true
			})
			if err != nil {
				return fmt.Errorf("versions of pipeline %s@%s: %w", name, branch, err)
			}
		}
	}
	return nil
}

// versions visits the versions of a spec, newest first, until visit says no.
func (x *Explainer) versions(ctx context.Context, id commit.ID, visit func(commit.ID, commit.Commit) bool) error {
	r, err := x.o.Store.ReadAny(ctx)
	if err != nil {
		return err
	}
	for !id.IsZero() {
		c, err := commit.Load(ctx, r, id)
		if err != nil {
			return err
		}
		if !visit(id, c) || len(c.Parents) == 0 {
			return nil
		}
		id = c.Parents[0]
	}
	return nil
}

// JobsAt yields the jobs of a pipeline, or of all if the name is empty, as they
// were at a time, newest first.
func (x *Explainer) JobsAt(ctx context.Context, name string, at time.Time) iter.Seq2[history.Job, error] {
	return func(yield func(history.Job, error) bool) {
		list, err := x.o.Jobs.ListAt(ctx, name, at)
		if err != nil {
			yield(history.Job{}, err)
			return
		}
		for _, j := range list {
			if !yield(j, nil) {
				return
			}
		}
	}
}

// PipelineAt is a pipeline as it was at a time.
type PipelineAt struct {
	Pipeline string        `json:"pipeline"`
	Branch   string        `json:"branch"`
	Spec     commit.ID     `json:"spec"`
	Paused   string        `json:"paused,omitempty"` // by whom
	State    string        `json:"state"`            // of its newest job
	Job      history.JobID `json:"job,omitzero"`
	Output   commit.ID     `json:"output,omitzero"` // of its newest job that was done
}

// PipelinesAt returns the pipelines that there were at a time and still are,
// sorted by name and branch, as they were.
func (x *Explainer) PipelinesAt(ctx context.Context, at time.Time) ([]PipelineAt, error) {
	jobs, err := x.o.Jobs.ListAt(ctx, "", at)
	if err != nil {
		return nil, err
	}
	view, err := x.o.Store.View(ctx)
	if err != nil {
		return nil, err
	}
	var out []PipelineAt
	for name, r := range view.Repos {
		for branch, ref := range r.Specs {
			p, err := x.pipelineAt(ctx, name, branch, ref, at)
			if err != nil {
				return nil, err
			}
			if p.Spec.IsZero() {
				continue
			}
			p.addJobs(jobs)
			out = append(out, p)
		}
	}
	slices.SortFunc(out, func(a, b PipelineAt) int {
		return cmp.Or(strings.Compare(a.Pipeline, b.Pipeline), strings.Compare(a.Branch, b.Branch))
	})
	return out, nil
}

func (x *Explainer) pipelineAt(ctx context.Context, name, branch string, ref repo.Branch, at time.Time) (PipelineAt, error) {
	p := PipelineAt{Pipeline: name, Branch: branch, State: "no job yet"}
	err := x.versions(ctx, ref.Commit, func(id commit.ID, c commit.Commit) bool {
		if c.Time.After(at) {
			return true
		}
		p.Spec = id
		p.Paused, _ = pipeline.Paused(c)
		return false
	})
	if err != nil {
		err = fmt.Errorf("versions of pipeline %s@%s: %w", name, branch, err)
	}
	return p, err
}

// addJobs takes the pipeline's jobs into account, newest first.
func (p *PipelineAt) addJobs(jobs []history.Job) {
	for _, j := range jobs {
		if j.Pipeline != p.Pipeline || j.Branch != p.Branch {
			continue
		}
		if p.Job.IsZero() {
			p.Job, p.State = j.ID, string(j.State)
		}
		if j.State == history.Done {
			p.Output = j.Output
			return
		}
	}
}
