// Package s3 keeps objects in a bucket of an S3 service.
//
// # Layout
//
// The object of key packs/x/0 is the S3 object PREFIX/packs/x/0. A version is
// an ETag: dvx never writes the same bytes to its root twice, so a content hash
// serves. Every Put is one PUT request, with If-None-Match: * or If-Match for a
// condition, and with a SHA-256 that the service verifies before it keeps the
// object.
//
// # Outcomes
//
// The client never repeats a request by itself: after a repetition nobody could
// tell a lost condition from a lost acknowledgement. Wrap the store in
// pkg/objstore/retry. The answers mean:
//
//	412, and 404 to If-Match            ErrPrecondition
//	404                                 ErrNotFound; a missing bucket is a definite error
//	409 ConditionalRequestConflict      ErrThrottled: another write was under way, nothing changed
//	SlowDown, 429, no connection        ErrThrottled: nothing was done
//	5xx, timeout, reset, cancelled      ErrUnknownOutcome
//	401, 403                            fs.ErrPermission
//
// # Caveats
//
// A version read with a range is only as good as the service: some pair the
// bytes of one object with the ETag of the next while it is replaced. Whole
// reads of at most objstore.MutableSizeMax bytes are checked against that.
//
// Not every service that speaks S3 honours conditions: run pkg/objstore/probe
// on a new one. An object has at most 5 GiB. Only this package imports an S3
// client.
//
// A Store may be used by any number of goroutines.
package s3
