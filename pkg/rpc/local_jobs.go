package rpc

import (
	"context"
	"iter"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
)

// LocalJobs is the jobs of a store on this machine. It implements [Jobs].
type LocalJobs struct {
	store    repo.Store
	jobs     *pipeline.Jobs
	observer *pipeline.Observer
	trouble  func(pipeline string) string // nil: nobody knows of any
}

var _ Jobs = (*LocalJobs)(nil)

// NewLocalJobs returns the jobs of s that j knows.
func NewLocalJobs(s repo.Store, j *pipeline.Jobs) *LocalJobs {
	return &LocalJobs{store: s, jobs: j, observer: pipeline.NewObserver(s)}
}

// Judge makes what is said of pipelines depend on their owners' rights, see
// pipeline.Observer. Call it before the first use.
func (l *LocalJobs) Judge(a auth.Authorizer) *LocalJobs {
	l.observer.Judge(a)
	return l
}

// Hear has the problem of a pipeline whose job goes on told by trouble: what
// keeps its workers from running, or "". Call it before the first use.
func (l *LocalJobs) Hear(trouble func(pipeline string) string) *LocalJobs {
	l.trouble = trouble
	return l
}

// Pipelines implements [Jobs].
func (l *LocalJobs) Pipelines(ctx context.Context) ([]PipelineState, error) {
	snap, err := l.observer.Observe(ctx)
	if err != nil {
		return nil, err
	}
	jobs, err := l.jobs.List(ctx, "")
	if err != nil {
		return nil, err
	}
	out := make([]PipelineState, 0, len(snap.Pipelines))
	for _, p := range snap.Pipelines {
		st := PipelineState{
			Pipeline: p.Name, Branch: p.Branch, Spec: p.Spec, Output: p.Output.ID, State: "waiting for input", Problem: p.Problem,
		}
		if _, paused := pipeline.Paused(p.SpecCommit); paused {
			st.State = "paused"
		} else if p.Problem != "" {
			st.State = "can't run"
		}
		for _, in := range p.Inputs {
			st.Inputs = append(st.Inputs, commit.Input{Name: in.Name, Ref: commit.Ref{Repo: in.Repo, Branch: in.Branch, Commit: in.Head.ID}})
		}
		if p.Version.Spec.Pipeline != "" { // it could be read
			if st.Source, err = spec.Encode(p.Version.Spec); err != nil {
				return nil, err
			}
		}
		for _, j := range jobs { // newest first
			if j.Pipeline == p.Name && j.Branch == p.Branch {
				st.Job = j.ID
				if p.Problem == "" {
					st.State = string(j.State)
				}
				if p.Problem == "" && !j.State.Final() && l.trouble != nil {
					st.Problem = l.trouble(p.Name)
				}
				break
			}
		}
		out = append(out, st)
	}
	return out, nil
}

// Jobs implements [Jobs].
func (l *LocalJobs) Jobs(ctx context.Context, name string) iter.Seq2[history.Job, error] {
	return func(yield func(history.Job, error) bool) {
		list, err := l.jobs.List(ctx, name)
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

// Job implements [Jobs].
func (l *LocalJobs) Job(ctx context.Context, id string) (history.Job, error) {
	return l.jobs.Get(ctx, id)
}

// Datums implements [Jobs].
func (l *LocalJobs) Datums(ctx context.Context, id history.JobID) iter.Seq2[DatumState, error] {
	return func(yield func(DatumState, error) bool) {
		for d, err := range l.jobs.Datums(ctx, id) {
			if !yield(DatumState{Job: id, DatumInfo: d}, err) || err != nil {
				return
			}
		}
	}
}
