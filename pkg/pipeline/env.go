package pipeline

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"

	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/engine"
	"github.com/dvx-io/dvx/pkg/pipeline/spec"
	"github.com/dvx-io/dvx/pkg/repo"
)

// Environment is a branch on which pipelines live: a set of spec versions, with
// output branches of their own. What it lacks it reads from the branch that it
// was made from.
type Environment struct {
	Name   string
	From   string   // of Create: the environment that it begins as; of Promote: the one that takes its versions
	Names  []string // of Create: pipelines and repos that it is to have of its own; none: all pipelines
	Author string
	Time   time.Time
	NewOp  func() (repo.OpID, error)
}

// EnvStep is what became of one pipeline or repo.
type EnvStep struct {
	Name string    `json:"name"`
	Done string    `json:"done"` // created, promoted, unchanged, or deleted
	Spec commit.ID `json:"spec,omitzero"`
}

// Create makes the environment: each pipeline gets the version that it has on
// From, on a branch that begins where From's is, so nothing runs until
// something is changed. Besides those named, all pipelines between them are
// made, so that whatever joins their outputs sees one version of each source.
// It may be repeated: what is there already is left alone.
func (e Environment) Create(ctx context.Context, s repo.Store) ([]EnvStep, error) {
	view, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	snap, err := NewObserver(s).ObserveView(ctx, view)
	if err != nil {
		return nil, err
	}
	own, pipelines, err := e.members(view, snap)
	if err != nil {
		return nil, err
	}
	var steps []EnvStep
	for _, name := range slices.Sorted(maps.Keys(own)) {
		if _, ok := view.Repos[name].Specs[e.From]; ok && slices.ContainsFunc(pipelines, func(p engine.PipelineHead) bool { return p.Name == name }) {
			continue
		}
		step, err := e.forkRepo(ctx, s, view, name)
		if err != nil {
			return steps, err
		}
		steps = append(steps, step)
	}
	for _, p := range pipelines {
		step, err := e.fork(ctx, s, view, p, own)
		if err != nil {
			return steps, err
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// members returns what the environment is to have of its own, and the pipelines
// among it as they are on From.
func (e Environment) members(view *repo.View, snap engine.Snapshot) (own map[string]bool, pipelines []engine.PipelineHead, err error) {
	there := map[string]engine.PipelineHead{}
	for _, p := range snap.Pipelines {
		if p.Branch == e.From {
			there[p.Name] = p
		}
	}
	own = map[string]bool{}
	for _, name := range e.Names {
		_, isPipeline := there[name]
		_, isBranch := view.Repos[name].Branches[e.From]
		if !isPipeline && !isBranch {
			return nil, nil, fmt.Errorf("%s@%s: there is no such pipeline or repo: %w", name, e.From, repo.ErrRefNotFound)
		}
		own[name] = true
	}
	if len(e.Names) == 0 {
		for name := range there {
			own[name] = true
		}
	}
	if len(own) == 0 {
		return nil, nil, fmt.Errorf("no pipeline is on branch %s: %w", e.From, fs.ErrNotExist)
	}
	above, below := reach(there, own)
	for name, p := range there {
		if own[name] || above[name] && below[name] {
			own[name] = true
			pipelines = append(pipelines, p)
		}
	}
	slices.SortFunc(pipelines, func(a, b engine.PipelineHead) int {
		if d := depth(there, a.Name, 0) - depth(there, b.Name, 0); d != 0 {
			return d
		}
		return compareNames(a.Name, b.Name)
	})
	return own, pipelines, nil
}

func compareNames(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// reach returns the pipelines that lead to one of a set, and those that depend
// on one.
func reach(there map[string]engine.PipelineHead, own map[string]bool) (above, below map[string]bool) {
	above, below = map[string]bool{}, map[string]bool{}
	for grown := true; grown; {
		grown = false
		for name, p := range there {
			for _, in := range p.Inputs {
				if (own[in.Repo] || below[in.Repo]) && !below[name] {
					below[name], grown = true, true
				}
				if (own[name] || above[name]) && !above[in.Repo] {
					above[in.Repo], grown = true, true
				}
			}
		}
	}
	return above, below
}

// depth returns how many pipelines are before one, on the longest way.
func depth(there map[string]engine.PipelineHead, name string, seen int) int {
	p, ok := there[name]
	if !ok || seen > len(there) { // a source, or a cycle
		return 0
	}
	most := 0
	for _, in := range p.Inputs {
		most = max(most, depth(there, in.Repo, seen+1))
	}
	return most + 1
}

// forkRepo gives the environment a branch of a repo.
func (e Environment) forkRepo(ctx context.Context, s repo.Store, view *repo.View, name string) (EnvStep, error) {
	r := view.Repos[name]
	if _, ok := r.Branches[e.Name]; ok {
		return EnvStep{Name: name, Done: "unchanged"}, nil
	}
	op, err := e.NewOp()
	if err == nil {
		_, err = s.Move(ctx, repo.Txn{Op: op, Ops: []repo.Op{
			repo.CreateBranch{Repo: name, Branch: e.Name, From: r.Branches[e.From].Commit, Fork: e.From},
		}})
	}
	if err != nil {
		return EnvStep{}, fmt.Errorf("branch %s@%s: %w", name, e.Name, err)
	}
	return EnvStep{Name: name, Done: "created"}, nil
}

// fork gives the environment a pipeline.
func (e Environment) fork(ctx context.Context, s repo.Store, view *repo.View, p engine.PipelineHead, own map[string]bool) (EnvStep, error) {
	r := view.Repos[p.Name]
	if now, ok := r.Specs[e.Name]; ok {
		return EnvStep{Name: p.Name, Done: "unchanged", Spec: now.Commit}, nil
	}
	labels := map[string]string{}
	i := -1
	for in := range p.Version.Spec.Input.Leaves() {
		i++
		switch {
		case in.Branch != "":
		case own[in.Repo]:
			labels[bindingLabel+in.Repo] = e.Name
		default:
			labels[bindingLabel+in.Repo] = p.Inputs[i].Branch
		}
	}
	if by, paused := Paused(p.SpecCommit); paused {
		labels[pausedLabel] = by
	}
	var ops []repo.Op
	if _, ok := r.Branches[e.Name]; !ok {
		b := repo.CreateBranch{Repo: p.Name, Branch: e.Name, From: r.Branches[e.From].Commit}
		if _, ok := r.Branches[e.From]; ok {
			b.Fork = e.From
		}
		ops = append(ops, b)
	}
	id, err := e.version(ctx, s, p.Name, e.Name, p.Spec, commit.ID{}, labels, "fork of "+e.From, ops)
	return EnvStep{Name: p.Name, Done: "created", Spec: id}, err
}

// version registers on a branch what a version of a pipeline holds, with that
// as its parent.
func (e Environment) version(ctx context.Context, s repo.Store, name, branch string, from, expect commit.ID, labels map[string]string, message string, ops []repo.Op) (commit.ID, error) {
	fail := func(err error) (commit.ID, error) {
		return commit.ID{}, fmt.Errorf("pipeline %s@%s: %w", name, branch, err)
	}
	sess, err := s.Session(ctx, repo.Scope{Repo: name, Branch: branch})
	if err != nil {
		return fail(err)
	}
	defer func() { _ = sess.Close() }()
	was, err := commit.Load(ctx, sess, from)
	if err != nil {
		return fail(err)
	}
	op, err := e.NewOp()
	if err != nil {
		return fail(err)
	}
	c := commit.Commit{
		Tree: was.Tree, Parents: []commit.ID{from}, Author: e.Author, Message: message, Time: commit.Stamp(e.Time), Op: op.String(), Labels: labels,
	}
	if len(labels) == 0 {
		c.Labels = nil
	}
	if !c.Time.After(was.Time) {
		c.Time = was.Time.Add(time.Millisecond)
	}
	id, err := commit.Save(ctx, sess, c)
	if err != nil {
		return fail(err)
	}
	ops = append(ops, repo.MoveSpec{Repo: name, Branch: branch, Expect: expect, To: id})
	if _, err := sess.Publish(ctx, repo.Txn{Op: op, Ops: ops}); err != nil {
		return fail(err)
	}
	return id, nil
}

// Promote makes the environment's versions those of From, upstream first. Each
// must be a descendant of the version that From has, else nothing is changed
// and the error wraps repo.ErrConflict. What ran in the environment does not run
// again.
func (e Environment) Promote(ctx context.Context, s repo.Store) ([]EnvStep, error) {
	view, err := s.View(ctx)
	if err != nil {
		return nil, err
	}
	snap, err := NewObserver(s).ObserveView(ctx, view)
	if err != nil {
		return nil, err
	}
	there, target := map[string]engine.PipelineHead{}, map[string]engine.PipelineHead{}
	for _, p := range snap.Pipelines {
		switch p.Branch {
		case e.Name:
			there[p.Name] = p
		case e.From:
			target[p.Name] = p
		}
	}
	if len(there) == 0 {
		return nil, fmt.Errorf("no environment %s: no pipeline is on that branch: %w", e.Name, fs.ErrNotExist)
	}
	names := slices.SortedFunc(maps.Keys(there), func(a, b string) int {
		if d := depth(there, a, 0) - depth(there, b, 0); d != 0 {
			return d
		}
		return compareNames(a, b)
	})
	for _, name := range names {
		if err := e.descends(ctx, s, there[name], target[name]); err != nil {
			return nil, err
		}
	}
	var steps []EnvStep
	for _, name := range names {
		p, t := there[name], target[name]
		if t.SpecCommit.Tree.Content == p.SpecCommit.Tree.Content {
			steps = append(steps, EnvStep{Name: name, Done: "unchanged", Spec: t.Spec})
			continue
		}
		id, err := e.version(ctx, s, name, e.From, p.Spec, t.Spec, e.promotedLabels(view, p, t, there), "promoted from "+e.Name, nil)
		if err != nil {
			return steps, err
		}
		steps = append(steps, EnvStep{Name: name, Done: "promoted", Spec: id})
	}
	return steps, nil
}

// descends fails unless a version is a descendant of another one, or that is
// none.
func (e Environment) descends(ctx context.Context, s repo.Store, p, from engine.PipelineHead) error {
	if from.Spec.IsZero() || p.SpecCommit.Tree.Content == from.SpecCommit.Tree.Content {
		return nil
	}
	r, err := s.Reader(ctx, repo.Scope{Repo: p.Name, Commit: p.Spec})
	if err != nil {
		return err
	}
	for id := p.Spec; id != from.Spec; {
		c, err := commit.Load(ctx, r, id)
		if err != nil {
			return err
		}
		if len(c.Parents) == 0 {
			return fmt.Errorf("pipeline %s has another version on %s than %s was made from: apply it here first, or delete the environment and make it again: %w",
				p.Name, e.From, e.Name, repo.ErrConflict)
		}
		id = c.Parents[0]
	}
	return nil
}

// promotedLabels returns the labels of a version that comes to From.
func (e Environment) promotedLabels(view *repo.View, p, target engine.PipelineHead, promoted map[string]engine.PipelineHead) map[string]string {
	labels := map[string]string{}
	for in := range p.Version.Spec.Input.Leaves() {
		if in.Branch != "" {
			continue
		}
		if was := target.SpecCommit.Labels[bindingLabel+in.Repo]; was != "" {
			labels[bindingLabel+in.Repo] = was
		} else if _, ok := promoted[in.Repo]; ok {
			labels[bindingLabel+in.Repo] = e.From
		} else if branch, problem := ResolveInput(view, in, p.Name, e.From); problem == "" {
			labels[bindingLabel+in.Repo] = branch
		}
	}
	if by, paused := Paused(target.SpecCommit); paused { // a new version does not end a pause
		labels[pausedLabel] = by
	}
	return labels
}

// Delete removes the environment's pipelines, downstream first, and unless they
// are to be kept their output branches.
func (e Environment) Delete(ctx context.Context, s repo.Store, keepOutputs bool) ([]EnvStep, error) {
	snap, err := Observe(ctx, s)
	if err != nil {
		return nil, err
	}
	there := map[string]engine.PipelineHead{}
	for _, p := range snap.Pipelines {
		if p.Branch == e.Name {
			there[p.Name] = p
		}
	}
	if len(there) == 0 {
		return nil, fmt.Errorf("no environment %s: no pipeline is on that branch: %w", e.Name, fs.ErrNotExist)
	}
	var steps []EnvStep
	for _, name := range slices.SortedFunc(maps.Keys(there), func(a, b string) int { return depth(there, b, 0) - depth(there, a, 0) }) {
		op, err := e.NewOp()
		if err == nil {
			err = Unregister(ctx, s, name, e.Name, !keepOutputs, op)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return steps, fmt.Errorf("pipeline %s@%s: %w", name, e.Name, err)
		}
		steps = append(steps, EnvStep{Name: name, Done: "deleted"})
	}
	return steps, nil
}

// EnvDiff is how a pipeline differs between two environments.
type EnvDiff struct {
	Pipeline string             `json:"pipeline"`
	Only     string             `json:"only,omitempty"` // it is in this environment alone
	Changes  []spec.FieldChange `json:"changes,omitempty"`
	Code     bool               `json:"code,omitempty"` // the code differs
}

// Diff returns how the pipelines of the environment differ from those of From.
// Pipelines that the environment does not have are From's.
func (e Environment) Diff(ctx context.Context, s repo.Store) ([]EnvDiff, error) {
	snap, err := Observe(ctx, s)
	if err != nil {
		return nil, err
	}
	there := map[string]engine.PipelineHead{}
	for _, p := range snap.Pipelines {
		if p.Branch == e.From {
			there[p.Name] = p
		}
	}
	out := []EnvDiff{}
	found := false
	for _, p := range snap.Pipelines {
		if p.Branch != e.Name {
			continue
		}
		found = true
		was, ok := there[p.Name]
		d := EnvDiff{Pipeline: p.Name}
		if !ok {
			d.Only = e.Name
			out = append(out, d)
			continue
		}
		d.Changes = was.Version.Spec.Diff(p.Version.Spec)
		d.Code = was.Version.Code.Content != p.Version.Code.Content
		if len(d.Changes) > 0 || d.Code {
			out = append(out, d)
		}
	}
	if !found {
		return nil, fmt.Errorf("no environment %s: no pipeline is on that branch: %w", e.Name, fs.ErrNotExist)
	}
	return out, nil
}
