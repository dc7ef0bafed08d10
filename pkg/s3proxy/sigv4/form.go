package sigv4

import (
	"encoding/hex"
	"time"
)

// maxPolicyAge is how old the signature of a form may be, whatever its policy
// allows: as long as S3's signing keys are valid.
const maxPolicyAge = maxExpires

// ParseForm reads the claim of a browser's form, whose fields get returns by
// their names in lower case, "" if absent. It returns ErrAbsent if the form
// has no policy and no signature.
func ParseForm(get func(name string) string) (*Claim, error) {
	if get("policy") == "" && get("x-amz-signature") == "" && get("x-amz-credential") == "" {
		return nil, ErrAbsent
	}
	for _, name := range []string{"policy", "x-amz-algorithm", "x-amz-credential", "x-amz-date", "x-amz-signature"} {
		if get(name) == "" {
			return nil, failf(ErrMalformedForm, "%s is missing", name)
		}
	}
	if a := get("x-amz-algorithm"); a != Algorithm {
		return nil, failf(ErrMalformedForm, "algorithm %.40q", a)
	}
	at, err := time.Parse(TimeFormat, get("x-amz-date"))
	if err != nil {
		return nil, failf(ErrMalformedForm, "x-amz-date %.40q", get("x-amz-date"))
	}
	c := &Claim{
		At: at, Presigned: true, Expires: maxPolicyAge, Payload: Unsigned,
		Token: get("x-amz-security-token"), policy: get("policy"),
	}
	return c, c.fill(ErrMalformedForm, map[string]string{
		"Credential":    get("x-amz-credential"),
		"SignedHeaders": "host", // which a form does not name
		"Signature":     get("x-amz-signature"),
	})
}

// VerifyForm returns nil if the claim of a form has the signature that secret
// gives for its policy, and an error of kind ErrMismatch otherwise.
func (c *Claim) VerifyForm(secret string) error {
	return match(hex.EncodeToString(mac(c.Scope.key(secret), c.policy)), c.signature)
}
