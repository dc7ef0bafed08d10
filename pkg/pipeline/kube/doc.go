// Package kube runs tasks in Pods of a Kubernetes cluster.
//
// # Runner
//
// A [Runner] keeps warm worker Pods, one pool of them for each combination of
// pipeline, image digest and resources, because a Pod takes seconds to start
// and a datum milliseconds to run. A pool grows with its queue up to a maximum,
// and its Pods go when they have had nothing to do for a while. The tasks wait
// on a board of leases (package lease), from which the workers take them.
//
// # Pod
//
// [BuildPod] makes a Pod out of values and nothing else. An init container
// copies the dvxd binary, which is static, into a volume. The agent container
// holds what proves who it is, and talks to the daemon; the user's container
// has the pipeline's image, a user ID of its own, and neither a token nor a
// network address that would take anything from it. Its first process is the
// stub, which runs the programs. A Pod satisfies the "restricted" profile of
// Pod Security.
//
// # Image
//
// A reference is resolved to a digest before the memo key is made ([Images]):
// what runs is what the key says, also when the tag has moved since.
//
// # Trouble
//
// [Diagnose] says in words what keeps a Pod from running, or ended it. What
// can't be mended by waiting ends the tasks that wait.
//
// # Election
//
// Of several daemons of a store one runs its pipelines: an [Election] by a Lease
// decides which, for liveness. That only one publishes is the store's to see to,
// by its term.
//
// # Caveats
//
// The daemon finds its Pods by their labels and asks for them rather than watch
// them: one request a second while there is work.
//
// This package alone imports Kubernetes' modules, and of those only what a few
// requests need.
package kube
