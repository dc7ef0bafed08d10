// Package sim runs the engine of pipelines in one goroutine, under a clock and
// with chance that a seed determines, against a model of everything around it.
//
// # World
//
// The world is the model: a store's root, a memo, histories, workers, users
// who commit, and a daemon that crashes. The daemon's core is
// [engine.Step], the same function that production runs; only what carries
// out its effects is modelled.
//
// # Fault
//
// What may go wrong is one list, [Faults]: events come late or twice, or are
// lost; swaps of the root end unknown; workers vanish and return; the daemon
// dies between an effect and its answer, with or without its journal; clocks
// jump; another daemon publishes first.
//
// # Invariant
//
// After each event the world checks what must always hold, and after the
// faults have stopped what must hold in the end: every job that is called for
// ended, and outputs are what an undisturbed run gives.
//
// A run is for one goroutine. Runs share nothing.
package sim
