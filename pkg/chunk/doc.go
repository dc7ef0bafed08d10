// Package chunk cuts byte streams into chunks, names them by content, and
// defines the narrow store that everything above keeps its values in.
//
// # Chunk
//
// A chunk is a byte string of at most [SizeMax] bytes with a [Kind]. Its [ID]
// is the BLAKE3 hash of both. Equal bytes of one kind are one chunk, whoever
// stores them.
//
// # Splitter
//
// A [Splitter] finds content-defined boundaries, so that an edit changes only
// the chunks around it. Algorithm and parameters ([Params]) belong to the
// store: equal bytes have equal chunks everywhere in it.
//
// # Content
//
// A file's bytes are named by a [Content]: nothing for an empty file, one
// chunk, or a list-tree over many. FORMAT.md describes the lists.
//
// # Store
//
// A [Store] keeps chunks; [Mem] is one in memory, pack.Session the durable
// one. Every Get verifies what it returns. Stores may be used concurrently.
package chunk
