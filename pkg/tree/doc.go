// Package tree holds directories as immutable values: built, read (also as an
// io/fs.FS), compared, edited and merged by their hashes.
//
// # Root
//
// A [Root] names a directory and everything below it. It carries two digests:
// the storage [ID], which covers every byte, and the [ContentID], which covers
// only what user code can see. It also carries the totals below it.
//
// # Node
//
// A directory is a search tree of nodes, each a chunk of some tens of KiB.
// Where a node ends depends on the hash of its last key and never on history,
// so one set of entries has one tree. Entries are sorted by key; a directory's
// key is its name and "/", so that a walk yields the order of S3. FORMAT.md
// describes the bytes.
//
// # Change
//
// [Diff] yields the changes between two roots, [Apply] makes them, [Merge]
// joins two sets of them, [Union] joins the outputs of many. All skip whatever
// has equal digests: cost follows the change.
//
// # Trust
//
// Content IDs and totals are computed when a node is written. What others
// wrote is checked by [CheckNode] as it arrives and by [Verify] or
// [VerifyChange] as a whole; every read holds a node's totals and keys against
// what led to it.
//
// Values are immutable and may be shared by goroutines.
package tree
