// Package sigv4 signs and verifies S3 requests with AWS Signature Version 4,
// and knows nothing of HTTP servers, buckets or stores.
//
// # Request
//
// A [Request] is what a signature covers: method, host, path, query and
// headers. Path and query are decoded exactly once, by [FromHTTP] and
// [ParseQuery]; the canonical form that is hashed is a function of the decoded
// values, so whoever acts on a Request acts on what was signed.
//
// # Claim
//
// [Parse] reads a [Claim] from a request: who says he signed it, when, and over
// which headers. A Claim proves nothing until [Claim.CheckTime] and
// [Claim.Verify] have both returned nil. Parse refuses what a careful verifier
// must not guess about: duplicates, two forms at once, unsigned x-amz- headers,
// an unknown payload mode.
//
// # Signer
//
// A [Signer] signs by Authorization header or by query (a presigned URL).
//
// All functions are pure and may be called by any number of goroutines.
package sigv4
