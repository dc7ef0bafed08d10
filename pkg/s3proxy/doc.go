// Package s3proxy speaks the S3 protocol over net/http for whatever
// implements its [Backend]; it knows nothing of what lies behind.
//
// # Request
//
// A request passes one gate before anything else looks at it: path and query
// are decoded once, the signature is verified (see packages sigv4 and sigv2),
// and only then is the operation chosen, authorised and run. There is no other
// way in.
//
// # Backend
//
// A [Backend] lists buckets, lists keys and opens objects. What it opens is
// pinned: headers and every byte of one response come from one version.
// [Paginate] turns an ordered walk over keys into list pages with prefix,
// delimiter and start-after, so that no backend has to do it again. Package
// s3mem is a backend in memory, package s3proxytest the suite that all
// backends pass.
//
// # Errors
//
// errors.go holds the one table from error kinds to S3 codes. What is not in
// it becomes InternalError: logged with detail, shown without.
//
// # Caveats
//
// Writes are refused: on objects as MethodNotAllowed, on buckets as
// NotImplemented. A request for several ranges gets the whole object, as from
// S3. Any region is accepted in a signature unless Options.Region is set.
//
// A [Handler] may be used by any number of goroutines.
package s3proxy
