// Package access keeps a store's policy, who may do what and with which keys,
// in the store itself, and answers every edge from it.
//
// The policy is one file ([auth.AccessFile]) of the repo [auth.AccessRepo], a
// versioned file like any other: who granted what when is its history, an
// older version can be brought back, replicas of a daemon on one store share
// it, and collection and checks know it already. Only the owner, and whoever
// administers all repos, may read or change it.
//
// A [Ring] follows the policy: it sees a change as soon as its store's Watch
// does, within 1 s on a bucket and at once on a folder, so a revoked key is
// refused within that time everywhere. [Change] and the functions above it
// change the policy by a commit that expects the version it was made from, so
// no change is lost to another.
//
// Secrets are sealed with the owner's key ([auth.Sealer]): whoever can read
// the store learns no secret, and a daemon must hold the owner's key file.
package access
