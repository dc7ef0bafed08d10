package repo

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
)

// prefixSearchMax is how many commits a search for a commit prefix looks at.
const prefixSearchMax = 200_000

// Resolved is what a ref expression names as of one root.
type Resolved struct {
	Ref    Ref
	Gen    uint64        // of the root
	Repo   string        //
	Branch string        // the branch that was named, empty if it was a tag or commit
	Tag    string        // the tag that was named, if any
	Head   commit.ID     // where the branch or tag points, or the commit named: the scope to read in
	ID     commit.ID     // of the commit; zero if the branch is empty
	Commit commit.Commit // zero if the branch is empty
	Path   string        // as in Ref
}

// Scope returns the scope in which the commit can be read.
func (r Resolved) Scope() Scope { return Scope{Repo: r.Repo, Branch: r.Branch, Commit: r.ID} }

// AmbiguousError says that several commits start with a prefix.
type AmbiguousError struct {
	Prefix  string
	Commits []commit.ID // at most 10 of them, sorted
}

// Error implements error.
func (e *AmbiguousError) Error() string {
	ids := make([]string, len(e.Commits))
	for i, id := range e.Commits {
		ids[i] = id.Short()
	}
	return fmt.Sprintf("commit prefix %s is ambiguous: %s: give more digits", e.Prefix, strings.Join(ids, ", "))
}

// Unwrap makes an AmbiguousError a kind of fs.ErrInvalid.
func (e *AmbiguousError) Unwrap() error { return fs.ErrInvalid }

// Resolve parses expr and finds what it names. Errors wrap fs.ErrInvalid,
// ErrRepoNotFound or ErrRefNotFound; an ambiguous prefix fails with an
// *AmbiguousError. An empty branch resolves to no commit, without an error.
func Resolve(ctx context.Context, s Store, expr string) (Resolved, error) {
	ref, err := ParseRef(expr)
	if err != nil {
		return Resolved{}, err
	}
	return ResolveRef(ctx, s, ref)
}

// ResolveRef finds what ref names, as [Resolve] does.
func ResolveRef(ctx context.Context, s Store, ref Ref) (Resolved, error) {
	v, err := s.View(ctx)
	if err != nil {
		return Resolved{}, err
	}
	return ResolveIn(ctx, s, v, ref)
}

// ResolveIn finds what ref names in v, as [Resolve] does.
func ResolveIn(ctx context.Context, s Store, v *View, ref Ref) (Resolved, error) {
	res, err := resolveIn(ctx, s, v, ref)
	if err != nil {
		return Resolved{}, fmt.Errorf("resolve %v: %w", ref, err)
	}
	return res, nil
}

func resolveIn(ctx context.Context, s Store, v *View, ref Ref) (Resolved, error) {
	r, ok := v.Repos[ref.Repo]
	if !ok {
		return Resolved{}, ErrRepoNotFound
	}
	res := Resolved{Ref: ref, Gen: v.Gen, Repo: ref.Repo, Path: ref.Path}
	name := ref.Name
	if name == "" {
		name = r.Default
	}
	if b, ok := r.Branches[name]; ok {
		res.Branch, res.Head = name, b.Commit
	} else if t, ok := r.Tags[name]; ok {
		res.Tag, res.Head = name, t.Commit
	} else {
		id, err := findPrefix(ctx, s, ref.Repo, r, name)
		if err != nil {
			return Resolved{}, err
		}
		res.Head = id
	}
	if res.Head.IsZero() {
		if !ref.At.IsZero() || len(ref.Steps) > 0 {
			return Resolved{}, fmt.Errorf("branch %s is empty: %w", name, ErrRefNotFound)
		}
		return res, nil
	}
	return res, res.follow(ctx, s)
}

// follow goes from Head to the commit that the expression means.
func (r *Resolved) follow(ctx context.Context, s Store) error {
	chunks, err := s.Reader(ctx, Scope{Repo: r.Repo, Branch: r.Branch, Commit: r.Head})
	if err != nil {
		return err
	}
	at := commit.Entry{ID: r.Head}
	if at.Commit, err = commit.Load(ctx, chunks, at.ID); err != nil {
		return err
	}
	if t := r.Ref.At; !t.IsZero() {
		if at, err = back(ctx, chunks, at, func(_ int, e commit.Entry) bool { return !e.Commit.Time.After(t) }); err != nil {
			return fmt.Errorf("no version as early as %v: %w", t, err)
		}
	}
	for _, step := range r.Ref.Steps {
		if at, err = step.take(ctx, chunks, at); err != nil {
			return err
		}
	}
	r.ID, r.Commit = at.ID, at.Commit
	return nil
}

