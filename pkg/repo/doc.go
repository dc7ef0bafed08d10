// Package repo holds the store's root, the one mutable thing of dvx, and what
// it names: repos, branches, tags, and the segments where chunks are found.
//
// # Root
//
// The root is one small object, replaced by compare-and-swap only. Everything
// it names is immutable: a reader takes one root and resolves everything from
// it. FORMAT.md describes it, with dvx.json.
//
// # Txn
//
// A [Txn] is a set of [Op]s applied together: a pure function from root to
// root, retried on a lost swap, recognised by its operation ID when it is
// repeated. It ends applied, refused, or unknown, and unknown is never
// reported as refused.
//
// # Session
//
// New chunks are written in a [Session]; they exist for others once a
// transaction of the session has moved the root. A writer deletes nothing.
//
// # Store
//
// [Store] is the seam: [Direct] holds the protocol, a client of the daemon
// implements the same interface, and all else is written once above it:
// [Resolve] for ref expressions, [Commit] and [PutFile] for writing, [Open],
// [GetFile], [Log] and [Diff] for reading.
//
// # Writer
//
// A [Writer] adds to the open commits of branches: writes that are durable and
// visible to every reader one by one ([Look]), and become a version together
// when the branch is sealed. Writes that come while a swap is under way share
// the next.
//
// # Outcomes and the past
//
// [Settle] says for good how an operation ended. Copies of past roots are kept:
// [Reflog] reads from them where a branch was, and [Undo] takes a move back.
//
// # Direct
//
// To publish, a Direct uploads packs and index segments, checks that all that
// the moved refs reach is stored and sound, writes a copy of the next root
// under roots/, and swaps root by its version. A swap whose answer is lost is
// settled by reading root: it holds the last 256 operations and the hash of
// its predecessor, whose bytes never come back. Writers delete nothing but
// their own session object.
//
// Stores may be used concurrently, by any number of processes.
package repo
