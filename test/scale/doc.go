// Package scale holds stores of a size that go test has no time for: millions
// of files, tens of millions of chunks. It is run by make scale and measures
// processes from outside: their time, their largest resident set and, through
// a store that counts, what they read.
package scale
