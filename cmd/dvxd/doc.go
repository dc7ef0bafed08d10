// Command dvxd is the daemon: it serves a store over gRPC and S3 and runs its
// pipelines.
package main
