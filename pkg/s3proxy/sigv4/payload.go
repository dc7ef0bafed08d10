package sigv4

import (
	"crypto/sha256"
	"encoding/hex"
)

// The payload modes that x-amz-content-sha256 may name in place of a hash.
const (
	// Unsigned says that the signature does not cover the body.
	Unsigned = "UNSIGNED-PAYLOAD"
	// StreamingUnsignedTrailer says that the body comes in chunks with an unsigned trailer.
	StreamingUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
	// StreamingSigned says that the body comes in chunks, each signed.
	StreamingSigned = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	// StreamingSignedTrailer says that the body comes in signed chunks with a signed trailer.
	StreamingSignedTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	// EmptyPayload is the SHA-256 of no bytes.
	EmptyPayload = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
)

// HashPayload returns the hex SHA-256 of a body, as x-amz-content-sha256 wants it.
func HashPayload(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

// IsHash tells whether a payload value is a hash and not a mode.
func IsHash(payload string) bool { return isLowerHex(payload, sha256.Size*2) }

func isPayload(v string) bool {
	switch v {
	case Unsigned, StreamingUnsignedTrailer, StreamingSigned, StreamingSignedTrailer:
		return true
	}
	return IsHash(v)
}

func isLowerHex(s string, n int) bool {
	if len(s) != n {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; !('0' <= c && c <= '9' || 'a' <= c && c <= 'f') {
			return false
		}
	}
	return true
}
