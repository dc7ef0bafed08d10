// Package objstoretest is the conformance suite of objstore.Store: every
// promise of the contract as a test.
//
// An implementation's own test calls [Run] with a function that makes an empty
// store. Nothing in here knows any implementation.
package objstoretest
