package repo

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/chunk/pack"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/tree"
)

// closure checks, before a transaction, that everything which the refs it
// moves reach is stored and fits together. A chunk that is in the base index
// was put there with all that it points to; so only new metadata is walked.
type closure struct {
	root    *Root
	base    *pack.Snapshot
	r       chunk.Reader                                              // over base and session
	has     func(context.Context, chunk.Kind, chunk.ID) (bool, error) // in base or session
	owner   bool                                                      // the principal may name any stored commit
	written func(commit.ID) bool                                      // through this session; nil without one
	own     func(chunk.Kind, chunk.ID) bool                           // new in this session, as far as is known without reading; nil without one
	sound   *soundRoots                                               // of this process; nil: none is remembered
	done    map[chunk.ID]bool
	made    []tree.Root // verified, given that what they came of is sound: for sound, once all is
}

// soundRoots remembers directories that were verified. The digests of a root
// determine all that is verified, so once is enough, whatever becomes of the
// store: what is stored is looked at apart from it. The zero value is ready to use.
type soundRoots struct {
	mu   sync.Mutex
	seen map[tree.Root]bool
}

// soundRootsMax is how many directories are remembered.
const soundRootsMax = 1024

func (s *soundRoots) has(root tree.Root) bool {
	if s == nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen[root]
}

func (s *soundRoots) add(root tree.Root) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil || len(s.seen) >= soundRootsMax {
		s.seen = map[tree.Root]bool{}
	}
	s.seen[root] = true
}

func (c *closure) check(ctx context.Context, t Txn) error {
	c.done, c.made = map[chunk.ID]bool{}, nil
	for _, op := range t.Ops {
		var err error
		switch op := op.(type) {
		case CreateBranch:
			err = c.target(ctx, op.Repo, op.From)
		case MoveBranch:
			if err = c.target(ctx, op.Repo, op.To); err == nil {
				err = c.descends(ctx, op)
			}
		case CreateTag:
			err = c.target(ctx, op.Repo, op.Commit)
		case MoveSpec:
			err = c.target(ctx, op.Repo, op.To)
		case appendOpen:
			err = c.tree(ctx, tree.Root{}, op.Batch.Tree, false)
		case foldOpen:
			err = c.fold(ctx, op)
		case sealOpen:
			if err = c.target(ctx, op.Repo, op.To); err == nil {
				err = c.must(ctx, chunk.Node, chunk.ID(op.Tree.ID))
			}
		}
		if err != nil {
			return err
		}
	}
	for _, root := range c.made {
		c.sound.add(root)
	}
	return nil
}

// fold checks what open writes were folded into.
func (c *closure) fold(ctx context.Context, op foldOpen) error {
	if op.To != nil {
		return c.tree(ctx, tree.Root{}, op.To.Tree, false)
	}
	return c.tree(ctx, op.Below, *op.Tree, false)
}

// descends holds a move without Force to a commit that comes after Expect.
func (c *closure) descends(ctx context.Context, op MoveBranch) error {
	if op.Force || op.Expect.IsZero() || op.To.IsZero() {
		return nil
	}
	if c.root.Repos[op.Repo].Branches[op.Branch].Commit != op.Expect {
		return nil // a conflict, as Apply will say
	}
	ok, err := commit.IsAncestor(ctx, c.r, op.Expect, op.To)
	if err != nil {
		return err
	}
	if !ok {
		return invalid("%s@%s: commit %v does not descend from %v: merge or rebase it, or force the move",
			op.Repo, op.Branch, op.To.Short(), op.Expect.Short())
	}
	return nil
}

// target checks the commits that a ref of repo will reach by id.
func (c *closure) target(ctx context.Context, repo string, id commit.ID) error {
	if id.IsZero() {
		return nil
	}
	named := id
	for todo := []commit.ID{id}; len(todo) > 0; {
		id := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if c.done[chunk.ID(id)] && id != named {
			continue
		}
		c.done[chunk.ID(id)] = true
		parents, err := c.commit(ctx, repo, id, id == named)
		if err != nil {
			return fmt.Errorf("commit %v: %w", id.Short(), err)
		}
		todo = append(todo, parents...)
	}
	return nil
}

