// Package history holds what happened: jobs, attempts at datums, and events
// worth telling. None of it decides what must run, except that a job which
// failed is not started again by itself.
//
// # Record
//
// A [Job] is written when a job starts and again when it ends; the newest
// record of an ID counts. An [Attempt] is written once, when it is over. An
// [Event] says what is neither.
//
// # Segment
//
// Records are kept in immutable segments, which the store's root names from
// the oldest to the newest. FORMAT.md describes them. Writers merge segments
// so that there are never many.
//
// # Log
//
// A [Log] is the sum of segments, read once each, and of what a daemon has
// not published yet.
//
// Records are values. A Log may be used concurrently.
package history
