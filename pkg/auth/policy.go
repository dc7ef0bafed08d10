package auth

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"
)

// PolicyFormat is the version of the document that this release reads and
// writes.
const PolicyFormat = 1

// Limits of a policy; decoder and writers hold them.
const (
	PolicySizeMax    = 4 << 20 // bytes
	PrincipalsMax    = 4096
	KeysMax          = 16384
	GrantsMax        = 64 // of one principal or key
	principalNameMax = 64 // bytes
)

// Policy says who may do what, and which keys there are. It is a value:
// whoever changes one first makes a [Policy.Clone].
type Policy struct {
	Format     int                `json:"format"` // PolicyFormat
	Principals map[string][]Grant `json:"principals"`
	Keys       []SealedKey        `json:"keys"` // by Access
}

// SealedKey is a key whose secret only holders of the owner's key can read.
type SealedKey struct {
	Access    string    `json:"access"`
	Sealed    []byte    `json:"sealed"` // the secret, see [Sealer]
	Principal string    `json:"principal"`
	Scope     []Grant   `json:"scope,omitempty"` // narrows what the principal may; empty: all that
	Created   time.Time `json:"created"`
	Expires   time.Time `json:"expires,omitzero"`
}

// Expired reports whether the key is no longer to be accepted.
func (k SealedKey) Expired(now time.Time) bool { return !k.Expires.IsZero() && !now.Before(k.Expires) }

// Clone returns a copy that shares nothing that is changed by adding or
// removing principals and keys.
func (p Policy) Clone() Policy {
	p.Format = PolicyFormat
	p.Principals = maps.Clone(p.Principals)
	if p.Principals == nil {
		p.Principals = map[string][]Grant{}
	}
	p.Keys = slices.Clone(p.Keys)
	return p
}

// Key returns the key with the given public part.
func (p Policy) Key(access string) (SealedKey, bool) {
	i, ok := slices.BinarySearchFunc(p.Keys, access, func(k SealedKey, a string) int { return strings.Compare(k.Access, a) })
	if !ok {
		return SealedKey{}, false
	}
	return p.Keys[i], true
}

// CheckPrincipalName reports whether name can be given grants and keys: 1 to 64
// of [A-Za-z0-9._@-], and not that of the owner, who has all rights.
// fs.ErrInvalid if not.
func CheckPrincipalName(name string) error {
	if name == "" || len(name) > principalNameMax {
		return fmt.Errorf("principal %.80q: want 1 to %d characters: %w", name, principalNameMax, fs.ErrInvalid)
	}
	if name == Owner.Name {
		return fmt.Errorf("principal %q has all rights already; choose another name: %w", name, fs.ErrInvalid)
	}
	for _, c := range name {
		if !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@-", c) {
			return fmt.Errorf("principal %q: want letters, digits and . _ @ -: %w", name, fs.ErrInvalid)
		}
	}
	return nil
}

// Check reports whether the policy holds its limits, fs.ErrInvalid if not.
func (p Policy) Check() error {
	if p.Format != PolicyFormat {
		return fmt.Errorf("access policy has format %d, this release knows %d; use a newer one: %w", p.Format, PolicyFormat, fs.ErrInvalid)
	}
	if len(p.Principals) > PrincipalsMax || len(p.Keys) > KeysMax {
		return fmt.Errorf("access policy: more than %d principals or %d keys: %w", PrincipalsMax, KeysMax, fs.ErrInvalid)
	}
	for name, grants := range p.Principals {
		if err := CheckPrincipalName(name); err != nil {
			return err
		}
		if err := checkGrants(name, grants); err != nil {
			return err
		}
	}
	for i, k := range p.Keys {
		if i > 0 && p.Keys[i-1].Access >= k.Access {
			return fmt.Errorf("access policy: key %q is out of order: %w", k.Access, fs.ErrInvalid)
		}
		if len(k.Access) != accessSize || len(k.Sealed) == 0 || len(k.Sealed) > 256 {
			return fmt.Errorf("access policy: key %.40q is incomplete: %w", k.Access, fs.ErrInvalid)
		}
		if err := CheckPrincipalName(k.Principal); err != nil || k.Principal == Anonymous.Name {
			return fmt.Errorf("access policy: key %q is for principal %.80q, which can have none: %w", k.Access, k.Principal, fs.ErrInvalid)
		}
		if err := checkGrants(k.Access, k.Scope); err != nil {
			return err
		}
	}
	return nil
}

