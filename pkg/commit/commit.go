package commit

import (
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/tree"
)

// ID names a commit: the chunk ID of its canonical JSON.
type ID chunk.ID

// Commit is one version of a repo. Fields that a delivery does not use yet are
// part of the format all the same; they are left out of the JSON when empty.
type Commit struct {
	Tree      tree.Root         `json:"tree"`
	Parents   []ID              `json:"parents,omitempty"`   // the first is the branch's previous commit
	Author    string            `json:"author"`              // who made the change: "Name <address>" or a principal
	Committer string            `json:"committer,omitempty"` // who recorded it, if another
	Time      time.Time         `json:"time"`                // UTC, whole milliseconds
	Message   string            `json:"message,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Op        string            `json:"op"`                   // operation ID, 32 hex digits: the same operation gives the same commit
	Run       string            `json:"run,omitempty"`        // run ID: one per origin commit across the whole graph of pipelines
	Origins   []Ref             `json:"origins,omitempty"`    // the commits by users from which this one was derived
	Prov      *Provenance       `json:"provenance,omitempty"` // of a pipeline's output
	Changes   *Changes          `json:"changes,omitempty"`    // index of the history by path, see [Index]; nil if there is none
}

// Trees returns the directories that the commit names: everything that must be
// kept for it, besides its parents.
func (c *Commit) Trees() []tree.Root {
	roots := []tree.Root{c.Tree, c.Datums(), c.Marks()}
	return slices.DeleteFunc(roots, func(r tree.Root) bool { return r.ID.IsZero() })
}

// Datums returns the datum table, the zero Root if there is none.
func (c *Commit) Datums() tree.Root {
	if c.Prov == nil || c.Prov.Datums == nil {
		return tree.Root{}
	}
	return *c.Prov.Datums
}

// Marks returns the marks of the index of changes, the zero Root if there is none.
func (c *Commit) Marks() tree.Root {
	if c.Changes == nil {
		return tree.Root{}
	}
	return c.Changes.Tree
}

// Ref names a commit of a repo.
type Ref struct {
	Repo   string `json:"repo"`
	Branch string `json:"branch,omitempty"` // the branch that was followed
	Commit ID     `json:"commit"`
}

// Provenance says how a pipeline made a commit. It is a function of the job's
// inputs only: a replay gives the same bytes.
type Provenance struct {
	Pipeline   string            `json:"pipeline"`
	Branch     string            `json:"branch"`
	Spec       ID                `json:"spec"` // commit that holds the spec
	Job        string            `json:"job"`  // job ID, 64 hex digits
	Inputs     []Input           `json:"inputs"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Principal  string            `json:"principal,omitempty"` // the pipeline's owner, as whom it ran
	Code       string            `json:"code,omitempty"`      // content ID of the code tree
	Image      string            `json:"image,omitempty"`     // image digest
	Datums     *tree.Root        `json:"datums,omitempty"`    // the datum table
}

// Input is one input of a job.
type Input struct {
	Name string `json:"name"`
	Ref
}
