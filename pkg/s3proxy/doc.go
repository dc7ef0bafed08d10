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
// pinned: headers and every byte of one response come from one version. What it
// may do besides is in [Writer], [Uploader], [Versioner] and [Settings];
// requests for what a backend does not do are refused.
// [Paginate] turns an ordered walk over keys into list pages with prefix,
// delimiter and start-after, so that no backend has to do it again. Package
// s3mem is a backend in memory, package s3proxytest the suite that all
// backends pass.
//
// # Content
//
// The body of a write reaches the backend as a [Content]: a stream whose end is
// io.EOF only if length, hash or chunk signatures, Content-MD5 and checksum all
// hold. A backend that publishes nothing before io.EOF can store nothing that a
// client did not send.
//
// # Operations
//
// operations.go holds the one table of operations, with the right that each
// needs; [Operations] shows it to tests of who may do what.
//
// # Errors
//
// errors.go holds the one table from error kinds to S3 codes. What is not in
// it becomes InternalError: logged with detail, shown without.
//
// # Caveats
//
// Access control lists, storage classes and locks are not kept: what would
// promise something to a client is refused, what would not is accepted. Versions
// cannot be suspended. A request for several ranges gets the whole object, as
// from S3. Any region is accepted in a signature unless Options.Region is set.
//
// A [Handler] may be used by any number of goroutines.
package s3proxy
