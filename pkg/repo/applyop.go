package repo

import (
	"fmt"
	"io/fs"
	"slices"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/commit"
)

// DefaultBranch is the default branch of a repo that names no other.
const DefaultBranch = "main"

func (c *change) createRepo(op CreateRepo) error {
	if err := CheckRepoName(op.Repo); err != nil {
		return err
	}
	if _, ok := c.root.Repos[op.Repo]; ok {
		return fmt.Errorf("repo %s: %w", op.Repo, fs.ErrExist)
	}
	if err := checkText("description", op.Description, DescriptionMax); err != nil {
		return err
	}
	return c.newRepo(op.Repo, op.Branch, op.Description)
}

func (c *change) newRepo(name, branch, description string) error {
	if branch == "" {
		branch = DefaultBranch
	}
	if err := CheckRefName(branch); err != nil {
		return err
	}
	c.owned[name] = true
	c.put(name, Repo{
		Created:     commit.Stamp(c.env.Now),
		Description: description,
		Default:     branch,
		Branches:    map[string]Branch{branch: {Gen: c.root.Gen, Owner: c.env.Principal.Name}},
	})
	return nil
}

func (c *change) deleteRepo(op DeleteRepo) error {
	r, ok := c.root.Repos[op.Repo]
	if !ok {
		return fmt.Errorf("repo %.80q: %w", op.Repo, ErrRepoNotFound)
	}
	for name, b := range r.Branches {
		if err := c.allowed(op.Repo, name, b); err != nil {
			return err
		}
		if err := c.sealed(op.Repo, name); err != nil {
			return err
		}
	}
	if name, gen := r.newest(); op.Seen > 0 && gen > op.Seen {
		return fmt.Errorf("%s@%s has moved by root %d, the repo was to be deleted as of %d: %w", op.Repo, name, gen, op.Seen, ErrConflict)
	}
	delete(c.root.Repos, op.Repo)
	return nil
}

// newest returns the name of the repo that was made or moved last, and the
// generation of the root that did it.
func (r *Repo) newest() (name string, gen uint64) {
	for _, names := range []map[string]Branch{r.Branches, r.Specs} {
		for n, b := range names {
			if b.Gen >= gen {
				name, gen = n, b.Gen
			}
		}
	}
	for n, t := range r.Tags {
		if t.Gen >= gen {
			name, gen = n, t.Gen
		}
	}
	return name, gen
}

func (c *change) createBranch(op CreateBranch) error {
	r, err := c.open(op.Repo)
	if err != nil {
		return err
	}
	if err := checkNewRef(op.Repo, r, op.Branch); err != nil {
		return err
	}
	if err := checkFork(op.Repo, r, op.Branch, op.Fork); err != nil {
		return err
	}
	r.Branches[op.Branch] = Branch{Commit: op.From, Gen: c.root.Gen, Owner: c.env.Principal.Name, Fork: op.Fork}
	c.put(op.Repo, r)
	if !op.From.IsZero() {
		c.moved(op.Repo, op.Branch, op.From)
	}
	return nil
}

// checkFork makes sure that a branch is forked from one that is there, and not
// by way of others from itself: a branch of its name may have been before.
func checkFork(repo string, r Repo, name, fork string) error {
	if fork == "" {
		return nil
	}
	if _, ok := r.Branches[fork]; !ok {
		return fmt.Errorf("branch %s@%s to fork from: %w", repo, fork, ErrRefNotFound)
	}
	for at := fork; at != ""; at = r.Branches[at].Fork {
		if at == name {
			return invalid("branch %s@%s would be forked from itself by way of %s", repo, name, fork)
		}
	}
	return nil
}

func (c *change) moveBranch(op MoveBranch) error {
	r, err := c.open(op.Repo)
	if err != nil {
		return err
	}
	if op.To.IsZero() {
		return invalid("branch %s@%s can't be moved to no commit", op.Repo, op.Branch)
	}
	b, ok := r.Branches[op.Branch]
	switch {
	case !ok && !op.Expect.IsZero():
		return fmt.Errorf("branch %s@%s is gone, expected at %s: %w", op.Repo, op.Branch, op.Expect.Short(), ErrConflict)
	case !ok:
		if err := checkNewRef(op.Repo, r, op.Branch); err != nil {
			return err
		}
		b.Owner = c.env.Principal.Name
	default:
		if err := c.expect(op.Repo, op.Branch, b.Commit, op.Expect); err != nil {
			return err
		}
		if err := c.allowed(op.Repo, op.Branch, b); err != nil {
			return err
		}
		if err := c.sealed(op.Repo, op.Branch); err != nil {
			return err
		}
	}
	b.Commit, b.Gen = op.To, c.root.Gen
	r.Branches[op.Branch] = b
	c.put(op.Repo, r)
	c.moved(op.Repo, op.Branch, op.To)
	return nil
}

