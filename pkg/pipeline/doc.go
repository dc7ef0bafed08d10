// Package pipeline is the shell around the engine of pipelines: it observes the
// store, lists datums, and carries out what the engine wants done.
//
// # Version
//
// A version ([engine.Version]) is a spec as it is stored, with its code.
// Versions are commits. [Observe] reads those of a root, with the heads of
// their inputs and outputs.
//
// # Datum
//
// A [Datum] is the part of the inputs that one run of the program sees. Its
// identity is the paths it selects, its memo key is content.
//
// # Controller
//
// The [Controller] observes the store, feeds events to [engine.Step] and
// carries out its effects with a [task.Runner], the memo and the store. Events
// are hints; truth is read from the store, so a lost or repeated event changes
// nothing.
//
// One goroutine owns the state; effects run beside it.
package pipeline
