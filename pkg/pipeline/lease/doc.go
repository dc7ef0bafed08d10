// Package lease is where tasks wait for workers elsewhere: in Pods of a
// cluster, or on other machines.
//
// # Board
//
// A [Board] holds the tasks that are offered, by [Pool]. A worker is admitted
// once somebody has established who it is, and is of one pool from then on. It
// takes leases on tasks, says from time to time that it lives, and reports what
// came of them. It knows nothing of Kubernetes or of a wire.
//
// # Lease
//
// A [Lease] is the right of one worker to report the result of one attempt.
// Its token is never used twice, so that a worker that was given up, and its
// lease with it, can't report over the one that followed: a report counts only
// while its lease stands. A worker names its leases whenever it says that it
// lives, and what it leaves out three times goes to another: the answer that
// gave it was lost on the way, or the worker began anew.
//
// Through a lease a worker reads exactly what its task is made of, the inputs
// and the code, and what it wrote itself; what it writes may name nothing else.
// A chunk's ID opens nothing. What it reports is made anew from its entries
// before it is believed.
//
// # Caveats
//
// Nothing here is durable, and nothing needs to be: a daemon that starts again
// knows no worker and no lease, so that all are admitted again and what ran is
// run again, unless its result had become durable.
//
// A Board may be used concurrently.
package lease
