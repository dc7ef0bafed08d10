package engine

import (
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/pipeline/history"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Effect is what [Step] wants done. The types below are all there are. Effects
// are carried out in their order as far as they are started; which answer
// comes first does not matter.
type Effect interface{ effect() }

// Look asks for a fresh [Observed].
type Look struct{}

// Enumerate asks for the datums of a job. Answer: [Enumerated].
type Enumerate struct {
	Job   JobSpec
	Epoch int
}

// Start asks for an attempt at a datum. The memo is to be looked at once more
// before. Answer: [Finished].
type Start struct {
	Job      JobID
	Identity string
	Key      memo.Key
	Attempt  int  // of this datum, from 1
	Serial   int  // of all attempts: never used twice
	Last     bool // if the program fails, there is no other try
}

// Kill asks for the end of an attempt. Answer: the attempt's [Finished].
type Kill struct {
	Key    memo.Key
	Serial int
}

// Persist asks to make an attempt's chunks durable and to journal it. The
// result of a succeeded one then belongs in the memo. Answer: [Persisted].
type Persist struct {
	Seq     int
	Attempt history.Attempt
	Output  tree.Root // of a succeeded attempt
}

// Merge asks for the output commit of a job. Answer: [Merged].
type Merge struct {
	Job   JobSpec
	Epoch int
	Delta output.Delta
}

// Publish asks for a swap of the root that moves the output branch of a job to
// its commit. The swap also carries all records so far, with Record as the
// last one. Answer: [Swapped].
type Publish struct {
	Seq    int
	Job    JobSpec
	Commit commit.ID
	Record history.Job
}

// Checkpoint asks for a swap of the root that carries all records so far.
// Answer: [Swapped].
type Checkpoint struct{ Seq int }

// Record asks to keep a history record for the next swap.
type Record struct{ Record history.Record }

// Forget says that these datums will not be started any more.
type Forget struct{ Keys []memo.Key }

// WakeAt asks for a [Tick] at that time. It replaces an earlier one.
type WakeAt struct{ Time time.Time }

// Complain reports a transition that the tables do not allow: a bug. The state
// was left as it was.
type Complain struct{ Text string }

func (Look) effect()       {}
func (Enumerate) effect()  {}
func (Start) effect()      {}
func (Kill) effect()       {}
func (Persist) effect()    {}
func (Merge) effect()      {}
func (Publish) effect()    {}
func (Checkpoint) effect() {}
func (Record) effect()     {}
func (Forget) effect()     {}
func (WakeAt) effect()     {}
func (Complain) effect()   {}
