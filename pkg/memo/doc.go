// Package memo knows which output belongs to which complete description of
// work, so that nothing runs twice.
//
// # Work
//
// [Work] is all that the user's code can see: runtime, command, environment,
// parameters, code, and the names and contents of its inputs. Its hash is the
// [Key]. The golden table of package pipeline says of every field of a spec
// whether it is in the key, and why.
//
// # Record
//
// A [Record] is what a run of some Work gave: the output tree, the log, the
// outcome. The first accepted record of a key and scope wins.
//
// # Segment
//
// Records are published in immutable segments that the store's root names, and
// are read where they lie; FORMAT.md describes them. Between checkpoints a
// daemon holds its newest records in a [Cache] and in its journal.
//
// # Scope
//
// A result is worth what the one who ran it is trusted with. A record names its
// scope, and a look-up the scopes that it trusts.
//
// A Cache may be used concurrently; everything else is a value.
package memo
