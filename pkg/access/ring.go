package access

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
)

// Options configures a [Ring].
type Options struct {
	Store  repo.Store
	Owner  auth.Key         // the owner's key: opens the secrets, and everything itself
	Now    func() time.Time //
	Report func(error)      // called when the policy can't be read; nobody but the owner may come in then
	Pause  time.Duration    // after such a failure; 1 s by default
}

// Ring is the keys and the policy of a store as of the newest root that it has
// seen. It is the auth.Authorizer of every edge. It may be used concurrently.
type Ring struct {
	o      Options
	sealer *auth.Sealer
	now    atomic.Pointer[state]
}

var (
	_ auth.Authorizer = (*Ring)(nil)
	_ auth.Refresher  = (*Ring)(nil)
)

// state is a policy with the secrets that were opened so far.
type state struct {
	head   commit.ID
	policy auth.Policy
	opened sync.Map // access → auth.Key
}

// Open returns a Ring with the policy as it is now. Keep it current with
// [Ring.Follow].
func Open(ctx context.Context, o Options) (*Ring, error) {
	sealer, err := auth.NewSealer(o.Owner)
	if err != nil {
		return nil, err
	}
	if o.Pause == 0 {
		o.Pause = time.Second
	}
	r := &Ring{o: o, sealer: sealer}
	r.now.Store(&state{policy: auth.Policy{}.Clone()})
	if err := r.Refresh(auth.With(ctx, auth.Owner)); err != nil {
		return nil, err
	}
	return r, nil
}

// Follow keeps the policy current until ctx ends.
func (r *Ring) Follow(ctx context.Context) {
	ctx = auth.With(ctx, auth.Owner)
	var gen uint64
	for ctx.Err() == nil {
		seen, err := r.o.Store.Watch(ctx, gen)
		if err == nil {
			err = r.Refresh(ctx)
			gen = seen
		}
		if err == nil || ctx.Err() != nil {
			continue
		}
		r.o.Report(err)
		select {
		case <-ctx.Done():
		case <-time.After(r.o.Pause):
		}
	}
}

// Refresh implements [auth.Refresher]: it loads the policy if it changed. One that is damaged leaves the owner
// alone with rights: a policy that can't be read may have taken them away.
func (r *Ring) Refresh(ctx context.Context) error {
	ctx = auth.With(ctx, auth.Owner)
	v, err := r.o.Store.View(ctx)
	if err != nil {
		return fmt.Errorf("access policy: %w", err)
	}
	head := v.Repos[auth.AccessRepo].Branches[auth.AccessBranch].Commit
	if head == r.now.Load().head {
		return nil
	}
	p, err := load(ctx, r.o.Store, head)
	switch {
	case errors.Is(err, fs.ErrInvalid) || errors.Is(err, fs.ErrNotExist):
		r.o.Report(fmt.Errorf("%w; until it is repaired, only the owner may come in: bring an older version of %s back", err, auth.AccessRepo))
		p = auth.Policy{}.Clone()
	case err != nil:
		return err
	}
	r.now.Store(&state{head: head, policy: p})
	return nil
}

// load reads the policy of a version; a zero head is that of a store without one.
func load(ctx context.Context, s repo.Store, head commit.ID) (auth.Policy, error) {
	if head.IsZero() {
		return auth.Policy{}.Clone(), nil
	}
	f, e, err := repo.GetFile(ctx, s, auth.AccessRepo+"@"+head.String()+":/"+auth.AccessFile)
	if err != nil {
		return auth.Policy{}, fmt.Errorf("access policy: %w", err)
	}
	defer func() { _ = f.Close() }()
	if e.Content.Size > auth.PolicySizeMax {
		return auth.Policy{}, fmt.Errorf("access policy: %d bytes: %w", e.Content.Size, fs.ErrInvalid)
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return auth.Policy{}, fmt.Errorf("access policy: %w", err)
	}
	return auth.DecodePolicy(b)
}

// Policy returns the policy as of now.
func (r *Ring) Policy() auth.Policy { return r.now.Load().policy }

// Authorize implements [auth.Authorizer].
func (r *Ring) Authorize(_ context.Context, p auth.Principal, a auth.Action, on auth.Resource) error {
	if r.now.Load().policy.May(p, a, on, r.o.Now()) {
		return nil
	}
	return auth.Denied(p, a, on)
}

// Sees reports whether p may read anything in a repo.
func (r *Ring) Sees(p auth.Principal, name string) bool {
	return r.now.Load().policy.Sees(p, name, r.o.Now())
}

// Authenticate returns the principal of a bearer token, or
// auth.ErrUnauthenticated.
func (r *Ring) Authenticate(token string) (auth.Principal, error) {
	access, secret, _ := strings.Cut(token, ".")
	k, p, err := r.Lookup(access)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return auth.Principal{}, err
	}
	if err != nil || subtle.ConstantTimeCompare([]byte(k.Secret), []byte(secret)) != 1 {
		return auth.Principal{}, fmt.Errorf("unknown or expired key, or wrong secret: %w", auth.ErrUnauthenticated)
	}
	return p, nil
}

// Lookup returns the key with the given public part and whom it authenticates;
// fs.ErrNotExist if there is none, or it was revoked or has expired.
func (r *Ring) Lookup(access string) (auth.Key, auth.Principal, error) {
	if access == r.o.Owner.Access {
		return r.o.Owner, auth.Owner, nil
	}
	s := r.now.Load()
	sealed, ok := s.policy.Key(access)
	if !ok || sealed.Expired(r.o.Now()) {
		return auth.Key{}, auth.Principal{}, fmt.Errorf("access key %.40q: %w", access, fs.ErrNotExist)
	}
	who := auth.Principal{Name: sealed.Principal, Key: sealed.Access}
	if k, ok := s.opened.Load(access); ok {
		return k.(auth.Key), who, nil //nolint:forcetypeassert // nothing else is stored
	}
	k, err := r.sealer.Open(sealed)
	if err != nil {
		return auth.Key{}, auth.Principal{}, err
	}
	s.opened.Store(access, k)
	return k, who, nil
}
