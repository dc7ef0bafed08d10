// Package explain answers what people ask about pipelines: what would run, why
// something ran, and where something comes from and leads to.
//
// # Forecast
//
// A [Forecast] says what the engine would do for a pipeline and because of what,
// without doing it.
//
// # Answer
//
// An [Answer] says why a datum of a job ran or did not: the components of its
// memo key that differ from those of the result that it replaced.
//
// # Node
//
// A [Node] is a version, or a path in one, with what it was made of and what was
// made of it.
//
// All of it is read from the store; nothing is changed. An [Explainer] may be
// used concurrently.
package explain
