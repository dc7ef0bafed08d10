// Package mem keeps objects in memory: the twin of the real stores for tests,
// demonstrations and simulations.
//
// Nothing survives the process. All methods may be called concurrently; bytes
// are copied in by Put and never changed afterwards.
package mem
