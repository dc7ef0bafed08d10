// Package commit holds commits as values, and the graph they form.
//
// # Commit
//
// A [Commit] is one version of a repo: its tree, its parents, who made it and
// why, and for the output of a pipeline the whole provenance. Its [ID] is the
// hash of its canonical JSON, described in FORMAT.md; one value has one byte
// string.
//
// # Graph
//
// [Log], [MergeBase] and [IsAncestor] walk commits through a chunk.Reader. A
// commit is always newer than its parents ([CheckParents]), so walks stop by
// time. [Steps] follows the history of a path or prefix alone, by the index of
// changes that [Index] gives a commit.
//
// Commits are immutable values and may be shared by goroutines.
package commit
