package engine

import (
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Event tells [Step] what happened, and when. Any event may come late or
// twice.
type Event struct {
	At time.Time
	Of Happening
}

// Happening is what an event is about. The types below are all there are.
type Happening interface{ happening() }

// Observed says what the store looks like.
type Observed struct{ Snapshot Snapshot }

// Enumerated answers [Enumerate] with the datums of a job: all of them, or
// what changed since the previous output.
type Enumerated struct {
	Job     JobID
	Epoch   int
	Err     error // the datums could not be listed
	Final   bool  // with Err: trying again is of no use
	Total   int64 // datums of the job, the unchanged ones included
	Delta   bool  // Items and Removed are what changed since the previous output
	Removed []string
	Items   []Item
}

// Item is one datum of a job.
type Item struct {
	Identity string
	Key      memo.Key
	Hit      bool      // it has a result already
	Own      bool      // of a hit: this job ran it, before the engine stopped
	Output   tree.Root // of a hit
}

// Finished says how an attempt ended.
type Finished struct {
	Key     memo.Key
	Attempt int  // of the Start
	Serial  int  // of the Start
	Known   bool // nothing was run: a result was there by now, with this Output
	Result  task.Result
}

// Persisted answers [Persist].
type Persisted struct {
	Key    memo.Key
	Seq    int       // of the Persist
	Output tree.Root // of a success: of the record that counts, which may be an earlier one
	Err    error     // the result was lost: the attempt counts as crashed
}

// Merged answers [Merge] with the output commit.
type Merged struct {
	Job    JobID
	Epoch  int
	Commit commit.ID
	Err    error
	Final  bool // with Err: trying again is of no use
}

// Verdict says how a swap of the root ended.
type Verdict int

// The verdicts.
const (
	Committed  Verdict = iota // it is in the root
	Conflicted                // it is not and never will be: a branch moved
	Rejected                  // it is not and never will be, whenever it is tried: see Err
	Unsure                    // it may be in the root, or come to be: repeat it
)

// Swapped answers [Publish] and [Checkpoint].
type Swapped struct {
	Seq     int
	Verdict Verdict
	Gen     uint64 // of the root with the swap in it
	Err     error
}

// Tick lets time pass.
type Tick struct{}

// Cancel asks for the end of a job, or of some of its datums.
type Cancel struct {
	Job     JobID
	Datums  []string // identities; none: the whole job
	By      string   // the principal
	Reason  string   // for people, if there is one
	Cascade bool     // of a whole job: the jobs under way of pipelines that depend on it, too
}

// why says for people who cancelled something, and why.
func (c Cancel) why() string {
	if c.Reason == "" {
		return "cancelled by " + c.By
	}
	return "cancelled by " + c.By + ": " + firstLine(c.Reason)
}

// Rerun asks for another evaluation of a job's heads, or for another try if
// it failed.
type Rerun struct {
	Job  JobID
	Only []string // identities of the datums without a result that are tried again; none: all
}

func (Observed) happening()   {}
func (Enumerated) happening() {}
func (Finished) happening()   {}
func (Persisted) happening()  {}
func (Merged) happening()     {}
func (Swapped) happening()    {}
func (Tick) happening()       {}
func (Cancel) happening()     {}
func (Rerun) happening()      {}
