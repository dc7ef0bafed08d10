// Package worktree is the working copy: a local directory bound to a repo and
// branch by a .dvx folder.
//
// # Scan
//
// [Status] compares a directory on disk with one in a store, [Edits] also
// stores what differs and returns the edits that make the one from the other.
// Both walk in the order of S3 keys, leave out what [Ignore] rules match, and
// read a file only where the [Index] does not vouch for it.
//
// # Index
//
// The [Index] remembers which content a file had when it looked as it looks
// now. It says what a file holds and never that a store has it. A file that
// changed so recently that a further change might not show is not remembered.
//
// # Checkout
//
// [Checkout] writes a directory of a store to disk, [Update] turns one that
// was checked out into another. What the disk can't hold is named before the
// first file is written, and nothing is written outside of the directory,
// whatever the store or another process puts in the way.
//
// # Config
//
// The [Config] binds the directory to a store, repo, branch and commit. Nothing
// in it, nor in anything checked out, is ever executed.
//
// FORMAT.md describes the files in .dvx. Functions may run concurrently on
// different directories; who changes one directory holds its [Lock].
package worktree
