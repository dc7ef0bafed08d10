package sigv4

import "time"

const (
	// MaxSkew is how far a header-signed request may be from the server's clock.
	MaxSkew = 15 * time.Minute
	// maxAhead is how far ahead of the server's clock a presigned request may
	// have been made. It allows for clocks that are not quite in step; a URL
	// that somebody dated for later use lies further ahead.
	maxAhead = 30 * time.Second
)

// CheckTime returns nil if the claim is valid at now; otherwise an error of
// kind ErrSkew, ErrNotYet or ErrExpired.
func (c *Claim) CheckTime(now time.Time) error {
	age := now.Sub(c.At)
	switch {
	case !c.Presigned && (age > MaxSkew || age < -MaxSkew):
		return failf(ErrSkew, "signed at %s, received at %s", c.At.Format(TimeFormat), now.UTC().Format(TimeFormat))
	case c.Presigned && age < -maxAhead:
		return failf(ErrNotYet, "valid from %s", c.At.Format(TimeFormat))
	case c.Presigned && age > c.Expires:
		return failf(ErrExpired, "valid until %s", c.At.Add(c.Expires).Format(TimeFormat))
	}
	return nil
}

// Verify returns nil if the claim's signature is the one that secret gives
// for r, and an error of kind ErrMismatch otherwise. The comparison takes the
// same time wherever the signatures differ.
func (c *Claim) Verify(r *Request, secret string) error {
	cover := covered{at: c.At, scope: c.Scope, headers: c.SignedHeaders, payload: c.Payload}
	if c.Presigned {
		cover.skip = "X-Amz-Signature"
	}
	return match(cover.signature(r, secret), c.signature)
}
