package rpc

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/repo"
)

// knownMax bounds the remembered commits of all repos; beyond it the oldest
// knowledge is forgotten and walked again when it is asked for.
const knownMax = 1 << 20

// histories knows which commits belong to a repo: those that its names have
// reached. It answers for clients that name a commit by its ID.
type histories struct {
	store repo.Store
	mu    sync.Mutex
	known map[string]*known // by repo
	count int
}

// known is the part of a repo's history that was walked.
type known struct {
	created time.Time // of the repo: another repo of that name is another repo
	commits map[commit.ID]struct{}
}

// check fails with repo.ErrRefNotFound unless one of the repo's names reaches
// the commit.
func (h *histories) check(ctx context.Context, name string, id commit.ID) error {
	if id.IsZero() {
		return nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.lookup(name, id) {
		// The repo may have been deleted since; the caller's view decides that.
		if v, err := h.store.View(ctx); err != nil {
			return err
		} else if r, ok := v.Repos[name]; ok && r.Created.Equal(h.known[name].created) {
			return nil
		}
	}
	if err := h.walk(ctx, name); err != nil {
		return err
	}
	if !h.lookup(name, id) {
		return fmt.Errorf("commit %s is not in the history of %s: %w", id.Short(), name, repo.ErrRefNotFound)
	}
	return nil
}

func (h *histories) lookup(name string, id commit.ID) bool {
	k := h.known[name]
	if k == nil {
		return false
	}
	_, ok := k.commits[id]
	return ok
}

// walk follows every name of the repo to what is known already.
func (h *histories) walk(ctx context.Context, name string) error {
	v, err := h.store.View(ctx)
	if err != nil {
		return err
	}
	r, ok := v.Repos[name]
	if !ok {
		return fmt.Errorf("%s: %w", name, repo.ErrRepoNotFound)
	}
	k := h.known[name]
	if k == nil || !k.created.Equal(r.Created) || h.count > knownMax {
		k = &known{created: r.Created, commits: map[commit.ID]struct{}{}}
		if h.known == nil || h.count > knownMax {
			h.known, h.count = map[string]*known{}, 0
		}
		h.known[name] = k
	}
	var todo []commit.ID
	for _, b := range r.Branches {
		todo = append(todo, b.Commit)
	}
	for _, t := range r.Tags {
		todo = append(todo, t.Commit)
	}
	for _, b := range r.Specs {
		todo = append(todo, b.Commit)
	}
	for len(todo) > 0 {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, ok := k.commits[id]; ok || id.IsZero() {
			continue
		}
		c, err := h.load(ctx, name, id)
		if err != nil {
			return err
		}
		k.commits[id] = struct{}{}
		h.count++
		todo = append(todo, c.Parents...)
	}
	return nil
}

func (h *histories) load(ctx context.Context, name string, id commit.ID) (commit.Commit, error) {
	r, err := h.store.Reader(ctx, repo.Scope{Repo: name, Commit: id})
	if err != nil {
		return commit.Commit{}, err
	}
	return commit.Load(ctx, r, id)
}

// commitOf returns the repo and the commit that an operation makes a name
// point at, and the zero ID if it does no such thing.
func commitOf(op repo.Op) (string, commit.ID) {
	switch o := op.(type) {
	case repo.CreateBranch:
		return o.Repo, o.From
	case repo.MoveBranch:
		return o.Repo, o.To
	case repo.CreateTag:
		return o.Repo, o.Commit
	case repo.MoveSpec:
		return o.Repo, o.To
	default:
		return "", commit.ID{}
	}
}

// reachable fails unless every commit that the transaction names belongs to
// the repo that it names it for.
func (s *Server) reachable(ctx context.Context, t repo.Txn) error {
	for _, op := range t.Ops {
		name, id := commitOf(op)
		if err := s.histories.check(ctx, name, id); err != nil {
			return err
		}
	}
	return nil
}

// publishable fails unless every commit that the transaction names was written
// or read in the scope, or belongs to the repo anyway.
func (s *Server) publishable(ctx context.Context, sc *scope, t repo.Txn) error {
	for _, op := range t.Ops {
		name, id := commitOf(op)
		if name == sc.what.Repo && sc.allows(commitRef(id)) {
			continue
		}
		if err := s.histories.check(ctx, name, id); err != nil {
			return err
		}
	}
	return nil
}
