// Package chunktest is the suite that every chunk.Store passes.
//
// # Suite
//
// [Run] holds a store to the contract of [chunk.Store]: what was put is read
// back at once, verified and owned by the caller, equal bytes are one chunk,
// kinds are apart, limits hold, and all of it from many goroutines.
package chunktest
