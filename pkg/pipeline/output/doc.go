// Package output makes the output of a job from those of its datums.
//
// # Datum table
//
// A table is a directory with an entry for each datum of an output: the
// datum's own output tree, under its identity, with its memo key. It says what
// an output consists of, and is compared by the same diff as any directory.
//
// # Merge
//
// [Merge] returns the output that follows from the previous one when datums
// change by a [Delta]. It costs what changed, and is always what a merge of all
// datums from scratch would be: withdrawn files go, and two datums that write
// one path are refused by name ([Clash]).
//
// Functions may be called concurrently.
package output
