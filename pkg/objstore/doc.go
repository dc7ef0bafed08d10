// Package objstore is the lowest layer of a store: named byte strings with
// conditional writes and typed outcomes.
//
// # Object
//
// A byte string under a key. It is never changed in place: it is written once
// (IfAbsent), or replaced whole by a compare-and-swap on its [Version]. Only
// the root of a dvx store is ever replaced.
//
// # Outcome
//
// A call has one of six outcomes ([OutcomeOf]). The one that must never be
// taken for another is unknown: a write whose acknowledgement was lost may
// have happened, or may still happen later.
//
// # What every Store guarantees
//
// An object is visible whole or not at all. A Put that returned nil survives a
// power loss. Of any number of racing Puts with IfAbsent on one key, or with
// one IfVersion, exactly one returns nil. A read that starts after a Put
// returned sees it. The suite in objstoretest holds each implementation to
// this, and the probe package asks a running store for it.
//
// Stores: mem, disk, s3. Decorators: retry (back-off), fault (errors, lost
// acknowledgements and crashes on purpose). The limit package keeps an S3
// client's requests within rates.
//
// # Caveats
//
// Keys that differ only in case are one object on a case-insensitive file
// system; dvx makes no such keys.
package objstore
