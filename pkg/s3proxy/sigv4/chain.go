package sigv4

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"hash"
)

const (
	chunkAlgorithm   = Algorithm + "-PAYLOAD"
	trailerAlgorithm = Algorithm + "-TRAILER"
)

// Chain holds what the signatures of a chunked body build on: each covers the
// one before it, the first that of the request. It is used by one goroutine,
// and for one body.
type Chain struct {
	key         []byte
	time, scope string
	last        string
}

// Chain returns the chain that begins with c's signature under secret. c must
// have been verified with the same secret.
func (c *Claim) Chain(secret string) *Chain {
	return &Chain{
		key:   c.Scope.key(secret),
		time:  c.At.UTC().Format(TimeFormat),
		scope: c.Scope.String(),
		last:  c.signature,
	}
}

// next returns the chain's next signature, over a hash of what it covers.
func (c *Chain) next(algorithm, emptyHash string, covered hash.Hash) string {
	text := algorithm + "\n" + c.time + "\n" + c.scope + "\n" + c.last + "\n"
	if emptyHash != "" {
		text += emptyHash + "\n"
	}
	c.last = hex.EncodeToString(mac(c.key, text+hex.EncodeToString(covered.Sum(nil))))
	return c.last
}

// checkChunk tells whether signature is that of the next chunk.
func (c *Chain) checkChunk(covered hash.Hash, signature string) error {
	return match(c.next(chunkAlgorithm, EmptyPayload, covered), signature)
}

// checkTrailer tells whether signature is that of the trailer, written as
// canonical lines.
func (c *Chain) checkTrailer(lines, signature string) error {
	h := sha256.New()
	h.Write([]byte(lines))
	return match(c.next(trailerAlgorithm, "", h), signature)
}

func match(want, got string) error {
	if subtle.ConstantTimeCompare([]byte(want), []byte(got)) != 1 {
		return ErrMismatch
	}
	return nil
}
