package explain

import (
	"context"
	"fmt"
	"io/fs"
	"slices"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline"
	"github.com/dvx-io/dvx/pkg/pipeline/datum"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// Detail is all that is known of a datum of a job.
type Detail struct {
	Job      history.JobID     `json:"job"`
	Pipeline string            `json:"pipeline"`
	Branch   string            `json:"branch"`
	Inputs   []DetailInput     `json:"inputs,omitempty"`
	Tries    []history.Attempt `json:"tries,omitempty"` // of this job, oldest first; none if it was skipped
	Why      Answer            `json:"why"`
	pipeline.DatumInfo
}

// DetailInput is what a datum sees of an input, and of which version.
type DetailInput struct {
	commit.Ref
	DatumPart
}

// Detail returns all that is known of a datum of a job. It fails with
// fs.ErrNotExist if the job has no such datum.
func (x *Explainer) Detail(ctx context.Context, job history.Job, identity string) (Detail, error) {
	d := Detail{Job: job.ID, Pipeline: job.Pipeline, Branch: job.Branch}
	found := false
	for info, err := range x.o.Jobs.Datums(ctx, job.ID) {
		if err != nil {
			return d, err
		}
		if found = info.Identity == identity; found {
			d.DatumInfo = info
			break
		}
	}
	if !found {
		return d, fmt.Errorf("job %s has no datum %q; dvx datum list %s shows them: %w", job.ID.Short(), identity, job.ID.Short(), fs.ErrNotExist)
	}
	tries, err := x.o.Jobs.Attempts(ctx, job.ID)
	if err != nil {
		return d, err
	}
	d.Tries = slices.DeleteFunc(tries, func(a history.Attempt) bool { return a.Identity != identity })
	for a, err := range x.Why(ctx, job, identity) {
		if err != nil {
			return d, err
		}
		d.Why = a
	}
	d.Inputs, err = x.inputsOf(ctx, job, identity)
	return d, err
}

// inputsOf returns what a datum of a job sees; nil if that is not known any
// more.
func (x *Explainer) inputsOf(ctx context.Context, job history.Job, identity string) ([]DetailInput, error) {
	r, err := x.o.Store.ReadAny(ctx)
	if err != nil {
		return nil, err
	}
	s, err := x.read(ctx, r, job.Spec, job.Inputs)
	if err != nil {
		return nil, err
	}
	for d, err := range datum.All(ctx, s.inputs, s.version.Spec) {
		if err != nil {
			return nil, err
		}
		if d.Identity != identity {
			continue
		}
		var out []DetailInput
		for _, part := range datumOf(d).Inputs {
			in := DetailInput{DatumPart: part}
			if i := slices.IndexFunc(job.Inputs, func(j commit.Input) bool { return j.Name == part.Name }); i >= 0 {
				in.Ref = job.Inputs[i].Ref
			}
			out = append(out, in)
		}
		return out, nil
	}
	return nil, nil
}
