package output

import (
	"github.com/dvx-io/dvx/pkg/memo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Delta says which datums an output consists of.
type Delta struct {
	Total   int64    // datums of the job that have a result
	Lacks   int64    // those that have none: the output does without them
	Full    bool     // Changed is all of them
	Removed []string // identities that are gone since the previous output
	Changed []Datum  // added or changed since the previous output
}

// Datum is what a datum contributes to a job's output.
type Datum struct {
	Identity string
	Key      memo.Key
	Tree     tree.Root
}
