// Package engine is the pure core of pipelines: what must run, given what is.
//
// # Snapshot and Plan
//
// A [Snapshot] is what one root of a store says of pipelines: specs and heads.
// [Plan] is a pure function from it, and from what is known of former jobs
// ([Ledger]), to the jobs that are missing. [Settle] says whether everything
// that depends on a branch is up to date.
//
// # Step
//
// [Step] takes an [Event] into account and returns the [Effect]s that are to
// follow. It does no I/O, reads no clock and no chance, and gives the same
// effects for the same events. The same Step runs in production (package
// pipeline) and under simulation (package sim). Any event may come late, twice
// or never: truth is what the next Snapshot says.
//
// # State
//
// Jobs and datums are state machines, listed in two tables that [Transitions]
// returns. A datum is shared by all jobs that want its memo key, so no key is
// under way twice.
//
// # Pool
//
// Attempts hold a slot and units of the [Pool]s that their specs name. What an
// attempt holds is the attempt's until it is over, whatever becomes of its datum.
//
// # Growth
//
// Datums may emit further datums of their job, which [Grow] asks for level by
// level.
//
// # Output commit
//
// [OutputCommit] and [PublishOp] are functions of a job's inputs: whoever
// publishes a job, and however often, publishes the same commit once.
//
// A [State] is for one goroutine. Everything else is a value.
package engine
