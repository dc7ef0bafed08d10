// Command dvx versions data directories and shows the pipelines that run on
// them. It works on a store directly, or through a daemon with --server. Each
// verb is a file cmd_VERB.go; exit.go lists the exit codes.
package main
