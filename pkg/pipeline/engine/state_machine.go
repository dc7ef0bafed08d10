package engine

import (
	"slices"

	"github.com/dvx-io/dvx/pkg/pipeline/history"
)

// DatumState says where a datum of the jobs under way is on its way to a
// result. A datum is shared by all jobs that want its key.
type DatumState string

// The states of a datum. Attempts are numbered; a burnt number costs nothing.
const (
	DatumNew       DatumState = "new"        // wanted for the first time
	DatumHit       DatumState = "hit"        // a result was there: skipped
	DatumPlanned   DatumState = "planned"    // waits for a slot
	DatumRunning   DatumState = "running"    // an attempt is under way
	DatumReported  DatumState = "reported"   // an attempt ended, its result is being made durable
	DatumAccepted  DatumState = "accepted"   // the result is durable and counts
	DatumRetryWait DatumState = "retry-wait" // the next attempt waits for its time
	DatumFailed    DatumState = "failed"     // no attempts are left
	DatumDropped   DatumState = "dropped"    // no job wants it any more
)

// Transition is a step of one of the two machines, as [Options].Trace sees it.
type Transition struct{ Machine, From, To string }

// edges lists where each state leads. What is not listed is refused.
type edges[S ~string] map[S][]S

func (e edges[S]) allows(from, to S) bool { return slices.Contains(e[from], to) }

// without returns the table less one transition, if it is of that machine.
func (e edges[S]) without(machine string, x Transition) edges[S] {
	if x.Machine == machine {
		e[S(x.From)] = slices.DeleteFunc(e[S(x.From)], func(to S) bool { return string(to) == x.To })
	}
	return e
}

// jobEdges is the machine of a job. Any state but the final ones leads to
// Done, because another daemon may have published the same job.
func jobEdges() edges[history.State] {
	return edges[history.State]{
		history.Pending:    {history.Frozen, history.Failed, history.Killed, history.Done},
		history.Frozen:     {history.Running, history.Merging},
		history.Running:    {history.Merging, history.Pending, history.Failed, history.Killed, history.Done},
		history.Merging:    {history.Publishing, history.Pending, history.Failed, history.Killed, history.Done},
		history.Publishing: {history.Done, history.Pending, history.Failed},
	}
}

// datumEdges is the machine of a datum. A success counts from whichever
// attempt it comes, as long as there is none yet.
func datumEdges() edges[DatumState] {
	return edges[DatumState]{
		DatumNew:       {DatumHit, DatumPlanned},
		DatumPlanned:   {DatumRunning, DatumReported, DatumDropped},
		DatumRunning:   {DatumReported, DatumAccepted, DatumPlanned, DatumRetryWait, DatumFailed, DatumDropped},
		DatumReported:  {DatumAccepted, DatumPlanned, DatumRetryWait, DatumFailed},
		DatumRetryWait: {DatumPlanned, DatumReported, DatumDropped},
		DatumFailed:    {DatumDropped},
		DatumAccepted:  {DatumDropped},
	}
}

// Transitions returns every transition that the tables allow: what a test of
// their coverage must see.
func Transitions() []Transition {
	return append(listEdges("job", jobEdges()), listEdges("datum", datumEdges())...)
}

func listEdges[S ~string](machine string, e edges[S]) []Transition {
	var all []Transition
	for from, tos := range e {
		for _, to := range tos {
			all = append(all, Transition{Machine: machine, From: string(from), To: string(to)})
		}
	}
	return all
}
