package explain

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/dvx-io/dvx/pkg/chunk"
	"github.com/dvx-io/dvx/pkg/commit"
	"github.com/dvx-io/dvx/pkg/pipeline/datum"
	"github.com/dvx-io/dvx/pkg/pipeline/output"
	"github.com/dvx-io/dvx/pkg/pipeline/task"
	"github.com/dvx-io/dvx/pkg/repo"
	"github.com/dvx-io/dvx/pkg/tree"
)

// Limits of a lineage.
const (
	LineageNodesMax   = 1000   // versions and paths that are followed
	lineageCommitsMax = 100000 // outputs that are looked at for what was made of a version
)

// Node is a version of a repo, or a path in it, and what it is connected with.
type Node struct {
	Repo    string    `json:"repo"`
	Branch  string    `json:"branch,omitempty"`
	Commit  commit.ID `json:"commit"`
	Path    string    `json:"path,omitempty"`
	Time    time.Time `json:"time"`
	Author  string    `json:"author,omitempty"`
	Message string    `json:"message,omitempty"`

	// What a pipeline made has these.
	Pipeline   string            `json:"pipeline,omitempty"`
	Datum      string            `json:"datum,omitempty"` // of a path: the datum that wrote it
	Job        string            `json:"job,omitempty"`
	Spec       commit.ID         `json:"spec,omitzero"`
	Code       string            `json:"code,omitempty"`
	Image      string            `json:"image,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"`
	Principal  string            `json:"principal,omitempty"` // as whom it ran

	From []*Node `json:"from,omitempty"` // what it was made of
	To   []*Node `json:"to,omitempty"`   // what was made of it
	Cut  bool    `json:"cut,omitempty"`  // there is more than the limit allows
}

// Lineage returns a version, or a path in one if the expression names one, with
// all that it was made of and all that was made of it.
func (x *Explainer) Lineage(ctx context.Context, expr string) (*Node, error) {
	at, err := repo.Resolve(ctx, x.o.Store, expr)
	if err != nil {
		return nil, err
	}
	if at.ID.IsZero() {
		return nil, fmt.Errorf("lineage of %s: nothing is committed there yet: %w", expr, fs.ErrNotExist)
	}
	w := &walk{x: x, left: LineageNodesMax}
	if w.r, err = x.o.Store.ReadAny(ctx); err != nil {
		return nil, err
	}
	from := place{repo: at.Ref.Repo, commit: at.ID, path: strings.Trim(at.Ref.Path, "/")}
	if from.path != "" {
		if _, err := tree.Open(w.r, at.Commit.Tree).Lookup(ctx, from.path); err != nil {
			return nil, err
		}
	}
	n, err := w.up(ctx, from)
	if err != nil {
		return nil, fmt.Errorf("lineage of %s: %w", expr, err)
	}
	if err := w.index(ctx); err != nil {
		return nil, fmt.Errorf("lineage of %s: %w", expr, err)
	}
	w.left = LineageNodesMax
	if n.To, err = w.down(ctx, n, from); err != nil {
		return nil, fmt.Errorf("lineage of %s: %w", expr, err)
	}
	return n, nil
}

// place is where lineage looks.
type place struct {
	repo, branch string
	commit       commit.ID
	path         string // empty: the whole version
}

// walk follows lineage.
type walk struct {
	x     *Explainer
	r     chunk.Reader
	left  int                   // nodes that may still be made
	users map[commit.ID][]place // outputs that were made of a commit
}

// node makes the node of a place.
func (w *walk) node(ctx context.Context, at place) (*Node, commit.Commit, error) {
	c, err := commit.Load(ctx, w.r, at.commit)
	if err != nil {
		return nil, c, err
	}
	n := &Node{
		Repo: at.repo, Branch: at.branch, Commit: at.commit, Path: at.path, Time: c.Time, Author: c.Author, Message: c.Message,
	}
	if p := c.Prov; p != nil {
		n.Branch, n.Pipeline, n.Job, n.Spec = p.Branch, p.Pipeline, p.Job, p.Spec
		n.Code, n.Image, n.Parameters, n.Principal = p.Code, p.Image, p.Parameters, p.Principal
	}
	return n, c, nil
}

// up returns the node of a place with what it was made of.
func (w *walk) up(ctx context.Context, at place) (*Node, error) {
	n, c, err := w.node(ctx, at)
	if err != nil || c.Prov == nil {
		return n, err
	}
	sources, err := w.sources(ctx, n, c)
	if err != nil {
		return n, err
	}
	for _, from := range sources {
		if w.left--; w.left <= 0 {
			n.Cut = true
			return n, nil
		}
		up, err := w.up(ctx, from)
		if err != nil {
			return n, err
		}
		n.From = append(n.From, up)
	}
	return n, nil
}

