// Package gc frees what no version needs any more, and checks and repairs what
// versions need: collection, fsck, rebuild of the index, healing, recovery of a
// lost root, purge.
//
// # Collection
//
// [Collect] is one more optimistic transaction on the store's root and runs
// beside writers without a lock. It marks what is live, and in one swap of the
// root takes the packs without live chunks out of the index and raises the
// floor below which no session may publish. Only after that swap does it list
// what else lies below the floor and in no index. Whatever it deletes can
// therefore never be named by a later root: not by a session that reuses it
// (it is in no index), nor by one that wrote it (it began below the floor).
// Leases and clocks decide only how soon garbage goes, never whether live data
// stays.
//
// # Mark
//
// Live is what the branches, tags, specs, pins and memo segments of the root
// reach, and, if it is still there, what the root copies within
// [Options.KeepRoots], the logs of the history, and the packs of sessions at
// or above the floor reach. An index entry implies that all below it is
// indexed too, for writers build on that; so a metadata pack with a dead chunk
// is always rewritten without it.
//
// The mark set is one bit for each entry of the index, numbered by
// [pack.Inventory]: 12 MiB for 100 million chunks. Nodes that were seen are
// not read again. Several goroutines read metadata; of data only the index is
// looked at. When a swap is lost, only what the new root added is marked.
//
// # Retention
//
// A branch may say which of its versions keep their files (repo.Retention); of
// the others only the commit is marked. The swap that takes their directories
// out of the index puts, for each, a chunk of kind gone in: readers and [Check]
// tell by it that a version has expired. What has a name, what branches
// without a retention reach, the inputs of newest outputs, and whatever was
// replaced within the grace stay whole; if a name is given to a version while
// it expires, it is marked after all.
//
// # Graveyard
//
// What a collection takes out of the index stays for [Options.Grace], for the
// sake of readers that hold an older root. The root names lists of such objects
// (FORMAT.md); a later collection deletes them and drops the lists, and may be
// interrupted and repeated at any point. The copy of a root stays for the grace
// too, from when the root was replaced: who copies a store beginning with its
// root gets all that belongs to it.
//
// Times are those that the store stamps objects with, so collectors may have
// clocks that differ. What is assumed: that the store's clock does not jump
// ahead by the grace, and that no collection is suspended for as long between
// writing a list and its swap.
//
// # Check and repair
//
// [Check] reads and judges, at three depths, and changes nothing. Repairs
// write new objects and new refs and never delete.
//
// All functions may run in any number of processes at once.
package gc