// commit checks one commit and returns the parents that are to be checked too:
// none if the commit is reachable already. A name is to point to it if named is
// set; else its directory may have expired.
func (c *closure) commit(ctx context.Context, repo string, id commit.ID, named bool) ([]commit.ID, error) {
	known, err := c.base.Has(ctx, chunk.Commit, chunk.ID(id))
	if err != nil {
		return nil, err
	}
	if !known {
		if ok, err := c.has(ctx, chunk.Commit, chunk.ID(id)); err != nil {
			return nil, err
		} else if !ok {
			return nil, ErrRefNotFound
		}
	}
	v, err := commit.Load(ctx, c.r, id)
	if err != nil {
		return nil, err
	}
	gone, err := c.expired(ctx, v, named)
	if err != nil {
		return nil, err
	}
	if known {
		ok, err := c.reachable(ctx, repo, id, v)
		if ok || err != nil {
			return nil, err
		}
		if !c.owner && (c.written == nil || !c.written(id)) {
			return nil, fmt.Errorf("not in the history of repo %s: %w", repo, ErrRefNotFound)
		}
	}
	if err := commit.CheckParents(ctx, c.r, v); err != nil {
		return nil, err
	}
	var parent commit.Commit
	if len(v.Parents) > 0 {
		if parent, err = commit.Load(ctx, c.r, v.Parents[0]); err != nil {
			return nil, err
		}
		if away, err := c.expired(ctx, parent, false); err != nil {
			return nil, err
		} else if away {
			parent = commit.Commit{}
		}
	}
	if !gone {
		if err := c.files(ctx, parent, v, known); err != nil {
			return nil, err
		}
	}
	if v.Changes == nil {
		return v.Parents, nil
	}
	if err := c.tree(ctx, parent.Marks(), v.Marks(), known); err != nil {
		return nil, fmt.Errorf("index of changes: %w", err)
	}
	if c.owner {
		return v.Parents, nil
	}
	return v.Parents, commit.CheckIndex(ctx, c.r, v)
}

// files checks the directories of a commit that are not the log's.
func (c *closure) files(ctx context.Context, parent, v commit.Commit, known bool) error {
	if err := c.tree(ctx, parent.Tree, v.Tree, known); err != nil {
		return fmt.Errorf("tree: %w", err)
	}
	if now := v.Datums(); !now.ID.IsZero() {
		if err := c.tree(ctx, parent.Datums(), now, known); err != nil {
			return fmt.Errorf("datum table: %w", err)
		}
	}
	return nil
}

// reachable reports whether a name of the repo reaches the commit.
func (c *closure) reachable(ctx context.Context, repo string, id commit.ID, v commit.Commit) (bool, error) {
	todo := heads(c.root.Repos[repo])
	for _, h := range todo {
		if h == id {
			return true, nil
		}
	}
	seen := map[commit.ID]bool{}
	for len(todo) > 0 {
		at := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if seen[at] {
			continue
		}
		seen[at] = true
		if at == id {
			return true, nil
		}
		e, err := commit.Load(ctx, c.base, at)
		if err != nil {
			return false, err
		}
		if e.Time.After(v.Time) {
			todo = append(todo, e.Parents...)
		}
	}
	return false, nil
}

// closureCache is what nodes may take that are kept between the two looks at a
// directory, in bytes: those of a small change are then decoded once.
const closureCache = 4 << 20

// tree checks that all of a directory is stored, and that its digests and
// totals are those of its entries: nobody's word is taken. Of what the parent
// or the base has nothing is read, unless nothing reaches it.
func (c *closure) tree(ctx context.Context, parent, root tree.Root, all bool) error {
	var failed error
	skip := func(id chunk.ID) bool {
		if c.done[id] || failed != nil {
			return true
		}
		c.done[id] = true
		known := false
		if !all {
			known, failed = c.stored(ctx, id)
		}
		return known || failed != nil
	}
	base := parent
	if all {
		base = tree.Root{}
	}
	r := c.r
	if tree.CacheOf(r) == nil {
		r = tree.NewCache(closureCache).Reader(r)
	}
	err := tree.VisitChange(ctx, r, base, root, skip, func(kind chunk.Kind, id chunk.ID) error {
		return c.must(ctx, kind, id)
	})
	if err = errors.Join(failed, err); err != nil {
		return err
	}
	if c.sound.has(root) {
		return nil
	}
	if err := tree.VerifyChange(ctx, r, parent, root); err != nil {
		return err
	}
	c.made = append(c.made, root)
	return nil
}

// must fails with chunk.ErrNotFound unless the chunk is stored.
func (c *closure) must(ctx context.Context, kind chunk.Kind, id chunk.ID) error {
	ok, err := c.has(ctx, kind, id)
	if err == nil && !ok {
		err = fmt.Errorf("%v %v was not stored: %w", kind, id.Short(), chunk.ErrNotFound)
	}
	return err
}

// stored reports whether the base has a node or list, with all below it. What
// the session itself added is not looked for.
func (c *closure) stored(ctx context.Context, id chunk.ID) (bool, error) {
	for _, kind := range []chunk.Kind{chunk.Node, chunk.List} {
		if c.own != nil && c.own(kind, id) {
			return false, nil
		}
	}
	for _, kind := range []chunk.Kind{chunk.Node, chunk.List} {
		if ok, err := c.base.Has(ctx, kind, id); ok || err != nil {
			return ok, err
		}
	}
	return false, nil
}