// back follows first parents until stop.
func back(ctx context.Context, r chunk.Reader, from commit.Entry, stop func(n int, e commit.Entry) bool) (commit.Entry, error) {
	n := 0
	for e, err := range commit.Log(ctx, r, from.ID, commit.LogOptions{FirstParent: true}) {
		if err != nil {
			return commit.Entry{}, err
		}
		if stop(n, e) {
			return e, nil
		}
		n++
	}
	return commit.Entry{}, fmt.Errorf("history ends after %d versions: %w", n, ErrRefNotFound)
}

func (s Step) take(ctx context.Context, r chunk.Reader, at commit.Entry) (commit.Entry, error) {
	if !s.Parent {
		return back(ctx, r, at, func(n int, _ commit.Entry) bool { return n == s.N })
	}
	if s.N == 0 {
		return at, nil
	}
	if s.N > len(at.Commit.Parents) {
		return commit.Entry{}, fmt.Errorf("commit %v has %d parents: %w", at.ID.Short(), len(at.Commit.Parents), ErrRefNotFound)
	}
	id := at.Commit.Parents[s.N-1]
	c, err := commit.Load(ctx, r, id)
	return commit.Entry{ID: id, Commit: c}, err
}

// findPrefix searches the histories of a repo's names for a commit. Each
// commit is read in the scope of the name that led to it.
func findPrefix(ctx context.Context, s Store, name string, r Repo, prefix string) (commit.ID, error) {
	if !isPrefix(prefix) {
		return commit.ID{}, ErrRefNotFound
	}
	found, err := searchHistory(ctx, s, name, r, prefix)
	switch {
	case err != nil:
		return commit.ID{}, err
	case len(found) == 0:
		return commit.ID{}, ErrRefNotFound
	case len(found) > 1:
		slices.SortFunc(found, func(a, b commit.ID) int { return strings.Compare(a.String(), b.String()) })
		return commit.ID{}, &AmbiguousError{Prefix: prefix, Commits: found[:min(len(found), 10)]}
	}
	return found[0], nil
}

func searchHistory(ctx context.Context, s Store, name string, r Repo, prefix string) ([]commit.ID, error) {
	var found []commit.ID
	seen := map[commit.ID]bool{}
	for _, head := range heads(r) {
		var chunks chunk.Reader
		for todo := []commit.ID{head}; len(todo) > 0; {
			id := todo[len(todo)-1]
			todo = todo[:len(todo)-1]
			if seen[id] {
				continue
			}
			if seen[id] = true; len(seen) > prefixSearchMax {
				return nil, fmt.Errorf("no such ref, and no single commit among the %d searched: %w", prefixSearchMax, ErrRefNotFound)
			}
			if strings.HasPrefix(id.String(), prefix) {
				if found = append(found, id); len(prefix) == 64 {
					return found, nil
				}
			}
			if chunks == nil {
				var err error
				if chunks, err = s.Reader(ctx, Scope{Repo: name, Commit: head}); err != nil {
					return nil, err
				}
			}
			c, err := commit.Load(ctx, chunks, id)
			if err != nil {
				return nil, err
			}
			todo = append(todo, c.Parents...)
		}
	}
	return found, nil
}

// heads returns the commits that the names of r point to, in a fixed order.
func heads(r Repo) []commit.ID {
	var ids []commit.ID
	seen := map[commit.ID]bool{{}: true}
	add := func(id commit.ID) {
		if !seen[id] {
			seen[id] = true
			ids = append(ids, id)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(r.Branches)) {
		add(r.Branches[name].Commit)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Tags)) {
		add(r.Tags[name].Commit)
	}
	for _, name := range slices.Sorted(maps.Keys(r.Specs)) {
		add(r.Specs[name].Commit)
	}
	return ids
}
