package pipeline

import (
	"context"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
)

// Evaluations returns the last known of each time that a job was evaluated, the
// newest first. List has only the newest of each job.
func (j *Jobs) Evaluations(ctx context.Context) ([]history.Job, error) {
	past, err := j.log.Evaluations(ctx)
	if err != nil {
		return nil, err
	}
	now, err := j.List(ctx, "")
	if err != nil {
		return nil, err
	}
	for _, l := range now { // what the engine knows is newer than what it has written down
		same := func(p history.Job) bool { return p.ID == l.ID && p.Created.Equal(l.Created) }
		if i := slices.IndexFunc(past, same); i >= 0 {
			past[i] = l
		} else {
			past = append(past, l)
		}
	}
	slices.SortStableFunc(past, func(a, b history.Job) int { return b.Created.Compare(a.Created) })
	return past, nil
}

// ListAt returns the jobs of a pipeline, or of all if it is empty, as they were
// at a time, newest first. Counts of jobs under way are those of the datums
// that were done by then.
func (j *Jobs) ListAt(ctx context.Context, pipeline string, at time.Time) ([]history.Job, error) {
	all, err := j.Evaluations(ctx)
	if err != nil {
		return nil, err
	}
	var out []history.Job
	seen := map[engine.JobID]bool{}
	for _, job := range all {
		was, ok := job.AsOf(at)
		if !ok || seen[job.ID] || pipeline != "" && job.Pipeline != pipeline {
			continue
		}
		seen[job.ID] = true
		if was.State == history.Running && job.State != history.Running {
			if err := j.countAt(ctx, &was, at); err != nil {
				return nil, err
			}
		}
		out = append(out, was)
	}
	return out, nil
}

// countAt counts the datums of a job that had ended at a time.
func (j *Jobs) countAt(ctx context.Context, job *history.Job, at time.Time) error {
	attempts, err := j.log.Attempts(ctx, job.ID)
	if err != nil {
		return err
	}
	done := map[string]task.Outcome{}
	for _, a := range attempts {
		if !a.Started.Before(job.Created) && !a.Ended.After(at) {
			done[a.Identity] = task.Outcome(a.Outcome)
		}
	}
	for _, o := range done {
		switch o {
		case task.Succeeded:
			job.Counts.Ran++
		case task.Recovered:
			job.Counts.Recovered++
		case task.Failed, task.TimedOut:
			job.Counts.Failed++
		case task.Crashed, task.Cancelled: // they are tried again
		}
	}
	return nil
}

// Attempts returns the attempts that a job made, in their order.
func (j *Jobs) Attempts(ctx context.Context, id engine.JobID) ([]history.Attempt, error) {
	return j.log.Attempts(ctx, id)
}

// EachAttempt visits the attempts of all jobs, in no particular order, and some
// of them twice.
func (j *Jobs) EachAttempt(ctx context.Context, visit func(history.Attempt) error) error {
	return j.log.EachAttempt(ctx, visit)
}

// Events returns what is recorded beside jobs and attempts, oldest first.
func (j *Jobs) Events(ctx context.Context) ([]history.Event, error) { return j.log.Events(ctx) }

// Ran returns the datums that a job has run or is to run, by identity, and
// those of them that it skipped as far as they changed since the previous
// output. It looks at no datum table, so it costs what the job did.
func (j *Jobs) Ran(ctx context.Context, id engine.JobID) ([]DatumInfo, error) {
	if err := j.sync(ctx); err != nil {
		return nil, err
	}
	return j.ran(ctx, id)
}
