// Package s3proxytest is the suite that every s3proxy.Backend passes.
//
// A backend's own test gives [Run] a function that makes a backend with one
// bucket of given objects; everything else is here. Keys are slash-separated
// paths whose components are legal file names on Linux, no key is a directory of
// another, so that a backend of files or trees can hold them.
package s3proxytest
