// Package task is the contract between the engine of pipelines and what runs
// programs for it.
//
// # Task and Result
//
// A [Task] is one attempt at one datum, complete: who runs it needs nothing
// else. A [Result] is what came of it.
//
// # Runner
//
// A [Runner] runs tasks: as child processes, in Pods, or as a fake.
package task
