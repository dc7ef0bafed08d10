// Package limit keeps the requests to a service within rates that a user set:
// bytes sent and received per second, and requests per second.
//
// A [Limiter] is a set of token buckets, shared by everything that it wraps
// ([Limiter.Transport]). Bytes are counted on their way, as bodies are read and
// written, so repeated and partial requests count as they are. Each bucket
// holds what flows in a tenth of a second, or one token: beyond that a pause is
// not made good by a burst.
//
// A Limiter may be used by any number of goroutines.
package limit
