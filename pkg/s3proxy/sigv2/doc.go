// Package sigv2 verifies presigned URLs of AWS Signature Version 2: the form
// that several clients still write by default.
//
// Only the query form is here, and only for GET and HEAD. Version 2 does not
// cover most of the query, so [Parse] refuses a request with any parameter that
// the signature would leave open to change. It never covers the host either:
// the caller passes the bucket that a virtual host names to [Claim.Verify].
//
// All functions are pure and may be called by any number of goroutines. Errors
// are of the kinds that package sigv4 names.
package sigv2
