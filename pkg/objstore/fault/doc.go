// Package fault wraps a store so that calls fail on purpose: with errors before
// or after they took effect, with torn writes and wrong reads, with delays, and
// by a crash at a chosen call.
//
// # Plan
//
// A [Plan] decides from a call's number, kind and key what happens to it, so a
// run repeats exactly if its calls do. [Random] draws from a seed, [CrashAt]
// kills at one call; [Plans] chains them.
//
// # Crash points
//
// Run a scenario once and count its calls ([Store.Calls]); then, for each call,
// run it again with CrashAt. After the crash every call fails with ErrCrashed,
// as for a process that died, until [Store.Revive].
//
// # Defects
//
// [Broken] makes stores that violate the contract, one way each. They are the
// proof that the probe and the conformance suite see such stores.
//
// A Store may be used by any number of goroutines; the order in which their
// calls are numbered is then theirs.
package fault