func checkGrants(of string, grants []Grant) error {
	if len(grants) > GrantsMax {
		return fmt.Errorf("%s: %d grants, at most %d: %w", of, len(grants), GrantsMax, fs.ErrInvalid)
	}
	for _, g := range grants {
		if err := g.Check(); err != nil {
			return fmt.Errorf("%s: %w", of, err)
		}
		if of == Anonymous.Name && g.Level != LevelRead {
			return fmt.Errorf("%s may be granted read only: %w", of, fs.ErrInvalid)
		}
	}
	return nil
}

// EncodePolicy returns p as canonical JSON. fs.ErrInvalid if p is not valid.
func EncodePolicy(p Policy) ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encode access policy: %w", err)
	}
	b = append(b, '\n')
	if len(b) > PolicySizeMax {
		return nil, fmt.Errorf("access policy: %d bytes, at most %d: %w", len(b), PolicySizeMax, fs.ErrInvalid)
	}
	return b, nil
}

// DecodePolicy reads what EncodePolicy wrote, and nothing else: fs.ErrInvalid.
func DecodePolicy(b []byte) (Policy, error) {
	if len(b) > PolicySizeMax {
		return Policy{}, fmt.Errorf("access policy: %d bytes, at most %d: %w", len(b), PolicySizeMax, fs.ErrInvalid)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	var p Policy
	if err := dec.Decode(&p); err != nil {
		return Policy{}, fmt.Errorf("access policy: %s: %w", err.Error(), fs.ErrInvalid)
	}
	again, err := EncodePolicy(p)
	if err != nil {
		return Policy{}, err
	}
	if !bytes.Equal(again, b) {
		return Policy{}, fmt.Errorf("access policy is not in canonical form; write it with dvx auth: %w", fs.ErrInvalid)
	}
	return p, nil
}

// isSystem reports whether a repo is dvx's own: those whose names start with
// "dvx-" hold the policy, uploads under way, and what else may come.
func isSystem(repo string) bool { return strings.HasPrefix(repo, SystemPrefix) }

// May reports whether a principal may do a on r, as of now. The owner may do
// all. Nobody else may touch a repo of the system, unless he administers all
// repos; but what pipelines inherit may be read by any user of the store.
func (p Policy) May(who Principal, a Action, r Resource, now time.Time) bool {
	if who.IsOwner() {
		return true
	}
	switch {
	case r.Repo == DefaultsRepo && a == Read:
		a, r = ReadStore, Resource{}
	case isSystem(r.Repo):
		a, r = Admin, Resource{}
	}
	grants, scope, ok := p.held(who, now)
	if !ok {
		return false
	}
	if a == ReadStore { // what any user of the store may know
		return len(grants) > 0
	}
	covers := func(g Grant) bool { return g.Covers(a, r) }
	return slices.ContainsFunc(grants, covers) && (len(scope) == 0 || slices.ContainsFunc(scope, covers))
}

// Sees reports whether a principal may read anything in a repo: whether it is
// listed for him.
func (p Policy) Sees(who Principal, repo string, now time.Time) bool {
	if who.IsOwner() {
		return true
	}
	if isSystem(repo) {
		return p.May(who, Read, Resource{Repo: repo}, now)
	}
	grants, scope, ok := p.held(who, now)
	touches := func(g Grant) bool { return g.touches(Read, repo) }
	return ok && slices.ContainsFunc(grants, touches) && (len(scope) == 0 || slices.ContainsFunc(scope, touches))
}

// held returns what a principal was granted, and the scope of the key that he
// came in with. A key that was revoked since holds nothing.
func (p Policy) held(who Principal, now time.Time) (grants, scope []Grant, ok bool) {
	if who.Key != "" {
		k, found := p.Key(who.Key)
		if !found || k.Principal != who.Name || k.Expired(now) {
			return nil, nil, false
		}
		scope = k.Scope
	}
	grants, ok = p.Principals[who.Name]
	return grants, scope, ok
}
