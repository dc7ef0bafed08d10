// Package s3repo shows the repos of a store as S3 buckets: a s3proxy.Backend
// over a repo.Store, for reading ([Backend]) or also for writing ([Writing]).
//
// # Bucket
//
// Bucket REPO holds every ref of a repo, as the first components of its keys:
// main/2026/a.png, v1.2/2026/a.png, feature/x/2026/a.png. The longest name that
// matches counts, a branch before a tag before a commit (its ID, or the first 6
// hex digits of it or more). What a ref expression may add to a name works here
// too: main~3/2026/a.png, main{2026-11-20T09:00Z}/2026/a.png. Branches and tags
// are listed; commits and expressions are read by those who know them.
//
// Bucket REF.REPO holds one ref with plain keys, for tools that want a whole
// bucket: main.images, v1.2.images. Repo names have no dots, so the last one
// splits. It exists for every ref that can be spelt in a bucket's name.
// [Backend.ListBuckets] lists the buckets REPO, and those of branches other than
// main; what was made as main.REPO is listed by that name instead.
//
// # Key
//
// Files and symbolic links are objects; a link's content is its target's text,
// and the header x-amz-meta-dvx-symlink says so. A directory is an object, dir/,
// if somebody wrote that key or if it is empty. A name that no path can hold
// (an empty component, "." or "..") is a key that is not there. One list with
// delimiter "/" shows what a bucket REPO has: also the branches that are empty.
//
// # Version
//
// A request takes one view and opens each commit that it needs once, so that a
// branch which moves never tears what is read. ETag and Last-Modified belong to
// a file's content and stay when other files change.
//
// # Writes
//
// A [Writing] takes writes, into the open commits of branches: what it has
// acknowledged is durable and seen by every reader, and becomes a version when
// the branch is sealed. A write that would take away something that is not
// sealed yet seals first, so that every acknowledged content stays a version;
// a change of metadata alone does not. Tags, commits and expressions are not
// written.
//
// A version that is removed by its ID is not shown on its branch any more, and
// what it had replaced comes back: an older version, with its ID and its time, or
// nothing. So does what a delete marker hides, when that is removed. The commits
// keep what they have, and show it to whoever names them: a record in the repo
// dvx-s3 says what is not shown. Removals of one key may run beside each other, and
// be repeated. What the branch holds is always shown: also a version that was
// removed and has come back with a reset, a merge, or a branch made anew, until it
// is written over.
//
// An upload in parts has a branch of its own in the repo dvx-s3, which is no
// bucket: it survives restarts and is the same for all replicas. Its parts are
// cut as they come, and joined by cutting anew only where they meet.
//
// However many bodies come at once, three long ones are in memory, and of every
// other at most 64 KiB: what finds no turn goes to a file first.
//
// The version ID of an object is the operation ID of the write, which its
// directory has; a commit's ID works too. A delete marker is named by the version
// that it hides. Listing versions follows the writes below the prefix, by the
// index that commits have of their changes (commit.Index), and of the directories
// reads what differs.
//
// # Errors
//
// A chunk or an object that is missing from the store is not a key that is
// missing from a bucket: such errors come out without a kind, as the failures
// of the server that they are.
//
// A [Backend] may be used by any number of goroutines.
package s3repo
