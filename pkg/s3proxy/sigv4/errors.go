package sigv4

import (
	"errors"
	"fmt"
)

// The kinds of refusal. Every error of Parse, ParseForm, CheckTime and
// Verify wraps exactly one of them.
var (
	// ErrAbsent says that the request carries no signature at all.
	ErrAbsent = errors.New("no signature")
	// ErrUnsupported says that the authorization type is not AWS4-HMAC-SHA256.
	ErrUnsupported = errors.New("unsupported authorization type")
	// ErrAmbiguous says that something is given twice, or in two forms.
	ErrAmbiguous = errors.New("ambiguous request")
	// ErrMalformedHeader says that the Authorization header cannot be understood.
	ErrMalformedHeader = errors.New("malformed authorization header")
	// ErrMalformedQuery says that the presigned query cannot be understood.
	ErrMalformedQuery = errors.New("malformed authorization query")
	// ErrMalformedForm says that the signature fields of a form cannot be understood.
	ErrMalformedForm = errors.New("malformed authorization form")
	// ErrDate says that a header-signed request has no usable date.
	ErrDate = errors.New("no valid date")
	// ErrUnsignedHeader says that a header that must be signed is not.
	ErrUnsignedHeader = errors.New("header is not signed")
	// ErrPayloadMissing says that a header-signed request has no x-amz-content-sha256.
	ErrPayloadMissing = errors.New("x-amz-content-sha256 is missing")
	// ErrPayload says that x-amz-content-sha256 is none of the known values.
	ErrPayload = errors.New("x-amz-content-sha256 is not valid")
	// ErrSkew says that a header-signed request is more than MaxSkew away from now.
	ErrSkew = errors.New("request time too skewed")
	// ErrNotYet says that a presigned request lies in the future.
	ErrNotYet = errors.New("presigned request is not valid yet")
	// ErrExpired says that a presigned request has expired.
	ErrExpired = errors.New("presigned request has expired")
	// ErrMismatch says that the signature is not the one that the secret gives.
	ErrMismatch = errors.New("signature does not match")
	// ErrChunk says that a chunked body is not well formed.
	ErrChunk = errors.New("malformed chunk")
	// ErrChunkSize says that a chunk that is not the last is too small.
	ErrChunkSize = errors.New("chunk is too small")
	// ErrIncomplete says that a body is shorter or longer than declared.
	ErrIncomplete = errors.New("incomplete body")
	// ErrTrailer says that the trailer of a chunked body is not the one announced.
	ErrTrailer = errors.New("malformed trailer")
	// ErrEncoding says that the path or query is not a valid percent encoding.
	ErrEncoding = errors.New("invalid percent encoding")
)

func failf(kind error, format string, args ...any) error {
	return fmt.Errorf("%w: %s", kind, fmt.Sprintf(format, args...))
}
