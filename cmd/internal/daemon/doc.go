// Package daemon wires a daemon: a store, its engine with the local runner,
// the gRPC edge and the S3 edge. Both binaries start it.
package daemon
