package s3proxy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/dvx-io/dvx/pkg/s3proxy/sigv2"
	"github.com/dvx-io/dvx/pkg/s3proxy/sigv4"
)

// caller is who makes a request, after the gate has let it in.
type caller struct {
	principal any
	// anonymous tells whether the request carries no signature.
	anonymous bool
	// payload is the hash or mode of the body that the signature covers.
	payload string
	// chain verifies the chunks of a signed stream.
	chain *sigv4.Chain
}

// claim is what both versions of the signature have to prove.
type claim struct {
	id, token, payload string
	checkTime          func(now time.Time) error
	verify             func(secret string) error
	chain              func(secret string) *sigv4.Chain // nil if there can be none
}

// gate is the one way in: it returns the caller, or an error and no caller.
type gate struct {
	lookup    KeyLookup
	now       func() time.Time
	region    string // the only region accepted, or ""
	allowV2   bool
	anonymous *Credential // what an unsigned request stands for, or nil
}

func (g *gate) admit(ctx context.Context, r *sigv4.Request, hostBucket string) (caller, error) {
	c, err := g.parse(r, hostBucket)
	return g.check(ctx, c, err)
}

// admitForm is admit for a browser's form, which is signed in its fields.
func (g *gate) admitForm(ctx context.Context, f *form) (caller, error) {
	v4, err := sigv4.ParseForm(f.get)
	if err != nil {
		return g.check(ctx, claim{}, err)
	}
	c, err := g.claimOf(v4, codeInvalidArgument)
	c.verify = v4.VerifyForm
	return g.check(ctx, c, err)
}

// check returns the caller whose claim holds; err says why there is no claim.
func (g *gate) check(ctx context.Context, c claim, err error) (caller, error) {
	if errors.Is(err, sigv4.ErrAbsent) && g.anonymous != nil {
		return caller{principal: g.anonymous.Principal, anonymous: true, payload: sigv4.Unsigned}, nil
	}
	if err != nil {
		return caller{}, err
	}
	if c.token != "" {
		return caller{}, fail(codeInvalidToken)
	}
	if err := c.checkTime(g.now()); err != nil {
		return caller{}, err
	}
	cred, err := g.lookup(ctx, c.id)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return caller{}, fail(codeInvalidAccessKey)
	case err != nil:
		// Not passed on as it is: whatever kind it has, it is not the client's.
		return caller{}, fmt.Errorf("look up access key: %v", err)
	case cred.Secret == "":
		return caller{}, errors.New("look up access key: the secret is empty")
	}
	if err := c.verify(cred.Secret); err != nil {
		return caller{}, err
	}
	who := caller{principal: cred.Principal, payload: c.payload}
	if c.chain != nil {
		who.chain = c.chain(cred.Secret)
	}
	return who, nil
}

func (g *gate) parse(r *sigv4.Request, hostBucket string) (claim, error) {
	if !sigv2.Present(r.Query) {
		return g.parseV4(r)
	}
	if sigv4.Present(r) {
		return claim{}, fmt.Errorf("%w: signed by version 2 and in another form", sigv4.ErrAmbiguous)
	}
	if !g.allowV2 {
		return claim{}, fmt.Errorf("%w: signature version 2 is switched off", sigv4.ErrUnsupported)
	}
	v2, err := sigv2.Parse(r)
	if err != nil {
		return claim{}, err
	}
	return claim{
		id:        v2.ID,
		payload:   sigv4.Unsigned,
		checkTime: v2.CheckTime,
		verify:    func(secret string) error { return v2.Verify(r, secret, hostBucket) },
	}, nil
}

func (g *gate) parseV4(r *sigv4.Request) (claim, error) {
	v4, err := sigv4.Parse(r)
	if err != nil {
		return claim{}, err
	}
	code := codeBadHeader
	if v4.Presigned {
		code = codeBadQuery
	}
	c, err := g.claimOf(v4, code)
	c.verify = func(secret string) error { return v4.Verify(r, secret) }
	c.chain = v4.Chain
	return c, err
}

// claimOf returns a claim of version 4, yet without the way to verify it; wrong
// is the code for one that was made for another region.
func (g *gate) claimOf(v4 *sigv4.Claim, wrong code) (claim, error) {
	if g.region != "" && v4.Scope.Region != g.region {
		f := failf(wrong, "The authorization is malformed; the region '%s' is wrong; expecting '%s'", v4.Scope.Region, g.region)
		f.fields = []field{{"Region", g.region}}
		return claim{}, f
	}
	return claim{id: v4.ID, token: v4.Token, payload: v4.Payload, checkTime: v4.CheckTime}, nil
}
