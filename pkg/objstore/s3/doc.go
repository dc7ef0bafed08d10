// Package s3 keeps objects in a bucket of an S3 service.
//
// # Layout
//
// The object of key packs/x/0 is the S3 object PREFIX/packs/x/0. A version is
// an ETag: dvx never writes the same bytes to its root twice, so a content hash
// serves. A Put is one PUT request, with If-None-Match: * or If-Match for a
// condition. A body of more than two parts ([Options.PartBytes]) is sent in
// parts; the condition then goes with the last step, by which the object
// appears. What fails before that leaves no object and no parts; after an
// unknown outcome the parts stay, so buckets should have a lifecycle rule that
// removes incomplete uploads, after two days say.
//
// # Checksums
//
// Each request with a body carries the body's SHA-256 for the service to verify
// before it keeps anything: in its signature, and as x-amz-checksum-sha256. A
// service that does not return the checksum, or refuses the header, does not
// know it: it is sent a Content-MD5 from then on. The probe sends a damaged body
// ([Store.PutDamaged]) to see that the service does refuse it.
//
// # Credentials
//
// Those of the Options, else the first found: AWS_ACCESS_KEY_ID and its
// companions; the profile (AWS_PROFILE, or "default") of ~/.aws/credentials and
// ~/.aws/config, or of the files that AWS_SHARED_CREDENTIALS_FILE and
// AWS_CONFIG_FILE name, also by credential_process and SSO; the role of the
// machine, task or pod. The machine is asked only at Amazon's endpoints, and not
// if AWS_EC2_METADATA_DISABLED is true.
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
//	5xx, timeout, reset, cancelled,     ErrUnknownOutcome
//	failure in the body of a 200
//	the same before the last of parts   ErrThrottled: there is no object
//	401, 403                            fs.ErrPermission
//
// # Caveats
//
// A version read with a range is only as good as the service: some pair the
// bytes of one object with the ETag of the next while it is replaced. Whole
// reads of at most objstore.MutableSizeMax bytes are checked against that.
//
// Not every service that speaks S3 honours conditions: run pkg/objstore/probe
// on a new one. Only this package imports an S3 client.
//
// A Store may be used by any number of goroutines.
package s3
