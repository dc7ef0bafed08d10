package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"github.com/dvx-io/dvx/pkg/auth"
	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
)

// Observe returns the pipelines of a store.
func Observe(ctx context.Context, s repo.Store) (engine.Snapshot, error) {
	return NewObserver(s).Observe(ctx)
}

// Observer observes a store again and again, and reads each commit once. It
// may be used concurrently.
type Observer struct {
	store  repo.Store
	rights auth.Authorizer // nil: everybody may do everything

	mu       sync.Mutex
	commits  map[commit.ID]commit.Commit
	versions map[commit.ID]specVersion
}

// specVersion is a decoded spec commit, or why it can't be decoded.
type specVersion struct {
	version engine.Version
	problem string
}

// NewObserver returns an Observer of s.
func NewObserver(s repo.Store) *Observer {
	return &Observer{store: s, commits: map[commit.ID]commit.Commit{}, versions: map[commit.ID]specVersion{}}
}

// Judge makes the Observer ask a whether a pipeline's owner may read its inputs
// and write its output. Call it before the first use.
func (o *Observer) Judge(a auth.Authorizer) { o.rights = a }

// Observe returns the pipelines as of the newest root. A spec that can't be
// read is a Problem of its pipeline, not an error.
func (o *Observer) Observe(ctx context.Context) (engine.Snapshot, error) {
	if r, ok := o.rights.(auth.Refresher); ok { // a policy at least as new as the view below
		if err := r.Refresh(ctx); err != nil {
			return engine.Snapshot{}, fmt.Errorf("observe pipelines: %w", err)
		}
	}
	view, err := o.store.View(ctx)
	if err != nil {
		return engine.Snapshot{}, fmt.Errorf("observe pipelines: %w", err)
	}
	return o.ObserveView(ctx, view)
}

// ObserveView returns the pipelines as of a view.
func (o *Observer) ObserveView(ctx context.Context, view *repo.View) (engine.Snapshot, error) {
	snap := engine.Snapshot{Gen: view.Gen}
	used := map[commit.ID]bool{}
	for name, r := range view.Repos {
		for branch, ref := range r.Specs {
			if ref.Commit.IsZero() {
				continue
			}
			p, err := o.pipeline(ctx, view, name, branch, ref.Commit, used)
			if err != nil {
				return engine.Snapshot{}, fmt.Errorf("observe pipeline %s@%s: %w", name, branch, err)
			}
			snap.Pipelines = append(snap.Pipelines, p)
		}
	}
	slices.SortFunc(snap.Pipelines, func(a, b engine.PipelineHead) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Branch, b.Branch))
	})
	engine.MarkCycles(snap.Pipelines)
	o.forget(used)
	return snap, nil
}

func (o *Observer) pipeline(ctx context.Context, view *repo.View, name, branch string, version commit.ID, used map[commit.ID]bool) (engine.PipelineHead, error) {
	p := engine.PipelineHead{Name: name, Branch: branch, Spec: version}
	at, err := o.head(ctx, name, version, used)
	if err != nil {
		return p, err
	}
	p.SpecCommit = at.Commit
	if p.Version, p.Problem, err = o.version(ctx, name, at); err != nil {
		return p, err
	}
	if by, paused := Paused(at.Commit); paused && p.Problem == "" {
		p.Problem = fmt.Sprintf("paused by %s; dvx pipeline resume %s@%s lets it run", by, name, branch)
	}
	out := view.Repos[name].Branches[branch]
	if p.Output, err = o.head(ctx, name, out.Commit, used); err != nil || p.Problem != "" {
		return p, err
	}
	err = o.inputs(ctx, view, &p, used)
	return p, err
}

// Head returns the head that a version would be on a branch if it were
// registered. It has no spec commit.
func (o *Observer) Head(ctx context.Context, view *repo.View, v engine.Version, branch string) (engine.PipelineHead, error) {
	p := engine.PipelineHead{Name: v.Spec.Pipeline, Branch: branch, Version: v}
	used := map[commit.ID]bool{}
	var err error
	if p.Output, err = o.head(ctx, p.Name, view.Repos[p.Name].Branches[branch].Commit, used); err != nil {
		return p, err
	}
	err = o.inputs(ctx, view, &p, used)
	return p, err
}

// inputs finds where the inputs of a pipeline are.
func (o *Observer) inputs(ctx context.Context, view *repo.View, p *engine.PipelineHead, used map[commit.ID]bool) error {
	var err error
	for in := range p.Version.Spec.Input.Leaves() {
		h := engine.InputHead{Name: cmp.Or(in.Name, in.Repo), Repo: in.Repo}
		var problem string
		if h.Branch, problem = resolve(view, *p, in); problem != "" {
			p.Problem = cmp.Or(p.Problem, problem)
		} else {
			if h.Head, err = o.head(ctx, in.Repo, view.Repos[in.Repo].Branches[h.Branch].Commit, used); err != nil {
				return err
			}
		}
		p.Inputs = append(p.Inputs, h)
	}
	if p.Problem == "" {
		p.Problem = o.denied(ctx, view.Repos[p.Name].Specs[p.Branch].Owner, *p)
	}
	if p.Problem != "" {
		return nil
	}
	return o.choose(ctx, p, used)
}

