// Package auth knows who asks and whether he may: principals, actions, and the
// one [Authorizer] that every edge (gRPC, S3) asks once per call.
//
// # Principal
//
// A [Principal] is established at the edge from a key and travels in the
// context ([With], [From]).
//
// # Key file
//
// A store's daemon makes an owner key on its first start, in a file that only
// its user may read. The same key opens gRPC (as a bearer token) and S3 (as an
// access key with its secret).
//
// Everything here may be used concurrently.
package auth