// sources returns what a pipeline's output, or a path in it, was made of.
func (w *walk) sources(ctx context.Context, n *Node, c commit.Commit) ([]place, error) {
	var all []place
	for _, in := range c.Prov.Inputs {
		all = append(all, place{repo: in.Repo, branch: in.Branch, commit: in.Commit})
	}
	if n.Path == "" || c.Prov.Datums == nil {
		return all, nil
	}
	row, err := w.writer(ctx, *c.Prov.Datums, n.Path)
	if err != nil || row == nil {
		return all, err
	}
	n.Datum = row.Identity
	s, err := w.x.read(ctx, w.r, c.Prov.Spec, c.Prov.Inputs)
	if err != nil {
		return nil, err
	}
	for d, err := range datum.All(ctx, s.inputs, s.version.Spec) {
		if err != nil {
			return nil, err
		}
		if d.Identity == row.Identity {
			return pathsOf(d, all, c.Prov.Inputs), nil
		}
	}
	return all, nil // of a reference that has changed
}

// pathsOf returns what a datum selects as places.
func pathsOf(d datum.Datum, inputs []place, names []commit.Input) []place {
	var out []place
	for _, in := range d.Inputs {
		i := slices.IndexFunc(names, func(n commit.Input) bool { return n.Name == in.Name })
		if i < 0 {
			continue
		}
		for _, it := range in.Items {
			at := inputs[i]
			at.path = it.Path
			out = append(out, at)
		}
	}
	return out
}

// writer finds the datum that wrote a path.
func (w *walk) writer(ctx context.Context, table tree.Root, path string) (*output.Row, error) {
	for row, err := range output.Table(ctx, w.r, table) {
		if err != nil {
			return nil, err
		}
		_, err := tree.Open(w.r, row.Output).Lookup(ctx, path)
		if err == nil {
			return &row, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return nil, nil
}

// index finds which outputs were made of which commits.
func (w *walk) index(ctx context.Context) error {
	view, err := w.x.o.Store.View(ctx)
	if err != nil {
		return err
	}
	w.users = map[commit.ID][]place{}
	seen := map[commit.ID]bool{}
	for name, r := range view.Repos {
		for branch, b := range r.Branches {
			for id := b.Commit; !id.IsZero() && !seen[id] && len(seen) < lineageCommitsMax; {
				seen[id] = true
				c, err := commit.Load(ctx, w.r, id)
				if err != nil {
					return err
				}
				if c.Prov == nil {
					break
				}
				for _, in := range c.Prov.Inputs {
					w.users[in.Commit] = append(w.users[in.Commit], place{repo: name, branch: branch, commit: id})
				}
				if len(c.Parents) == 0 {
					break
				}
				id = c.Parents[0]
			}
		}
	}
	for _, list := range w.users {
		slices.SortFunc(list, func(a, b place) int { return strings.Compare(a.repo+a.commit.String(), b.repo+b.commit.String()) })
	}
	return nil
}

// down returns what was made of a place. n is told if there is more.
func (w *walk) down(ctx context.Context, n *Node, at place) ([]*Node, error) {
	var out []*Node
	for _, user := range w.users[at.commit] {
		results, err := w.results(ctx, at, user)
		if err != nil {
			return out, err
		}
		for _, to := range results {
			if w.left--; w.left <= 0 {
				n.Cut = true
				return out, nil
			}
			down, _, err := w.node(ctx, to)
			if err != nil {
				return out, err
			}
			if down.To, err = w.down(ctx, down, to); err != nil {
				return out, err
			}
			out = append(out, down)
		}
	}
	return out, nil
}

// results returns what the datums of an output that see a place wrote, or the
// whole output for a whole version.
func (w *walk) results(ctx context.Context, at, user place) ([]place, error) {
	if at.path == "" {
		return []place{user}, nil
	}
	c, err := commit.Load(ctx, w.r, user.commit)
	if err != nil || c.Prov == nil || c.Prov.Datums == nil {
		return nil, err
	}
	s, err := w.x.read(ctx, w.r, c.Prov.Spec, c.Prov.Inputs)
	if err != nil {
		return nil, err
	}
	var out []place
	for d, err := range datum.All(ctx, s.inputs, s.version.Spec) {
		if err != nil {
			return nil, err
		}
		if !sees(d, c.Prov.Inputs, at) {
			continue
		}
		row, err := output.Lookup(ctx, w.r, *c.Prov.Datums, d.Identity)
		if err != nil {
			return nil, err
		}
		if row == nil {
			continue
		}
		for f, err := range tree.Open(w.r, row.Output).Walk(ctx, tree.WalkOptions{}) {
			if err != nil {
				return nil, err
			}
			if f.Kind == tree.Dir {
				continue
			}
			to := user
			to.path = f.Path
			if out = append(out, to); len(out) > w.left {
				return out, nil
			}
		}
	}
	return out, nil
}

// sees reports whether a datum selects the path of a place, something below it
// or a directory above it.
func sees(d datum.Datum, names []commit.Input, at place) bool {
	within := func(a, b string) bool { return a == b || a == "" || strings.HasPrefix(b, a+"/") }
	return slices.ContainsFunc(d.Inputs, func(in task.Input) bool {
		i := slices.IndexFunc(names, func(n commit.Input) bool { return n.Name == in.Name })
		return i >= 0 && names[i].Commit == at.commit && slices.ContainsFunc(in.Items, func(it task.Item) bool {
			return within(it.Path, at.path) || within(at.path, it.Path)
		})
	})
}