// denied says what the owner of a pipeline lacks the right to, "" if he lacks
// nothing. The engine's own rights are never the answer: whoever may register a
// pipeline could read through it what he may not read.
func (o *Observer) denied(ctx context.Context, owner string, p engine.PipelineHead) string {
	if o.rights == nil {
		return ""
	}
	who := auth.Principal{Name: owner}
	if err := o.rights.Authorize(ctx, who, auth.WritePipeline, auth.Resource{Repo: p.Name, Branch: p.Branch}); err != nil {
		return fmt.Sprintf("%v: who registered it last answers for it: grant the right, or delete the pipeline and create it again", err)
	}
	if by := p.Output.Commit.Prov; !p.Output.ID.IsZero() && (by == nil || by.Pipeline != p.Name) { // data that people put there
		if err := o.rights.Authorize(ctx, who, auth.Write, auth.Resource{Repo: p.Name, Branch: p.Branch}); err != nil {
			return fmt.Sprintf("its output holds data that it did not make: %v", err)
		}
	}
	for _, in := range p.Inputs {
		if err := o.rights.Authorize(ctx, who, auth.Read, auth.Resource{Repo: in.Repo, Branch: in.Branch}); err != nil {
			return fmt.Sprintf("input %s: %v: who registered it last answers for it: grant the right, or delete the pipeline and create it again", in.Name, err)
		}
	}
	return ""
}

// bindingLabel is the label of a spec commit that says to which branch an
// input repo was bound when the version was registered: the repo's name
// follows.
const bindingLabel = "dvx.input."

// resolve returns the branch that an input of p follows: the one to which the
// version was bound, as long as it is there, else what ResolveInput finds.
func resolve(view *repo.View, p engine.PipelineHead, in spec.Input) (resolved, problem string) {
	if bound := p.SpecCommit.Labels[bindingLabel+in.Repo]; in.Branch == "" && bound != "" {
		if _, ok := view.Repos[in.Repo].Branches[bound]; ok {
			return bound, ""
		}
	}
	return ResolveInput(view, in, p.Name, p.Branch)
}

// ResolveInput returns the branch that an input of a pipeline on a branch
// follows: the one that the spec names, else the pipeline's own, else the
// nearest one from which that was forked and which the input's repo has. If
// there is none, problem says so, for people.
func ResolveInput(view *repo.View, in spec.Input, pipeline, branch string) (resolved, problem string) {
	r, ok := view.Repos[in.Repo]
	if !ok && in.Sourced() {
		return branch, "" // it is made with the first file
	}
	if !ok {
		return branch, fmt.Sprintf("input repo %q does not exist: create it, or correct input.repo", in.Repo)
	}
	if in.Branch != "" {
		if _, ok := r.Branches[in.Branch]; !ok {
			return in.Branch, fmt.Sprintf("input branch %s@%s does not exist: create it, or correct input.branch", in.Repo, in.Branch)
		}
		return in.Branch, ""
	}
	seen := map[string]bool{}
	for at := branch; at != "" && !seen[at]; at = forkOf(view, pipeline, at) {
		if _, ok := r.Branches[at]; ok {
			return at, ""
		}
		seen[at] = true
	}
	if in.Sourced() {
		return branch, ""
	}
	return branch, fmt.Sprintf("input repo %s has no branch %q, nor one it was forked from: create it, or set input.branch", in.Repo, branch)
}

// forkOf returns the branch from which a pipeline's branch was forked: what the
// pipeline's own repo says, else any repo with a branch of that name, the
// alphabetically first fork if they disagree.
func forkOf(view *repo.View, pipeline, branch string) string {
	own := view.Repos[pipeline]
	if fork := cmp.Or(own.Specs[branch].Fork, own.Branches[branch].Fork); fork != "" {
		return fork
	}
	fork := ""
	for _, r := range view.Repos {
		for _, set := range []map[string]repo.Branch{r.Branches, r.Specs} {
			if b, ok := set[branch]; ok && b.Fork != "" && (fork == "" || b.Fork < fork) {
				fork = b.Fork
			}
		}
	}
	return fork
}

// head reads a commit of a repo, from memory if it was read before.
func (o *Observer) head(ctx context.Context, name string, id commit.ID, used map[commit.ID]bool) (engine.Head, error) {
	if id.IsZero() {
		return engine.Head{}, nil
	}
	used[id] = true
	o.mu.Lock()
	c, ok := o.commits[id]
	o.mu.Unlock()
	if ok {
		return engine.Head{ID: id, Commit: c}, nil
	}
	r, err := o.store.Reader(ctx, repo.Scope{Repo: name, Commit: id})
	if err != nil {
		return engine.Head{}, err
	}
	if c, err = commit.Load(ctx, r, id); err != nil {
		return engine.Head{}, err
	}
	o.mu.Lock()
	o.commits[id] = c
	o.mu.Unlock()
	return engine.Head{ID: id, Commit: c}, nil
}

// version decodes the spec that a commit holds. What is wrong with the spec
// itself is returned as problem.
func (o *Observer) version(ctx context.Context, name string, at engine.Head) (v engine.Version, problem string, err error) {
	o.mu.Lock()
	known, ok := o.versions[at.ID]
	o.mu.Unlock()
	if ok {
		return known.version, known.problem, nil
	}
	r, err := o.store.Reader(ctx, repo.Scope{Repo: name, Commit: at.ID})
	if err != nil {
		return v, "", err
	}
	v, err = LoadVersion(ctx, r, at.Commit.Tree)
	if err != nil {
		if !errors.Is(err, fs.ErrInvalid) && !errors.Is(err, chunk.ErrCorrupt) {
			return v, "", err
		}
		problem = err.Error()
	}
	o.mu.Lock()
	o.versions[at.ID] = specVersion{version: v, problem: problem}
	o.mu.Unlock()
	return v, problem, nil
}

// forget drops what no pipeline names any more, so that memory follows the
// number of pipelines and not that of commits.
func (o *Observer) forget(used map[commit.ID]bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for id := range o.commits {
		if !used[id] {
			delete(o.commits, id)
		}
	}
	for id := range o.versions {
		if !used[id] {
			delete(o.versions, id)
		}
	}
}
