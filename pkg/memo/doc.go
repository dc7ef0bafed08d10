// Package memo knows which output belongs to which complete description of
// work, so that nothing runs twice.
//
// # Work
//
// [Work] is all that the user's code can see: runtime, command, environment,
// parameters, code, and the names and contents of its inputs. Its hash is the
// [Key]. The golden table in testdata says of every field of a pipeline spec
// whether it is in the key, and why.
//
// # Record
//
// A [Record] is what a run of some Work gave: the output tree, the log, the
// outcome. The first accepted record of a key wins.
//
// # Segment
//
// Records are published in immutable segments that the store's root names;
// FORMAT.md describes them. Between checkpoints a daemon holds its newest
// records in memory and in its journal.
//
// A [Cache] may be used concurrently.
package memo
