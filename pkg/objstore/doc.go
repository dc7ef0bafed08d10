// Package objstore defines named byte strings with conditional writes and
// typed outcomes: all that dvx asks of a place to keep data.
//
// # Store
//
// A [Store] maps keys to objects. Objects appear whole or not at all, a
// successful Put is durable, and a Put may be made conditional on absence or
// on an exact earlier version. Only the store's root is ever replaced; every
// other object is written once.
//
// # Outcomes
//
// A call ends in one of six outcomes ([OutcomeOf]). Two deserve care: unknown
// means that a write may have been applied or may still be, and precondition
// failed says nothing about earlier attempts of the same write.
//
// Implementations are in the packages below this one (disk, s3, mem), with
// decorators (fault, retry) and the suite that all of them pass (objstoretest).
// Stores may be used by any number of goroutines.
package objstore
