// Package pipeline decides what must run, given what is.
//
// # Version
//
// A [Version] is a spec as it is stored, with its code. Versions are commits.
//
// # Datum
//
// A datum is the part of the inputs that one run of the program sees. Its
// identity is the paths it selects, its memo key is content.
//
// # Plan and Step
//
// Plan is a pure function from what is observed (specs, heads, finished jobs)
// to the jobs that are missing. Step is the pure core of the engine: state and
// event in, effects out. The same Step runs in production and under
// simulation.
//
// # Controller
//
// The [Controller] is the thin shell: it observes the store, feeds events to
// Step and carries out its effects with a [Runner], the memo and the store.
// Events are hints; truth is read from the store, so a lost or repeated event
// changes nothing.
//
// One goroutine owns the state; effects run beside it.
package pipeline
