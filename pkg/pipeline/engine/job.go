package engine

import (
	"fmt"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// JobID names a job: the hash of pipeline, branch, spec, inputs, parameters
// and rerun number.
type JobID = history.JobID

// ParseJobID reads 64 lower-case hex digits; anything else fails with
// fs.ErrInvalid.
func ParseJobID(s string) (JobID, error) { return history.ParseJobID(s) }

// JobSpec is one evaluation of a pipeline for one set of input commits.
type JobSpec struct {
	ID    JobID
	Rerun int      // how often the evaluation was asked for again
	Only  []string // datums without a result that it tries, sorted, and what they emit; none: all
	Head  PipelineHead
}

// jobIdentity is what a job ID covers, in the order of its canonical JSON.
type jobIdentity struct {
	Format     string            `json:"format"`
	Pipeline   string            `json:"pipeline"`
	Branch     string            `json:"branch"`
	Spec       commit.ID         `json:"spec"`
	Inputs     []jobInput        `json:"inputs"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Rerun      int               `json:"rerun,omitempty"`
}

type jobInput struct {
	Name   string    `json:"name"`
	Commit commit.ID `json:"commit"`
}

// NewJobID returns the ID of the evaluation of p as it is, for the rerun of
// that number (0: none was asked for).
func NewJobID(p PipelineHead, rerun int) JobID {
	d := jobIdentity{
		Format: "dvx 2026-11 v1 job", Pipeline: p.Name, Branch: p.Branch, Spec: p.Spec,
		Parameters: p.Version.Spec.Parameters, Rerun: rerun,
	}
	for _, in := range p.Inputs {
		d.Inputs = append(d.Inputs, jobInput{Name: in.Name, Commit: in.Head.ID})
	}
	b, err := commit.CanonicalJSON(d)
	if err != nil {
		panic(fmt.Sprintf("dvx: bug: job identity: %v", err)) // strings and hashes always encode
	}
	return JobID(chunk.Data.Sum(b))
}

// inputs returns the inputs as commits and history name them.
func (j JobSpec) inputs() []commit.Input {
	out := make([]commit.Input, 0, len(j.Head.Inputs))
	for _, in := range j.Head.Inputs {
		out = append(out, commit.Input{Name: in.Name, Ref: commit.Ref{Repo: in.Repo, Branch: in.Branch, Commit: in.Head.ID}})
	}
	return out
}

// record returns the history record of a job in its first state.
func (j JobSpec) record(created time.Time) history.Job {
	return history.Job{
		ID: j.ID, Pipeline: j.Head.Name, Branch: j.Head.Branch, Spec: j.Head.Spec, Inputs: j.inputs(),
		Parameters: j.Head.Version.Spec.Parameters, Rerun: j.Rerun, Hooks: j.Head.Version.Spec.Hooks != nil, Only: j.Only, Skipped: j.Head.Skipped, State: history.Pending, Created: commit.Stamp(created),
		Run: RunOf(j.Head),
	}
}
