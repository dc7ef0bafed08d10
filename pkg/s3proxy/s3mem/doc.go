// Package s3mem is an S3 backend in memory: the twin that tests and small tools
// use in place of a real one.
//
// A [Store] holds the current version of each object. Objects are immutable
// values: one that is open stays as it was when it is replaced or deleted.
//
// A Store may be used by any number of goroutines.
package s3mem
