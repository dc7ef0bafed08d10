package auth

import (
	"context"
	"fmt"
	"io/fs"
)

// Principal is who makes a call: the owner, a user, a pipeline acting for its
// owner. The zero Principal is nobody and may do nothing.
type Principal struct {
	Name string
}

// Owner is the principal of the owner's key, and of whoever works on a store
// directly: holding the store's own credentials means being its owner.
var Owner = Principal{Name: "owner"}

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
	Branch string
}

// Authorizer decides. It is the one place that every edge asks, once per call,
// before anything is read or written. It may be used concurrently.
type Authorizer interface {
	// Authorize returns nil, or an error that wraps ErrDenied and names
	// principal, action and resource.
	Authorize(ctx context.Context, p Principal, a Action, r Resource) error
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
	if p == Owner {
		return nil
	}
	what := r.Repo
	if r.Branch != "" {
		what += "@" + r.Branch
	}
	if what == "" {
		what = "this store"
	}
	return fmt.Errorf("%v may not %s %s: %w", p, a, what, ErrDenied)
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
