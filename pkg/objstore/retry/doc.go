// Package retry wraps a store so that passing failures are waited out.
//
// # What is repeated
//
// Throttled calls, which changed nothing, always. Calls of unknown outcome only
// where a repetition is harmless: reads, deletes, and Puts without a condition
// or with IfAbsent. A repeated IfAbsent that finds the key taken compares bytes:
// if they are equal, an earlier attempt (or a twin) put them there and the Put
// succeeded. A Put with IfVersion of unknown outcome is returned as such: only
// who knows what the object means can find out. Definite failures are returned
// at once.
//
// A body that breaks off is continued where it stopped, as long as the object
// is the same.
//
// # Waiting
//
// Full jitter: each wait is a random part of a ceiling that doubles from
// [Options.WaitMin] to [Options.WaitMax]. A call gives up when the next wait
// would end after [Options.Deadline], and returns the last error with its kind.
//
// A Store may be used by any number of goroutines.
package retry
