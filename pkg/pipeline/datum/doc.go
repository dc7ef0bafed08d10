// Package datum says what the datums of a pipeline are: which parts of its
// inputs single runs of its program see, and what the memo key of a run covers.
//
// # Datum
//
// A [Datum] has an identity, which says what a result of it replaces, and for
// each input that it sees the selected files and directories. [List] yields
// the datums of an input, [Changes] how they differ between two versions of
// what it reads, at a cost that follows the differences.
//
// # Work
//
// [Work] describes the run of a spec on a datum completely; its hash is the
// memo key.
//
// Everything here is a pure function of values and of the chunks that a
// chunk.Reader gives, and safe for concurrent use.
package datum
