package engine

import (
	"slices"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Snapshot is what the store says of pipelines as of one root: all that
// [Plan] needs. It is a value: nobody changes it after it was made.
type Snapshot struct {
	Gen       uint64         // generation of the root
	Pipelines []PipelineHead // sorted by name, then branch
}

// PipelineHead is a pipeline on a branch, with where its inputs and its output
// are.
type PipelineHead struct {
	Name, Branch string
	Spec         commit.ID      // the commit that holds the spec
	SpecCommit   commit.Commit  // that commit
	Version      Version        // what it holds
	Inputs       []InputHead    // in order of the spec
	Output       Head           // zero ID: nothing was committed yet
	Skipped      []commit.Input // commits that an evaluation of the inputs passes over, oldest first
	Problem      string         // why the pipeline can't run, for people; empty if it can
	Waits        string         // why it can't run before others have, for people; empty if it can
}

// InputHead is where an input of a pipeline is.
type InputHead struct {
	Name, Repo string
	Branch     string // as resolved
	Head       Head   // zero ID: nothing was committed yet
}

// Head is the newest commit of a branch.
type Head struct {
	ID     commit.ID
	Commit commit.Commit // zero if ID is
}

// Job returns the job that made the head, or zero if none did.
func (h Head) Job() JobID {
	if h.Commit.Prov == nil {
		return JobID{}
	}
	id, err := ParseJobID(h.Commit.Prov.Job)
	if err != nil {
		return JobID{}
	}
	return id
}

// Ready reports whether a job of the pipeline could be planned.
func (p PipelineHead) Ready() bool {
	return p.Problem == "" && p.Waits == "" && !slices.ContainsFunc(p.Inputs, func(in InputHead) bool { return in.Head.ID.IsZero() })
}

// Version is a spec as it is stored: a commit on the spec ref of its
// pipeline's repo whose tree holds spec.json (canonical), source (as typed)
// and code/ (the code tree).
type Version struct {
	Spec spec.Spec
	Code tree.Root // zero if there is none
}
