package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Registration is a spec on its way into a store.
type Registration struct {
	Spec   spec.Spec
	Source []byte // as typed
	Branch string // the environment

	// Code stores the code tree; nil if there is none.
	Code func(ctx context.Context, s chunk.Store) (tree.Root, error)

	Author  string
	Message string
	Op      repo.OpID // the same operation registers once
	Time    time.Time

	// Create demands that the pipeline is new on the branch (else fs.ErrExist),
	// Update that it is there (else fs.ErrNotExist).
	Create, Update bool
}

// Register makes g the newest version of its pipeline and returns the spec
// commit. Inputs whose branch the spec does not name are bound to the branches
// that they have now: a branch that is made later changes nothing until the
// pipeline is registered again. A version of equal content is not stored again: unchanged is true.
// It fails with repo.ErrConflict if another version came in between, and with
// fs.ErrExist if the repo of the pipeline's name holds somebody's own data.
func Register(ctx context.Context, s repo.Store, g Registration) (id commit.ID, unchanged bool, err error) {
	name := g.Spec.Pipeline
	view, err := s.View(ctx)
	if err != nil {
		return id, false, err
	}
	now, exists := view.Repos[name].Specs[g.Branch]
	switch {
	case exists && g.Create:
		return id, false, fmt.Errorf("pipeline %s is there already on branch %s; change it with update: %w", name, g.Branch, fs.ErrExist)
	case !exists && g.Update:
		return id, false, fmt.Errorf("no pipeline %s on branch %s; make it with create: %w", name, g.Branch, fs.ErrNotExist)
	}
	if err := checkOutputRepo(ctx, s, view, name, g.Branch); err != nil {
		return id, false, err
	}
	sess, err := s.Session(ctx, repo.Scope{Repo: name, Branch: g.Branch})
	if err != nil {
		return id, false, err
	}
	defer func() { _ = sess.Close() }()
	c, err := g.commit(ctx, s, sess, view)
	if err != nil {
		return id, false, err
	}
	if exists && !now.Commit.IsZero() {
		parent, err := commit.Load(ctx, sess, now.Commit)
		if err != nil {
			return id, false, fmt.Errorf("read the present version of %s: %w", name, err)
		}
		if by, paused := Paused(parent); paused { // a new version does not end a pause
			c.Labels = maps.Clone(c.Labels)
			if c.Labels == nil {
				c.Labels = map[string]string{}
			}
			c.Labels[pausedLabel] = by
		}
		if parent.Tree.Content == c.Tree.Content && maps.Equal(parent.Labels, c.Labels) {
			return now.Commit, true, nil
		}
		c.Parents = []commit.ID{now.Commit}
		if !c.Time.After(parent.Time) {
			c.Time = parent.Time.Add(time.Millisecond)
		}
	}
	if id, err = commit.Save(ctx, sess, c); err != nil {
		return id, false, err
	}
	move := repo.MoveSpec{Repo: name, Branch: g.Branch, Expect: now.Commit, To: id}
	_, err = sess.Publish(ctx, repo.Txn{Op: g.Op, Ops: []repo.Op{move}})
	if err != nil {
		return id, false, fmt.Errorf("register pipeline %s on %s: %w", name, g.Branch, err)
	}
	return id, false, nil
}

// commit stores the version and returns its commit, without parents.
func (g Registration) commit(ctx context.Context, s repo.Store, cs chunk.Store, view *repo.View) (commit.Commit, error) {
	v := engine.Version{Spec: g.Spec}
	if g.Code != nil {
		var err error
		if v.Code, err = g.Code(ctx, cs); err != nil {
			return commit.Commit{}, fmt.Errorf("store the code of pipeline %s: %w", g.Spec.Pipeline, err)
		}
	}
	root, err := StoreVersion(ctx, cs, s.Config().Chunker, v, g.Source)
	if err != nil {
		return commit.Commit{}, err
	}
	return commit.Commit{Tree: root, Author: g.Author, Message: g.Message, Time: commit.Stamp(g.Time), Op: g.Op.String(), Labels: g.bindings(view)}, nil
}

// bindings returns the labels that say which branches the inputs follow, of
// those that are there.
func (g Registration) bindings(view *repo.View) map[string]string {
	labels := map[string]string{}
	for in := range g.Spec.Input.Leaves() {
		if in.Branch != "" || in.Repo == "" {
			continue
		}
		if branch, problem := ResolveInput(view, in, g.Spec.Pipeline, g.Branch); problem == "" {
			labels[bindingLabel+in.Repo] = branch
		}
	}
	if len(labels) == 0 {
		return nil
	}
	return labels
}

// checkOutputRepo refuses to let a pipeline write into a repo that people
// write to. What a former pipeline of the name left is its own.
func checkOutputRepo(ctx context.Context, s repo.Store, view *repo.View, name, branch string) error {
	r, ok := view.Repos[name]
	if !ok || len(r.Specs) > 0 {
		return nil
	}
	for b, x := range r.Branches {
		if x.Commit.IsZero() {
			continue
		}
		read, err := s.Reader(ctx, repo.Scope{Repo: name, Commit: x.Commit})
		if err != nil {
			return err
		}
		c, err := commit.Load(ctx, read, x.Commit)
		if err != nil {
			return fmt.Errorf("look at what repo %s holds: %w", name, err)
		}
		if c.Prov == nil || c.Prov.Pipeline != name {
			return fmt.Errorf("repo %s holds data of its own (branch %s), and a pipeline writes to the repo of its name; give the pipeline on %s another name: %w",
				name, b, branch, fs.ErrExist)
		}
	}
	return nil
}

// unregisterTries is how often Unregister follows an output branch that moves.
const unregisterTries = 20

// Unregister removes a pipeline from a branch, and if asked to the branch with
// its outputs, wherever a job that ends meanwhile moves it. It fails with
// fs.ErrNotExist if there is no such pipeline, and with repo.ErrConflict if it
// gets another version meanwhile.
func Unregister(ctx context.Context, s repo.Store, name, branch string, outputs bool, op repo.OpID) error {
	view, err := s.View(ctx)
	if err != nil {
		return err
	}
	now, ok := view.Repos[name].Specs[branch]
	if !ok {
		return fmt.Errorf("no pipeline %s on branch %s: %w", name, branch, fs.ErrNotExist)
	}
	for try := 1; ; try++ {
		ops := []repo.Op{repo.MoveSpec{Repo: name, Branch: branch, Expect: now.Commit}}
		if outputs {
			ops = append(ops, withoutOutputs(view.Repos[name], name, branch)...)
		}
		_, err = s.Move(ctx, repo.Txn{Op: op, Ops: ops})
		if !errors.Is(err, repo.ErrConflict) || try == unregisterTries {
			return err
		}
		next, verr := s.View(ctx)
		if verr != nil || next.Repos[name].Specs[branch].Commit != now.Commit {
			return errors.Join(err, verr)
		}
		view = next
	}
}

// withoutOutputs returns what removes a pipeline's outputs from a branch: the
// branch, or with the last one the repo.
func withoutOutputs(r repo.Repo, name, branch string) []repo.Op {
	out, ok := r.Branches[branch]
	switch {
	case !ok:
		return nil
	case len(r.Branches) == 1 && len(r.Specs) == 1 && len(r.Tags) == 0: // nothing else is there
		return []repo.Op{repo.DeleteRepo{Repo: name}}
	}
	return []repo.Op{repo.DeleteBranch{Repo: name, Branch: branch, Expect: out.Commit}}
}
