// Package rpc is the gRPC edge, both ends of it.
//
// # Server
//
// A [Server] serves a repo.Store and the jobs of an engine. Every call carries
// a principal, established from the bearer token, and asks the one Authorizer
// before anything is read or written.
//
// # Scope
//
// Chunks move only inside a scope that was opened on a commit or a branch.
// Within it a chunk can be read only if something that was read or written
// before in the scope names it, and a chunk that is written may name only such
// chunks. So neither knowing nor guessing an ID gives access to anything.
//
// # Client
//
// A [Client] is a repo.Store over a connection: what is written above that
// interface runs through a daemon as it runs on a store.
//
// # Errors
//
// Kinds of error cross the wire by name (status.go holds the one table), so
// errors.Is holds on the client for what the server met. Whatever has no kind
// is logged by the server and shown as "internal".
//
// Clients and servers may be used concurrently.
package rpc
