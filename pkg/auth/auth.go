package auth

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
)

// Principal is who makes a call: the owner, a user, a pipeline acting for its
// owner. The zero Principal is nobody and may do nothing.
type Principal struct {
	Name string
	Key  string // public part of the key that he came in with; empty if by none of the policy's
}

// Owner is the principal of the owner's key, and of whoever works on a store
// directly: holding the store's own credentials means being its owner.
var Owner = Principal{Name: "owner"}

// Anonymous is the principal of an S3 request without a signature. It may do
// only what was granted to it by name.
var Anonymous = Principal{Name: "anonymous"}

// AccessRepo is the repo that holds a store's policy, in the file AccessFile of
// the branch AccessBranch: who changed it when is its history.
const (
	SystemPrefix = "dvx-" // of the names of repos that dvx keeps for itself
	AccessRepo   = "dvx-access"
	AccessBranch = "main"
	AccessFile   = "policy.json"

	// DefaultsRepo has the file DefaultsFile, on the branch DefaultsBranch: the
	// fields that specs inherit.
	DefaultsRepo   = "dvx-defaults"
	DefaultsBranch = "main"
	DefaultsFile   = "pipeline.yaml"
)

// IsOwner reports whether p is the owner.
func (p Principal) IsOwner() bool { return p.Name == Owner.Name }

// String returns the principal's name, or "nobody".
func (p Principal) String() string {
	if p.Name == "" {
		return "nobody"
	}
	return p.Name
}

// Action is what a principal wants to do. Every call of every edge maps to one.
type Action string

// The actions.
const (
	Read          Action = "read"           // read refs, trees and data of a repo
	Write         Action = "write"          // commit to a branch, open sessions
	Admin         Action = "admin"          // create and delete repos, protect branches
	ReadPipeline  Action = "read-pipeline"  // specs, jobs, logs
	WritePipeline Action = "write-pipeline" // create, change, delete pipelines; run and cancel jobs
	ReadStore     Action = "read-store"     // list repos, store configuration, health detail
)

// Resource is what an action is about. Empty fields mean all.
type Resource struct {
	Repo   string
	Branch string // or tag
	Path   string // a file, or the directory below which all is meant; no slash at either end
}

// Authorizer decides. It is the one place that every edge asks, once per call,
// before anything is read or written. It may be used concurrently.
type Authorizer interface {
	// Authorize returns nil, or an error that wraps ErrDenied and names
	// principal, action and resource.
	Authorize(ctx context.Context, p Principal, a Action, r Resource) error
}

// Refresher is an Authorizer that follows a policy, and can be told to look at
// it now.
type Refresher interface {
	// Refresh returns once the Authorizer knows a policy that is at least as new
	// as the call.
	Refresh(ctx context.Context) error
}

// Viewer is an Authorizer that knows more about what a principal may see.
type Viewer interface {
	// Sees reports whether p may read anything in a repo.
	Sees(p Principal, repo string) bool
}

// Sees reports whether p may read anything in a repo, as far as a knows: that
// it is a [Viewer], or that p may read all of the repo.
func Sees(ctx context.Context, a Authorizer, p Principal, repo string) (bool, error) {
	if v, ok := a.(Viewer); ok {
		return v.Sees(p, repo), nil
	}
	err := a.Authorize(ctx, p, Read, Resource{Repo: repo})
	if errors.Is(err, fs.ErrPermission) {
		return false, nil
	}
	return err == nil, err
}

// ErrDenied is the kind of every refusal. It wraps fs.ErrPermission.
var ErrDenied = fmt.Errorf("denied: %w", fs.ErrPermission)

// ErrUnauthenticated is the error for a call without valid credentials. It
// wraps fs.ErrPermission.
var ErrUnauthenticated = fmt.Errorf("not authenticated: %w", fs.ErrPermission)

// OwnerOnly is the Authorizer of a store that has only its owner: the owner
// may do all, everybody else nothing.
type OwnerOnly struct{}

// Authorize implements [Authorizer].
func (OwnerOnly) Authorize(_ context.Context, p Principal, a Action, r Resource) error {
	if p.IsOwner() {
		return nil
	}
	return Denied(p, a, r)
}

// Denied returns the error for a refusal.
func Denied(p Principal, a Action, r Resource) error {
	return fmt.Errorf("%v may not %s %v: %w", p, a, r, ErrDenied)
}

// String returns the resource as a ref expression, or "this store".
func (r Resource) String() string {
	if r.Repo == "" {
		return "this store"
	}
	s := r.Repo
	if r.Branch != "" {
		s += "@" + r.Branch
	}
	if r.Path != "" {
		s += ":/" + r.Path
	}
	return s
}

type principalKey struct{}

// With returns a context that carries p to the layers below an edge.
func With(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// From returns the principal that ctx carries, or ErrUnauthenticated: a layer
// that needs one never guesses.
func From(ctx context.Context) (Principal, error) {
	p, _ := ctx.Value(principalKey{}).(Principal)
	if p == (Principal{}) {
		return p, ErrUnauthenticated
	}
	return p, nil
}
