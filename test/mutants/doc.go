// Command mutants builds dvx with one rule of the protocol switched off at a time, and
// checks that the tests notice within five minutes. A mutant that survives is a
// hole in the tests.
//
// The rules are switched off in copies of the source files, which the build is
// given in their place (go build -overlay): what is shipped knows nothing of
// it. A mutant whose source has changed fails, so the table in mutants.go
// cannot rot.
//
//	go run ./test/mutants          # all
//	go run ./test/mutants -run floor
package main
