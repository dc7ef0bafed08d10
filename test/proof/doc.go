// Package proof holds the tests of what a store promises as a whole: that no
// crash, lost power, fault, concurrent writer or damaged object loses what was
// acknowledged, shows what never was, or returns a wrong byte.
//
// # Tiers
//
// Each test runs at a small size in go test. DVX_SEEDS=n (make seeds) scales it
// to the size of a change under review at 500, and make soak to that of a
// night. A failure prints its seed; DVX_SEED=n repeats that one alone.
//
// # Oracle
//
// The auditor (audit_test.go) reads a store with the decoders of the packages
// but none of the layers that cache, retry or heal, and holds every object that
// the root names against its digest and its neighbours.
package proof