func (c *change) expect(repo, name string, at, expect commit.ID) error {
	if at == expect {
		return nil
	}
	return fmt.Errorf("%s@%s is at %s, expected at %s: %w", repo, name, shortOrNone(at), shortOrNone(expect), ErrConflict)
}

func shortOrNone(id commit.ID) string {
	if id.IsZero() {
		return "no commit"
	}
	return id.Short()
}

func (c *change) deleteBranch(op DeleteBranch) error {
	r, err := c.open(op.Repo)
	if err != nil {
		return err
	}
	b, ok := r.Branches[op.Branch]
	if !ok {
		return fmt.Errorf("branch %s@%.300s: %w", op.Repo, op.Branch, ErrRefNotFound)
	}
	if err := c.expect(op.Repo, op.Branch, b.Commit, op.Expect); err != nil {
		return err
	}
	if err := c.allowed(op.Repo, op.Branch, b); err != nil {
		return err
	}
	if err := c.sealed(op.Repo, op.Branch); err != nil {
		return err
	}
	if op.Branch == r.Default {
		return invalid("branch %s@%s is the repo's default branch: delete the repo instead", op.Repo, op.Branch)
	}
	delete(r.Branches, op.Branch)
	c.put(op.Repo, r)
	return nil
}

func (c *change) createTag(op CreateTag) error {
	r, err := c.open(op.Repo)
	if err != nil {
		return err
	}
	if op.Commit.IsZero() {
		return invalid("tag %s@%.300s of no commit", op.Repo, op.Tag)
	}
	if err := checkNewRef(op.Repo, r, op.Tag); err != nil {
		return err
	}
	r.Tags[op.Tag] = Tag{Commit: op.Commit, Gen: c.root.Gen, Owner: c.env.Principal.Name}
	c.put(op.Repo, r)
	return nil
}

func (c *change) deleteTag(op DeleteTag) error {
	r, err := c.open(op.Repo)
	if err != nil {
		return err
	}
	if _, ok := r.Tags[op.Tag]; !ok {
		return fmt.Errorf("tag %s@%.300s: %w", op.Repo, op.Tag, ErrRefNotFound)
	}
	delete(r.Tags, op.Tag)
	c.put(op.Repo, r)
	return nil
}

func (c *change) moveSpec(op MoveSpec) error {
	if err := CheckRepoName(op.Repo); err != nil {
		return err
	}
	if err := CheckRefName(op.Branch); err != nil {
		return err
	}
	if _, ok := c.root.Repos[op.Repo]; !ok {
		if op.To.IsZero() || !op.Expect.IsZero() {
			return fmt.Errorf("pipeline %s: %w", op.Repo, ErrRepoNotFound)
		}
		if err := c.newRepo(op.Repo, op.Branch, ""); err != nil {
			return err
		}
	}
	r, err := c.open(op.Repo)
	if err != nil {
		return err
	}
	s, ok := r.Specs[op.Branch]
	if err := c.expect("spec "+op.Repo, op.Branch, s.Commit, op.Expect); err != nil {
		return err
	}
	if err := c.allowed(op.Repo, op.Branch, r.Branches[op.Branch]); err != nil {
		return err
	}
	if op.To.IsZero() {
		if !ok {
			return fmt.Errorf("pipeline %s@%s: %w", op.Repo, op.Branch, ErrRefNotFound)
		}
		delete(r.Specs, op.Branch)
	} else {
		s.Owner = c.env.Principal.Name // who answers for what it does is who said so last
		s.Commit, s.Gen = op.To, c.root.Gen
		r.Specs[op.Branch] = s
	}
	c.put(op.Repo, r)
	return nil
}

func (c *change) protect(op Protect) error {
	r, err := c.open(op.Repo)
	if err != nil {
		return err
	}
	b, ok := r.Branches[op.Branch]
	if !ok {
		return fmt.Errorf("branch %s@%.300s: %w", op.Repo, op.Branch, ErrRefNotFound)
	}
	if c.env.Principal != auth.Owner {
		if err := c.allowed(op.Repo, op.Branch, b); err != nil {
			return err
		}
		if len(b.Protect) == 0 && b.Owner != c.env.Principal.Name {
			return fmt.Errorf("%s@%s: only the store's owner and %q may protect it: %w", op.Repo, op.Branch, b.Owner, ErrProtected)
		}
	}
	names := slices.Clone(op.Principals)
	slices.Sort(names)
	names = slices.Compact(names)
	if len(names) == 0 {
		names = nil
	}
	if err := checkProtect(names); err != nil {
		return err
	}
	b.Protect = names
	r.Branches[op.Branch] = b
	c.put(op.Repo, r)
	return nil
}
